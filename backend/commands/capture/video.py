"""`capture video`: another person's clip, tracked by the stages of `process`, drives this head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import UsageError
from ...progress import Reporter
from ...protocol import Stage
from .. import process
from ..option import option
from .taking import Result, Taking, made_of

_STAGES = (Stage.MEDIA.value, Stage.LANDMARKS.value, Stage.HEAD_SYNC.value, Stage.FACE_SYNC.value)
"""What a face is captured by; mattes and background are of the head that is shown."""


@dataclass(frozen=True)
class Options(Taking):
    video: Path = option("a clip of the person who drives, or a workspace of one", positional=True)
    tracked: Path | None = option("the workspace to track the clip in; kept, so that it resumes (captures/NAME)", None)
    landmarker: str = option(
        "which landmark model, as process has it", "auto", flag="--landmarks", choices=process.LANDMARKERS
    )

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: the head's own workspace as the one to track the other person in.
        """
        super().__post_init__()
        if self.tracked is not None and self.tracked.absolute() == self.workspace.absolute():
            raise UsageError("tracked must be another workspace than the one of the head that is driven")


def run(options: Options, reporter: Reporter) -> Result:
    """Track the clip as far as it is not yet, and write the take.

    Raises:
        SyncTalkError: the clip or the workspace cannot be used.
        Cancelled: what was tracked is kept.
    """
    from ...capture.from_video import TrackedFace
    from ...workspace.store import Workspace

    workspace = options.opened()
    if (options.video / "subject.json").is_file():
        driver = Workspace.open(options.video)
        name = driver.root.name.removesuffix(".synctalk")
    else:
        name = options.video.stem
        folder = options.tracked or workspace.root / "captures" / name
        asked = process.Options(video=options.video, workspace=folder, landmarker=options.landmarker)
        driver = Workspace.open(process.run(asked, reporter, _STAGES).workspace)
    tracked = TrackedFace.of(driver)
    offset_ms = tracked.audio_offset_ms + options.audio_offset_ms
    return made_of(options, workspace, tracked.capture, name, offset_ms, reporter)


def in_words(result: Result) -> str:
    """What was taken, and where it is."""
    return result.in_words()
