"""Clips for benchmarks: processed once into a work folder, copied, repeated."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import torch

from ..actor import SAMPLE
from ..commands import process
from ..progress import Reporter
from ..workspace.files import read_arrays, write_arrays
from ..workspace.store import Workspace
from ..workspace.subject import STAGES

CONSENT = "benchmark"


def machine() -> str:
    """The machine, for docs/benchmarks.md."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{cores} cores, {gpu} ({platform.machine()}, torch {torch.__version__})"


def processed(clip: str, work: Path, reporter: Reporter) -> Workspace:
    """The workspace of a clip (a path, or `sample`) in `work`; an existing one resumes."""
    source = SAMPLE / "speaker.mp4" if clip == "sample" else Path(clip)
    root = work / ("sample" if clip == "sample" else source.stem)
    process.run(process.Options(video=source, workspace=root, consent=CONSENT), reporter)
    return Workspace.open(root)


def tracked(clip: str, work: Path, reporter: Reporter) -> Workspace:
    """As `processed`, without plates and mattes: enough for lips and faces."""
    source = SAMPLE / "speaker.mp4" if clip == "sample" else Path(clip)
    root = work / ("sample" if clip == "sample" else source.stem)
    for stage in STAGES[: STAGES.index("face_sync") + 1]:
        process.run(process.Options(video=source, workspace=root, stage=stage), reporter)
    return Workspace.open(root)


def copied(workspace: Workspace, root: Path) -> Workspace:
    """A copy without checkpoints, for a training that must not touch the original. Frames are linked, not copied."""
    shutil.rmtree(root, ignore_errors=True)
    kept = ("checkpoints", "renders", "reports", ".lock*", "lock*")
    images = ("frames", "mattes", "plate")
    shutil.copytree(workspace.root, root, ignore=shutil.ignore_patterns(*kept, *images))
    for name in images:
        shutil.copytree(workspace.root / name, root / name, copy_function=_link)
    return Workspace.open(root)


def repeated(workspace: Workspace, root: Path, seconds: float) -> Workspace:
    """A workspace of the clip repeated, or cut, to this length."""
    clip = copied(workspace, root)
    frames, before = int(seconds * clip.subject.fps), clip.subject.frames
    turn = [index % before for index in range(frames)]
    for name, suffix in (("frames", "jpg"), ("mattes", "png"), ("plate", "jpg")):
        for index in range(before, frames):
            target = root / name / f"{index:06d}.{suffix}"
            if not target.exists():
                _link(root / name / f"{turn[index]:06d}.{suffix}", target)
    for name in ("tracking.npz", "head_sync.npz"):
        arrays = read_arrays(root / name)
        write_arrays(
            root / name,
            **{key: value[turn] if value.ndim and len(value) == before else value for key, value in arrays.items()},
        )
    clip.subject.frames = frames
    clip.subject.duration_s = frames / clip.subject.fps
    clip.save()
    return clip


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)
