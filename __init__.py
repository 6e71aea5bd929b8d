"""SyncTalk for Blender: a video of one person becomes a talking head that an artist directs."""

from .synctalk_blender import registration


def register() -> None:
    """Called by Blender when the extension is enabled."""
    registration.register()


def unregister() -> None:
    """Called by Blender when the extension is disabled, and at exit."""
    registration.unregister()
