"""`bench process`: frames a second, memory and the time of each stage of `process` on a clip."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..commands.option import option
from ..estimate import HISTORY_VARIABLE
from ..progress import Reporter
from ..workspace.store import Workspace
from . import pages
from .apart import run_apart
from .markdown import table
from .subject import CONSENT, SAMPLE


@dataclass(frozen=True)
class Options(pages.PageOptions):
    clip: tuple[str, ...] = option("videos, or sample", ("sample",), nargs="+", metavar="V")


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The rows of all clips, each processed from the start in a process of its own.

    Raises:
        SyncTalkError: a sentence on what is wrong with a clip.
    """
    rows = []
    for done, clip in enumerate(options.clip):
        reporter.progress("bench process", done, len(options.clip), "clips", clip)
        rows.append(measured(SAMPLE / "speaker.mp4" if clip == "sample" else Path(clip)))
    return pages.kept("process", options, {"clips": rows}, in_words({"clips": rows}))


def measured(clip: Path) -> dict[str, Any]:
    """What `process` takes for a clip: frames, seconds, processor time, memory, and the seconds of each stage."""
    with tempfile.TemporaryDirectory(prefix="bench-process-") as folder:
        root, history = Path(folder, "workspace"), Path(folder, "durations.json")
        arguments = (str(clip.absolute()), "--workspace", str(root), "--consent", CONSENT)
        done = run_apart("backend", "process", *arguments, environment={HISTORY_VARIABLE: str(history)})
        stages = json.loads(history.read_text(encoding="utf-8"))["stages"]
        subject = Workspace.open(root).subject
    return {
        "clip": clip.stem,
        "frames": subject.frames,
        "size": subject.size,
        "seconds": done.seconds,
        "frames_per_s": subject.frames / done.seconds,
        "cpu_s": done.cpu_s,
        "memory_mb": done.memory_mb,
        "stages_s": {name: runs[-1]["seconds"] for name, runs in stages.items()},
    }


def in_words(result: dict[str, Any]) -> str:
    """A row for each clip."""
    names = list(dict.fromkeys(name for row in result["clips"] for name in row["stages_s"]))
    heading = ["clip", "frames", "side", "frames/s", "seconds", *names, "processor", "memory"]
    rows = []
    for row in result["clips"]:
        stages = [f"{row['stages_s'][name]:.1f}" if name in row["stages_s"] else "–" for name in names]
        cells = [row["clip"], f"{row['frames']:,}", f"{row['size']} px", f"{row['frames_per_s']:.1f}"]
        rows.append([*cells, f"{row['seconds']:.1f}", *stages, f"{row['cpu_s']:.0f} s", f"{row['memory_mb']:.0f} MB"])
    return "\n".join(table(heading, rows))
