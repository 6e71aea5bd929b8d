"""The operators, one file a step. They call synctalk_blender and hold no logic that a script could want."""

from . import backend, capture, composite, export, live, speak, subject, track, train, verify

CLASSES = (
    *backend.CLASSES,
    *subject.CLASSES,
    *track.CLASSES,
    *train.CLASSES,
    *speak.CLASSES,
    *capture.CLASSES,
    *live.CLASSES,
    *composite.CLASSES,
    *export.CLASSES,
    *verify.CLASSES,
)
