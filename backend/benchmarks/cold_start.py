"""Starting `serve`, with and without compiled kernels."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from .. import protocol
from ..compilation.kernel_cache import FOLDER_VARIABLE
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace


def cold_starts(workspace: Workspace) -> dict[str, float]:
    """Seconds from starting `serve` to its first frame at 512²; memory.

    Without compiled kernels; again; and of the same sources in another folder and with another home, as a reinstalled
    extension has them.
    """
    here = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, FOLDER_VARIABLE: str(Path(folder, "kernels"))}
        first, _ = _first_frame(workspace, environment, here)
        again, memory_mb = _first_frame(workspace, environment, here)
        left_out = shutil.ignore_patterns("__pycache__", "sample")
        shutil.copytree(here / "backend", Path(folder, "backend"), copy_function=shutil.copyfile, ignore=left_out)
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
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as memory:
        memory.truncate(512 * 512 * 16)
        params = frame_params(workspace, tracking, frame, 512, Path(memory.name))
        begun = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "backend", "serve"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
            cwd=root,
        ) as server:  # fmt: skip
            assert server.stdin is not None and server.stdout is not None
            server.stdin.write(protocol.encode({"jsonrpc": "2.0", "id": 1, "method": "frame", "params": params}))
            server.stdin.flush()
            for line in server.stdout:
                message = json.loads(line)
                if message.get("id") == 1:
                    seconds = time.perf_counter() - begun
                    if "error" in message:
                        raise RuntimeError(message["error"]["message"])
                    break
            info = psutil.Process(server.pid).memory_info()
            server.stdin.close()
        return seconds, info.rss / 1e6
