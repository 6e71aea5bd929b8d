"""What Blender rendered with a head gets its manifest: the backend's `sign`."""

from __future__ import annotations

from pathlib import Path

import bpy

from ..client.errors import BackendError
from ..job import Job, Request, Work
from ..properties import settings_of
from ..steps import Errand


def sign_job(scene: bpy.types.Scene, path: Path, alone: bool) -> Job:
    """Sign a file, or the images of a folder, as made with the scene's subject.

    Args:
        alone: they show none of the clip's own pixels.

    Raises:
        BackendError: there is no such file, or the scene has no subject.
    """
    if not path.exists():
        raise BackendError(f"There is no file {path}: choose what was rendered.", "media")
    root = settings_of(scene).workspace_path
    if root is None or not (root / "subject.json").exists():
        raise BackendError("The scene has no subject: choose the one that was rendered (panel Subject).", "workspace")
    params = {"workspace": str(root), "files": [str(path)], "alone": alone}

    def work() -> Work:
        result = yield Request("sign", params)
        if not result["signed"]:
            return f"{path.name}: signed before, and whole"
        files = len(result["signed"])
        return f"{path.name}: signed" if files == 1 else f"{path.name}: {files} files signed"

    return Job(Errand.VERIFY, "Signing", work())
