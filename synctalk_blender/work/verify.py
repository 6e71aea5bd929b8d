"""Was a file made with SyncTalk, and is it whole: the backend's `verify`."""

from __future__ import annotations

from pathlib import Path

import bpy

from .. import jobs
from ..client.errors import BackendError
from ..job import Job, Request, Work
from ..properties import settings_of
from ..steps import Errand
from ..verification import in_words


def verify_job(scene: bpy.types.Scene, path: Path) -> Job:
    """Read signature, watermark and note of a file; what was found is then in `jobs.runtime.verified`.

    Raises:
        BackendError: there is no such file.
    """
    if not path.is_file():
        raise BackendError(f"There is no file {path}: choose the one to check.", "media")
    root = settings_of(scene).workspace_path
    known = root is not None and (root / "subject.json").exists()
    params = {"files": [str(path)], **({"workspace": str(root)} if known else {})}
    jobs.runtime.verified = None

    def work() -> Work:
        result = yield Request("verify", params)
        found = jobs.runtime.verified = in_words(result["files"][0])
        return f"{found.name}: {found.headline}"

    return Job(Errand.VERIFY, "Checking a file", work())
