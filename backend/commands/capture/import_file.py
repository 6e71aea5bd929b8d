"""`capture import`: a file of face data becomes a take, `renders/NAME/animation.npz` and `speech.wav`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from ...errors import UsageError
from ...progress import Reporter
from ..head import head_option
from ..option import option
from .fitting import Fitting


@dataclass(frozen=True)
class Options(Fitting):
    file: Path = option("Live Link Face CSV or take folder, Audio2Face JSON, USD, BVH, CSV or JSON", positional=True)
    workspace: Path = option("a processed workspace: whose head is driven")
    out: Path | None = option(
        "the animation, a path ending in .npz (renders/NAME/animation.npz in the workspace)", None
    )
    audio: Path | None = option("the take's audio (what lies beside the file)", None)
    fps: float | None = option("samples a second, in place of what the file states", None)
    head_joint: str | None = option("the head's joint in BVH or USD (the one named head)", None)
    idle_s: tuple[float, ...] = option(
        "the part of the clip to stay in, seconds; 0 0 is all of it",
        (0.0, 0.0),
        flag="--idle",
        metavar=("FROM", "TO"),
        nargs=2,
    )
    head: str = head_option()

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: an animation of another suffix, or a rate that is none.
        """
        super().__post_init__()
        if self.out is not None and self.out.suffix.lower() != ".npz":
            raise UsageError(f"{self.out}: the name of an animation must end in .npz")
        if self.fps is not None and not 1 <= self.fps <= 500:
            raise UsageError(f"fps must be a rate from 1 to 500, not {self.fps:g}")


@dataclass(frozen=True)
class Result:
    animation: Path
    frames: int
    duration_s: float
    audio: Path | None
    """Beside the animation; None where the take has none."""
    taken: tuple[str, ...]
    """Of the parts to take those that the capture drives."""
    missing: tuple[str, ...]
    """Shapes that rest because the capture lacks them, though it drives their part."""
    source_fps: float
    timecode: str
    """Of the first sample; empty where the file has none."""


def run(options: Options, reporter: Reporter) -> Result:
    """Write the take.

    Raises:
        SyncTalkError: the file or the workspace cannot be used.
    """
    from ...capture.files import read_capture
    from ...capture.take import STAGE, missing_shapes, taken_parts, write_take
    from ...workspace.frame_rate import exact_rate
    from ...workspace.store import Workspace

    fit = options.fit()
    workspace = Workspace.open(options.workspace)
    workspace.require("media", "landmarks", "head_sync", "face_sync")
    reporter.progress(STAGE, 0, 2, "steps", "reading the file")
    fps = None if options.fps is None else exact_rate(Fraction(options.fps))
    capture = read_capture(options.file, reporter, fps=fps, head_joint=options.head_joint)
    if options.audio is not None:
        start_s = 0.0 if capture.audio else capture.times_s[0]
        capture = replace(capture, audio=options.audio, times_s=capture.times_s - start_s)
    out = options.out or workspace.renders / (options.file.stem or "take") / "animation.npz"
    made = write_take(workspace, capture, out, fit, reporter, idle_s=options.idle_s, head=options.head)
    missing = missing_shapes(capture, fit.take)
    return Result(
        out,
        made.frames,
        made.frames / made.fps,
        made.audio,
        taken_parts(capture, fit.take),
        missing,
        float(capture.rate),
        "" if capture.start is None else str(capture.start),
    )


def in_words(result: Result) -> str:
    """What was taken, and where it is."""
    lines = [
        f"{result.animation}: {result.frames} frames, {result.duration_s:.2f} s, from {result.source_fps:.5g} a second",
        f"taken: {', '.join(result.taken)}",
    ]
    lines += [f"at rest, as the file lacks them: {', '.join(result.missing)}"] if result.missing else []
    lines += [f"audio: {result.audio}" if result.audio else "no audio: give it with --audio"]
    return "\n".join(lines)
