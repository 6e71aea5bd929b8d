"""The sidebar tab “SyncTalk” of the 3D View, one file a step, and what Blender's own editors show of the extension."""

from . import backend, capture, composite, export, expression, live, passes, speak, subject, track, train, verify

CLASSES = (
    *backend.CLASSES,
    *subject.CLASSES,
    *track.CLASSES,
    *train.CLASSES,
    *speak.CLASSES,
    *capture.CLASSES,
    *live.CLASSES,
    *expression.CLASSES,
    *composite.CLASSES,
    *passes.CLASSES,
    *export.CLASSES,
    *verify.CLASSES,
)
