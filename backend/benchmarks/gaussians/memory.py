"""Memory of a process that only draws a head, and bytes of its checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path

from ...progress import Reporter
from ...training import checkpoints
from ...workspace.checkpoint_index import head_paths
from ...workspace.store import Workspace
from ..apart import run_apart
from .heads import KINDS, held_out

FRAMES = 20


def memory(workspace: Workspace, size: int) -> dict[str, dict[str, float]]:
    """By kind: `rendering_mb` of a process that draws `FRAMES` frames, and `checkpoint_bytes` of the newest file."""
    found = {}
    for kind in KINDS:
        done = run_apart(__name__, str(workspace.root), kind, str(size))
        checkpoint = head_paths(workspace.checkpoints, kind)[0]
        found[kind] = {"rendering_mb": done.memory_mb, "checkpoint_bytes": checkpoint.stat().st_size}
    return found


def _draw(root: Path, kind: str, size: int) -> None:
    workspace = Workspace.open(root)
    checkpoint = checkpoints.load_for_rendering(workspace, Reporter(), kind)
    track = workspace.head_track(head=kind)
    conditions, renderer = checkpoint.lips.clip_conditions(workspace, track.blendshapes), checkpoint.renderer()
    del checkpoint
    for frame in held_out(workspace, track, FRAMES).tolist():
        renderer.render(track.camera.scaled(size, size), track.head_to_camera[frame], conditions[frame])


if __name__ == "__main__":
    _draw(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
