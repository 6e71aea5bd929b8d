"""`actor`: the synthetic speaker, a clip with known truth."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..progress import Reporter, format_duration
from .option import option


@dataclass(frozen=True)
class Options:
    out: Path = option("folder for speaker.mp4, drive.wav and truth.npz", positional=True)
    text: str | None = option("what the speaker says (the embedded sample's text)", None)
    voice: str | None = option("a flite voice (awb, kal16, rms, slt) or an espeak-ng voice (flite's rms)", None)
    drive_text: str | None = option("what the other voice says in drive.wav (the embedded sample's text)", None)
    drive_voice: str | None = option("its voice (flite's slt)", None)
    seconds: float = option("length of the clip, seconds", 10.0)
    size: int = option("side of the frames, pixels", 512)
    seed: int = option("random seed of head motion, blinks and hair", 7)
    samples: int = option("render samples a pixel", 6)
    blender: str | None = option("a Python that can import bpy (.venvs/blender)", None, metavar="PYTHON")
    keep_frames: bool = option("keep the frames and the character in OUT", False)


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """Make the clip; the result is its record and the time taken.

    Raises:
        SyncTalkError: a speech program or Blender is missing, or failed.
    """
    from ..actor.production import Script, produce

    names = {item.name for item in dataclasses.fields(Script)}
    given = {name: value for name, value in vars(options).items() if name in names and value is not None}
    started = time.monotonic()
    result = produce(options.out, Script(**given), reporter, blender=options.blender, keep=options.keep_frames)
    return {**result, "out": str(options.out), "took_s": round(time.monotonic() - started, 1)}


def in_words(result: dict[str, Any]) -> str:
    """What was made."""
    return f"{result['out']}: {result['frames']} frames, made in {format_duration(result['took_s'])}"
