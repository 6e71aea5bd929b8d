"""Errors of the scene side that a user can act on."""

from __future__ import annotations


class SceneError(Exception):
    """One sentence: what is wrong in the scene or in a workspace's files, where, and what to do.

    Attributes:
        kind: `scene`, or `cancelled`.
    """

    def __init__(self, message: str, kind: str = "scene") -> None:
        super().__init__(message)
        self.kind = kind
