"""`speak`: audio becomes an animation of the head, `renders/NAME/animation.npz` and `speech.wav`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from ..progress import Reporter
from .head import head_option, idle_option
from .marking import Signature, open_seal, sign_speech
from .option import CheckedOptions, option


@dataclass(frozen=True)
class Delivery:
    """How the audio is spoken."""

    strength: float = option("scale of the mouth's motion: 0 still, 1 natural", 1.0)
    smoothing_ms: float = option("smoothing of the mouth's motion, width in ms", 0.0)
    offset_ms: float = option("shift of the mouth against the audio, in ms; positive is earlier", 0.0)
    close_in_silence: bool = option("close the lips in pauses", False)
    idle_s: tuple[float, ...] = idle_option(default=(0.0, 0.0))

    @classmethod
    def of(cls, options: Delivery) -> Delivery:
        """The delivery among the options of a command."""
        return cls(**{item.name: getattr(options, item.name) for item in dataclasses.fields(cls)})


@dataclass(frozen=True)
class Options(Delivery, Signature, CheckedOptions):
    workspace: Path = option("a processed workspace", positional=True)
    audio: Path | None = option("what to speak; without it the clip itself is reproduced", None)
    out: Path | None = option("folder of the animation (renders/NAME in the workspace)", None)
    head: str = head_option()


@dataclass(frozen=True)
class Result:
    animation: Path
    frames: int
    duration_s: float
    audio: Path


def run(options: Options, reporter: Reporter) -> Result:
    """Write the animation.

    Raises:
        ProvenanceError: the certificate does not suit, or signing failed, which leaves the audio unsigned.
        SyncTalkError: the audio or the workspace cannot be used.
    """
    from ..delivery.provenance.manifest import SPEECH
    from ..face_sync.speak import speak
    from ..training.lip_gain import speech_gain
    from ..workspace.store import Workspace

    workspace = Workspace.open(options.workspace)
    workspace.require("media", "landmarks", "head_sync", "face_sync")
    folder = options.out or workspace.renders / (options.audio.stem if options.audio else "reproduction")
    delivery = dataclasses.asdict(Delivery.of(options))
    seal, _ = open_seal(options, workspace, None, SPEECH, reporter)
    gain = speech_gain(workspace, options.head)
    path = speak(workspace, options.audio, folder, head=options.head, speech_gain=gain, reporter=reporter, **delivery)
    spoken, audio = workspace.animation(path), path.with_name("speech.wav")
    sign_speech(seal, audio, options.audio, workspace)
    return Result(path, spoken.frames, spoken.frames / spoken.fps, audio)
