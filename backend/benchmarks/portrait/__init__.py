"""`bench portrait`: one rendered head put into its footage in several ways, and ours with each part off in turn."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import WorkspaceError
from ...evaluation.reenactment import audio_driven_blendshapes, held_out_indices
from ...progress import Reporter
from ...training.conditions import SHAPE
from ...training.presets import PRESETS
from ...workspace.checkpoint_index import FIELD, GAUSSIANS, head_paths
from ...workspace.store import Workspace
from .. import pages, subject
from ..gaussians.heads import TrainedHead, open_head
from ..options import BOTH
from ..options import Portrait as Options
from . import sheets, tables
from .comparison import HeldOut, measure, milliseconds
from .rows import make_plates, portraits, spoken_portraits


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures of docs/benchmarks/portrait.md, by clip and head.

    Raises:
        WorkspaceError: a workspace has no such head, or no held-out frame with a face.
    """
    clips: list[dict[str, Any]] = []
    for root in options.workspace:
        workspace = Workspace.open(root)
        workspace.require("portrait_sync")
        with tempfile.TemporaryDirectory() as work:
            clips += _of_clip(workspace, options, Path(work), reporter)
    result = {"machine": subject.machine(), "clips": clips}
    return pages.kept("portrait", options, result, in_words(result))


def _of_clip(workspace: Workspace, options: Options, work: Path, reporter: Reporter) -> list[dict[str, Any]]:
    wanted = (GAUSSIANS, FIELD) if options.head == BOTH else (options.head,)
    kinds = [kind for kind in wanted if head_paths(workspace.checkpoints, kind)] or wanted[:1]
    found = []
    plates: dict[str, Path] | None = None
    for kind in kinds:
        head = open_head(workspace, kind, reporter)
        size = options.size or min(PRESETS[head.checkpoint.state["preset"]].size, workspace.subject.size)
        held = _held_out(workspace, head, size, head.track.blendshapes)
        if plates is None:
            plates = make_plates(workspace, held.frames, work, reporter)
        given = workspace, head.track, size
        rows, kept = (portraits(*given, plates, in_memory) for in_memory in (False, True))
        figures, composed, evaluations = measure(held, rows, work / kind, reporter)
        times = milliseconds(held, kept)
        for name, row in figures.items():
            row["ms"] = times[name]["ms"]
        spoken = None
        if head.checkpoint.lips.name == SHAPE:
            driven = _held_out(workspace, head, size, audio_driven_blendshapes(workspace, kind))
            spoken = measure(driven, spoken_portraits(*given, rows), work / f"{kind}-spoken", reporter)[0]
            spoken_times = milliseconds(driven, spoken_portraits(*given, kept))
            for name, row in spoken.items():
                row["ms"] = spoken_times[name]["ms"]
        found.append(
            {
                "clip": workspace.subject.name,
                "head": kind,
                "size": size,
                "frames": len(held.frames),
                "rendering_ms": times["rendering"]["ms"],
                "rows": figures,
                "audio": spoken,
            }
        )
        if options.out is not None:
            sheets.write(options.out, workspace, kind, composed, evaluations)
    return found


def _held_out(workspace: Workspace, head: TrainedHead, size: int, blendshapes: np.ndarray) -> HeldOut:
    frames = held_out_indices(workspace)
    frames = frames[head.track.valid[frames]]
    if not len(frames):
        raise WorkspaceError(f"{workspace.root} has no held-out frame with a face: give a longer clip.")
    conditions = head.checkpoint.lips.clip_conditions(workspace, blendshapes)
    tracked = blendshapes is head.track.blendshapes
    return HeldOut(workspace, head, frames, size, blendshapes, conditions, tracked)


def in_words(result: dict[str, Any]) -> str:
    """The figures as tables."""
    return tables.in_words(result)
