"""Errors that a user can act on: of the scene, and, as `SyncTalkError`, of a workspace's files as well."""

from __future__ import annotations

from ...backend.workspace import SyncTalkError

__all__ = ["SceneError", "SyncTalkError"]


class SceneError(SyncTalkError):
    """One sentence: what is wrong in the scene, where, and what to do.

    Attributes:
        kind: `scene`, `cancelled`, or the kind of what a workspace's files caused.
    """

    def __init__(self, message: str, kind: str = "scene") -> None:
        super().__init__(message)
        self.kind = kind
