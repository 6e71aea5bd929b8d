"""`bench gaussians`: the Gaussian head beside the field it comes from: time by part, floor, memory, faults, quality by minutes."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...commands import train
from ...progress import Reporter
from ...training import checkpoints
from ...workspace.checkpoint_index import FIELD, GAUSSIANS
from ...workspace.store import Workspace
from .. import pages, subject
from ..options import Gaussians as Options
from . import floor, memory, parts, quality, tables, timing, trainings
from .heads import TrainedHead, gaussian_renderer, held_out, open_heads

SIZES = (256, 512, 1024)
FRAMES = 6
"""Held-out frames that are timed, `timing.TIMES` times each."""
PLAIN_SIZE = 256
PLAIN_FRAMES = 2
MEMORY_SIZE = 512


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures of docs/benchmarks/gaussians.md; milliseconds.

    Raises:
        WorkspaceError: the workspace has not both heads.
    """
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        work.mkdir(parents=True, exist_ok=True)
        workspace = _workspace(options, work, reporter)
        heads = open_heads(workspace, reporter)
        result = _timed(workspace, heads, reporter)
        result["memory"] = memory.memory(workspace, MEMORY_SIZE)
        result["heads"] = quality.measure(workspace, heads, options.size, options.out, reporter)
        result["psnr_head"] = result["heads"][GAUSSIANS]["psnr_head"]
        result["psnr_head_field"] = result["heads"][FIELD]["psnr_head"]
        result["trainings"] = trainings.trainings(
            [Workspace.open(root) for root in options.quality],
            options.minutes,
            options.preset,
            options.size,
            work,
            reporter,
        )
    return pages.kept("gaussians", options, result, in_words(result))


def _workspace(options: Options, work: Path, reporter: Reporter) -> Workspace:
    if options.workspace:
        return Workspace.open(options.workspace)
    workspace = subject.processed(options.clip, work, reporter)
    if checkpoints.load_newest(workspace, reporter, GAUSSIANS) is None:
        train.run(train.Options(workspace=workspace.root, steps=options.steps, head="both"), reporter)
    return workspace


def _timed(workspace: Workspace, heads: dict[str, TrainedHead], reporter: Reporter) -> dict[str, Any]:
    frames = held_out(workspace, heads[GAUSSIANS].track, FRAMES)
    rows: dict[str, dict[str, Any]] = {}
    for done, size in enumerate(SIZES):
        reporter.progress("timing", done, len(SIZES), "sizes")
        rows[str(size)] = _row(workspace, heads, size, frames)
    reporter.progress("timing", len(SIZES), len(SIZES), "sizes")
    measured = floor.rates(rows[str(SIZES[0])]["parts"]["threads"])
    for row in rows.values():
        row["floor"] = floor.floor(row["parts"], measured)
    return {
        "machine": subject.machine(),
        "clip": workspace.root.name,
        "gaussians": gaussian_renderer(heads).head.count,
        **{f"ms_{size}": rows[str(size)]["gaussians"]["ms"] for size in SIZES},
        **{f"ratio_{size}": rows[str(size)]["ratio"] for size in SIZES},
        "frames": rows,
        "rates": measured,
        "plain": timing.plain_ratio(heads, PLAIN_SIZE, frames[:PLAIN_FRAMES]),
    }


def _row(workspace: Workspace, heads: dict[str, TrainedHead], size: int, frames: np.ndarray) -> dict[str, Any]:
    """All times at one size."""
    times = timing.frame_times(heads, size, frames)
    round_trip = timing.round_trips(workspace, heads, size, frames)
    return {
        **{name: spread.to_json() for name, spread in times.items()},
        "ratio": times[FIELD].ms / times[GAUSSIANS].ms,
        "passes_ratio": times["passes"].ms / times[GAUSSIANS].ms,
        "round_trip": {kind: spread.to_json() for kind, spread in round_trip.items()},
        "parts": parts.parts_of_a_frame(heads, size, frames, timing.TIMES),
    }


def in_words(result: dict[str, Any]) -> str:
    """The figures as text."""
    return tables.in_words(result)
