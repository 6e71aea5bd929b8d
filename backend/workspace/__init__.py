"""The data of a subject: one record for each thing that flows between the stages, and the folder that they lie in.

NumPy and the standard library at import: the backend and Blender both use it. docs/workspace.md is its reference.
"""

from ..errors import SyncTalkError, WorkspaceError

__all__ = ["SyncTalkError", "WorkspaceError"]
