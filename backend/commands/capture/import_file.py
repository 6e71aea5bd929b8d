"""`capture import`: a file of face data becomes a take, `renders/NAME/animation.npz` and `speech.wav`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ...errors import UsageError
from ...progress import Reporter
from ..option import option
from .taking import Result, Taking, made_of


@dataclass(frozen=True)
class Options(Taking):
    file: Path = option("Live Link Face CSV or take folder, Audio2Face JSON, USD, BVH, CSV or JSON", positional=True)
    fps: float | None = option("samples a second, in place of what the file states", None)
    head_joint: str | None = option("the head's joint in BVH or USD (the one named head)", None)

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: a rate that is none.
        """
        super().__post_init__()
        if self.fps is not None and not 1 <= self.fps <= 500:
            raise UsageError(f"fps must be a rate from 1 to 500, not {self.fps:g}")


def run(options: Options, reporter: Reporter) -> Result:
    """Write the take.

    Raises:
        SyncTalkError: the file or the workspace cannot be used.
    """
    from ...capture.files import read_capture
    from ...capture.take import STAGE
    from ...workspace.frame_rate import exact_rate

    workspace = options.opened()
    reporter.progress(STAGE, 0, 2, "steps", "reading the file")
    fps = None if options.fps is None else exact_rate(Fraction(options.fps))
    capture = read_capture(options.file, reporter, fps=fps, head_joint=options.head_joint)
    return made_of(options, workspace, capture, options.file.stem, options.audio_offset_ms, reporter)


def in_words(result: Result) -> str:
    """What was taken, and where it is."""
    return result.in_words()
