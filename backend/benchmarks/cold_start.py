"""Starting `serve`, with and without compiled kernels."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..compilation.kernel_cache import FOLDER_VARIABLE
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace
from .apart import CHECKOUT
from .served import Served, image_memory


def cold_starts(workspace: Workspace) -> dict[str, float]:
    """Seconds from starting `serve` to its first frame at 512²; memory.

    Without compiled kernels; again; and of the same sources in another folder and with another home, as a reinstalled
    extension has them.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {FOLDER_VARIABLE: str(Path(folder, "kernels"))}
        first, _ = _first_frame(workspace, environment, CHECKOUT)
        again, memory_mb = _first_frame(workspace, environment, CHECKOUT)
        left_out = shutil.ignore_patterns("__pycache__", "sample")
        shutil.copytree(CHECKOUT / "backend", Path(folder, "backend"), copy_function=shutil.copyfile, ignore=left_out)
        reinstalled, _ = _first_frame(workspace, {**environment, "HOME": folder}, Path(folder))
    return {"first_time_s": first, "cached_s": again, "reinstalled_s": reinstalled, "memory_mb": memory_mb}


def frame_params(workspace: Workspace, tracking: HeadTrack, frame: int, size: int, memory: Path) -> dict[str, Any]:
    """The params of a `frame` request for one frame of the clip, as Blender sends them."""
    camera = tracking.camera.scaled(size, size)
    return {
        "workspace": str(workspace.root), "width": size, "height": size, "focal_px": camera.focal_px,
        "principal_px": list(camera.principal_px), "memory": str(memory),
        "head_to_camera": tracking.head_to_camera[frame].ravel().tolist(),
        "blendshapes": tracking.blendshapes[frame].tolist(),
    }  # fmt: skip


def _first_frame(workspace: Workspace, environment: dict[str, str], root: Path) -> tuple[float, float]:
    tracking = workspace.head_track()
    frame = int(np.flatnonzero(tracking.valid)[0])
    with image_memory(512) as memory:
        params = frame_params(workspace, tracking, frame, 512, memory)
        begun = time.perf_counter()
        with Served(environment, root) as backend:
            backend.call("frame", **params)
            return time.perf_counter() - begun, backend.memory_mb
