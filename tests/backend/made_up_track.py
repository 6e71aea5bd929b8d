"""A head track and checkpoints made of numbers alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from backend.workspace.camera import Camera
from backend.workspace.files import atomic_path
from backend.workspace.head_track import HeadTrack
from backend.workspace.store import Workspace


def make_track(frames: int, *, size: int = 256, **parts: Any) -> HeadTrack:
    """A face 0.8 m away in every frame; `parts` in place of what is made."""
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, 3] = rng.normal(0, 0.01, (frames, 3)) + np.array([0, 0, 0.8])
    made: dict[str, Any] = {
        "camera": Camera(size, size, 500.0, (size / 2, size / 2)),
        "head_to_camera": poses,
        "valid": np.ones(frames, bool),
        "landmarks_px": rng.uniform(0, size, (frames, 478, 2)).astype(np.float32),
        "blendshapes": rng.uniform(0, 1, (frames, 52)).astype(np.float32),
        "face_head_m": rng.normal(0, 0.05, (478, 3)),
        "points_head_m": rng.normal(0, 0.05, (3, 3)),
        "points_px": rng.uniform(0, size, (frames, 3, 2)).astype(np.float32),
        "points_seen": np.ones((frames, 3), bool),
        "cuts": np.zeros(frames, bool),
        "reprojection_px": np.full(frames, 0.5),
    }
    return HeadTrack(**(made | parts))


def write_checkpoint(
    workspace: Workspace, step: int, poses: np.ndarray, focal_px: float, head_sync: str | None = ""
) -> Path:
    """A checkpoint that holds poses and focal length alone; without the key of a stage as in earlier versions."""
    from safetensors.numpy import save

    state = {"step": step, "focal_px": focal_px} | ({} if head_sync is None else {"head_sync": head_sync})
    path = workspace.checkpoints / f"step_{step:07d}.safetensors"
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({"other": np.ones(3, np.float32), "poses": poses}, {"state": json.dumps(state)}))
    return path
