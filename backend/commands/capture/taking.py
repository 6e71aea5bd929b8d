"""What every verb that makes a take has in common: its options and its result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...progress import Reporter
from ..head import head_option, idle_option
from ..marking import Signature, open_seal, sign_speech
from ..option import option
from .fitting import Fitting

if TYPE_CHECKING:
    from ...capture.face_capture import FaceCapture
    from ...workspace.store import Workspace


@dataclass(frozen=True)
class Taking(Fitting, Signature):
    workspace: Path = option("a processed workspace: whose head is driven")
    out: Path | None = option(
        "the animation, a path ending in .npz (renders/NAME/animation.npz in the workspace)", None
    )
    audio: Path | None = option("the take's audio, in place of what came with it", None)
    audio_offset_ms: float = option("how late that audio runs, in ms; it is taken out", 0.0, flag="--audio-offset")
    idle_s: tuple[float, ...] = idle_option(default=(0.0, 0.0))
    head: str = head_option()

    def __post_init__(self) -> None:
        """
        Raises:
            UsageError: an animation of another suffix.
        """
        super().__post_init__()
        if self.out is not None and self.out.suffix.lower() != ".npz":
            raise UsageError(f"{self.out}: the name of an animation must end in .npz")

    def opened(self) -> Workspace:
        """The workspace of the head; what else could fail is tried before a clip is tracked for minutes.

        Raises:
            UsageError: the file of gains cannot be used.
            WorkspaceError: it is not processed.
        """
        from ...workspace.store import Workspace

        workspace = Workspace.open(self.workspace)
        workspace.require("media", "landmarks", "head_sync", "face_sync")
        self.fit()
        return workspace


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
    """Of the first sample; empty where the source has none."""

    def in_words(self) -> str:
        """What was taken, and where it is."""
        lines = [
            f"{self.animation}: {self.frames} frames, {self.duration_s:.2f} s, from {self.source_fps:.5g} a second",
            f"taken: {', '.join(self.taken)}",
        ]
        lines += [f"at rest, as the capture lacks them: {', '.join(self.missing)}"] if self.missing else []
        return "\n".join([*lines, f"audio: {self.audio}" if self.audio else "no audio: give it with --audio"])


def made_of(
    options: Taking, workspace: Workspace, capture: FaceCapture, name: str, audio_offset_ms: float, reporter: Reporter
) -> Result:
    """The take that options ask for.

    Args:
        name: of the take, where the options give no file.
        audio_offset_ms: how late the capture's own audio, or the one given, runs.

    Raises:
        ProvenanceError: the certificate does not suit, or signing failed, which leaves the audio unsigned.
        SyncTalkError: the capture, its audio or the workspace cannot be used.
    """
    from ...capture.take import missing_shapes, taken_parts, write_take
    from ...delivery.provenance.manifest import SPEECH

    if options.audio is not None:
        start_s = 0.0 if capture.audio else capture.times_s[0]
        capture = replace(capture, audio=options.audio, times_s=capture.times_s - start_s)
        audio_offset_ms = options.audio_offset_ms
    fit, out = options.fit(), options.out or workspace.renders / (name or "take") / "animation.npz"
    seal, _ = open_seal(options, workspace, None, SPEECH, reporter)
    made = write_take(
        workspace,
        capture,
        out,
        fit,
        reporter,
        audio_offset_ms=audio_offset_ms,
        idle_s=options.idle_s,
        head=options.head,
    )
    sign_speech(seal, made.audio, capture.audio, workspace)
    return Result(
        out,
        made.frames,
        made.frames / made.fps,
        made.audio,
        taken_parts(capture, fit.take),
        missing_shapes(capture, fit.take),
        float(capture.rate),
        "" if capture.start is None else str(capture.start),
    )
