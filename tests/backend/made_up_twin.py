"""A Gaussian twin that nobody trained, written beside a field's checkpoint as a training would."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save

from backend.workspace.checkpoint_index import FIELD
from backend.workspace.store import Workspace
from tests.backend.made_up_gaussians import made_up_gaussians

SHIFT_M = 0.01


def write_made_up_twin(
    workspace: Path, *, step: int = 400, shift_m: float = SHIFT_M, preferred: str = "", seed: int = 0
) -> Path:
    """Write `gaussians_NNNNNNN.safetensors`.

    Args:
        shift_m: how much further away its poses are than those of the field.
        preferred: `field` where it is meant to have been measured worse.
        seed: another head for another one.
    """
    opened, head = Workspace.open(workspace), made_up_gaussians(seed=seed)
    track = opened.head_track(head=FIELD)
    poses = track.head_to_camera.copy()
    poses[:, 2, 3] += shift_m
    state = {"step": step, "config": head.config.to_json(), "focal_px": track.focal_px, "head_sync": track.head_sync}
    state |= {"elapsed_s": 60.0} | ({"preferred": preferred} if preferred else {})
    path = opened.checkpoints / f"gaussians_{step:07d}.safetensors"
    path.with_suffix(".new").write_bytes(
        save({**head.tensors(), "poses": torch.from_numpy(poses)}, {"state": json.dumps(state)})
    )
    return path.with_suffix(".new").replace(path)
