"""The sidebar tab “SyncTalk” of the 3D View, one file a step."""

from . import backend, composite, expression, speak, subject, track, train

CLASSES = (
    *backend.CLASSES,
    *subject.CLASSES,
    *track.CLASSES,
    *train.CLASSES,
    *speak.CLASSES,
    *expression.CLASSES,
    *composite.CLASSES,
)
