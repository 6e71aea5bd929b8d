"""`bench process`: frames a second, memory and the time of each stage of `process` on a clip."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from ..estimate import HISTORY_VARIABLE
from ..progress import Reporter
from ..workspace.store import Workspace
from ..workspace.subject import STAGES
from . import pages
from .apart import CHECKOUT, run_apart
from .markdown import table
from .options import Process as Options
from .subject import CONSENT, SAMPLE


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The rows of all clips, each processed from the start in a process of its own.

    Raises:
        SyncTalkError: a sentence on what is wrong with a clip.
    """
    rows = []
    for done, clip in enumerate(options.clip):
        reporter.progress("bench process", done, len(options.clip), "clips", clip)
        path = SAMPLE / "speaker.mp4" if clip == "sample" else Path(clip)
        rows.append(measured(path) if options.against is None else compared(path, options.against, options.runs))
        if options.stages:
            rows[-1]["stages_cpu_s"] = stages_cpu_s(path)
    return pages.kept("process", options, {"clips": rows}, in_words({"clips": rows}))


def measured(clip: Path, checkout: Path = CHECKOUT) -> dict[str, Any]:
    """What `process` takes for a clip: frames, seconds, processor time, memory, and the seconds of each stage.

    Args:
        checkout: of which version.
    """
    with tempfile.TemporaryDirectory(prefix="bench-process-") as folder:
        root, history = Path(folder, "workspace"), Path(folder, "durations.json")
        arguments = (str(clip.absolute()), "--workspace", str(root), "--consent", CONSENT)
        done = run_apart(
            "backend", "process", *arguments, environment={HISTORY_VARIABLE: str(history)}, checkout=checkout
        )
        stages = json.loads(history.read_text(encoding="utf-8"))["stages"]
        subject = Workspace.open(root).subject
    return {
        "clip": clip.stem,
        "frames": subject.frames,
        "size": subject.size,
        "seconds": done.seconds,
        "frames_per_s": subject.frames / done.seconds,
        "cpu_s": done.cpu_s,
        "cpu_ms": 1e3 * done.cpu_s / subject.frames,
        "other_cores": done.other_cores,
        "memory_mb": done.memory_mb,
        "stages_s": {name: stages[name][-1]["seconds"] for name in STAGES if name in stages},
    }


def compared(clip: Path, checkout: Path, runs: int) -> dict[str, Any]:
    """`measured` of this version, the median of some runs by processor time, with an earlier version's, run in turn.

    The row has `earlier`: its version's row, `commit`, and the medians of the ratios of neighbouring runs: `speedup` in frames a
    second, `saving` in processor time.
    """
    pairs = [(measured(clip), measured(clip, checkout)) for _ in range(runs)]
    own, earlier = (sorted(rows, key=lambda row: row["cpu_s"])[runs // 2] for rows in zip(*pairs, strict=True))
    ratios = {
        "speedup": median(new["frames_per_s"] / old["frames_per_s"] for new, old in pairs),
        "saving": median(old["cpu_s"] / new["cpu_s"] for new, old in pairs),
    }
    return {**own, "earlier": {**earlier, "commit": _commit(checkout), **ratios}}


def stages_cpu_s(clip: Path) -> dict[str, float]:
    """Processor seconds of each stage in a process of its own, its start and imports among them."""
    with tempfile.TemporaryDirectory(prefix="bench-process-") as folder:
        arguments = (str(clip.absolute()), "--workspace", str(Path(folder, "workspace")), "--consent", CONSENT)
        return {name: run_apart("backend", "process", *arguments, "--stage", name).cpu_s for name in STAGES}


def _commit(checkout: Path) -> str:
    """The commit of a checkout, short; empty where it cannot be asked."""
    found = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()


def in_words(result: dict[str, Any]) -> str:
    """A row for each clip and version, and the processor time of each stage."""
    clips = result["clips"]
    names = list(dict.fromkeys(name for row in clips for name in row["stages_s"]))
    heading = ["clip", "version", "frames", "side", "frames/s", "seconds", *names, "processor", "memory", "others"]
    rows = []
    for clip in clips:
        earlier = clip.get("earlier")
        for version, row in (("this", clip), *([(earlier["commit"], earlier)] if earlier else [])):
            stages = [f"{row['stages_s'][name]:.1f}" if name in row["stages_s"] else "–" for name in names]
            cells = [row["clip"], version, f"{row['frames']:,}", f"{row['size']} px", f"{row['frames_per_s']:.1f}"]
            cells += [f"{row['seconds']:.1f}", *stages, f"{row['cpu_s']:.0f} s", f"{row['memory_mb']:.0f} MB"]
            rows.append([*cells, f"{row['other_cores']:.1f} cores"])
    lines = [*table(heading, rows), "", "`portrait_sync` runs beside `face_sync`: the seconds of both overlap."]
    if spent := [clip for clip in clips if "stages_cpu_s" in clip]:
        per_frame = [
            [clip["clip"], *(f"{1e3 * clip['stages_cpu_s'][name] / clip['frames']:.1f}" for name in STAGES)]
            for clip in spent
        ]
        lines += ["", "Processor milliseconds a frame, each stage in a process of its own:", ""]
        lines += table(["clip", *STAGES], per_frame)
    if any("earlier" in clip for clip in clips):
        lines += [
            "",
            "“others”: cores that other processes kept busy meanwhile. With any, the two versions had unequal shares of",
        ]
        lines += ["the machine: then only their processor time can be compared."]
    return "\n".join(lines)
