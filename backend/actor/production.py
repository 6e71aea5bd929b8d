"""The production: speech, performance, character, render, video and truth, in one folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..errors import MediaError
from ..media.audio import write_wav
from ..media.audio_rates import RATE
from ..media.encode import VideoWriter
from ..media.synthesizer import Utterance, default_voice, synthesize
from ..progress import Reporter
from ..protocol import BLENDSHAPE_NAMES
from ..workspace.files import write_arrays
from . import frames
from .character import build_character
from .performance import FPS, NEUTRAL_S, Performance, perform
from .render import find_blender_python, render_frames

TEXT = (
    "Good morning. I am a face that nobody ever met. My voice moves my lips, and you know the truth of every frame. "
    "Watch me: oh, ah, you."
)
DRIVE_TEXT = (
    "Now somebody else is speaking, and the same face follows. Five brown foxes jump above the wall, "
    "while the moon shows us a beautiful view."
)


@dataclass(frozen=True)
class Script:
    """What to make: texts and voices, clip length (None: the text's), image side in pixels, samples a pixel."""

    text: str = TEXT
    voice: str | None = None
    drive_text: str = DRIVE_TEXT
    drive_voice: str | None = None
    seconds: float | None = 10.0
    size: int = 512
    seed: int = 7
    samples: int = 6
    strands: int = 24000


def produce(out: Path, script: Script, reporter: Reporter, blender: str | None = None, keep: bool = False) -> dict:
    """Write `speaker.mp4`, `drive.wav` and `truth.npz` into `out`; the truth's fields are in docs/actor.md.

    Frames stay in `out/frames` until the video is complete, so a stopped run resumes; `keep` leaves them there.

    Raises:
        SynthesizerError, BlenderError, StorageError, Cancelled: each with a sentence for the user.
    """
    if not 32 <= script.size <= 4096:
        raise MediaError(f"An image of {script.size} pixels cannot be made: choose --size from 32 to 4096.")
    if script.seconds is not None and not 0.04 <= script.seconds <= 600:
        raise MediaError(f"A clip of {script.seconds} s cannot be made: choose --seconds from 0.04 to 600.")
    python = find_blender_python(blender)
    speech = synthesize(script.text, script.voice or default_voice())
    seconds = script.seconds or speech.duration_s + NEUTRAL_S + 0.5
    if speech.duration_s + NEUTRAL_S > seconds + 0.05:
        reporter.warning(f"The text takes {speech.duration_s:.1f} s and is cut at {seconds:g} s; give --seconds more.")
    speech = speech.placed(NEUTRAL_S, seconds)
    drive = synthesize(script.drive_text, script.drive_voice or default_voice(drive=True)).placed(0.15)
    drive = drive.resampled(RATE)
    acted = perform(speech, seconds, script.seed)
    count = len(acted.time_s)

    folder = out / "frames"
    character, performance = out / "character.npz", out / "performance.npz"
    head = frames.head_to_camera(acted.euler_deg, acted.shift_m)
    reporter.progress("character", 0, 1, unit="parts")
    build_character(character, script.strands, script.seed)
    reporter.progress("character", 1, 1, unit="parts")
    write_arrays(
        performance,
        blendshapes=acted.blendshapes,
        blendshape_names=np.array(BLENDSHAPE_NAMES),
        head_to_camera=head,
        torso_to_camera=frames.torso_to_camera(acted.euler_deg, acted.shift_m),
    )
    images = render_frames(character, performance, folder, count, script.size, script.samples, python, reporter)

    audio = (speech.samples, speech.rate)
    with VideoWriter(out / "speaker.mp4", script.size, script.size, FPS, audio=audio, crf=17) as video:
        for path in images:
            video.write(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
    write_wav(out / "drive.wav", [drive.samples], drive.rate)
    write_arrays(out / "truth.npz", **truth(acted, head, speech, drive, script.size))
    if not keep:
        shutil.rmtree(folder)
        for path in (character, performance):
            path.unlink()
    return {"out": str(out), "frames": count, "seconds": count / FPS, "drive_seconds": round(drive.duration_s, 2)}


def truth(
    acted: Performance, head: np.ndarray, speech: Utterance, drive: Utterance, size: int
) -> dict[str, np.ndarray]:
    """The arrays of `truth.npz` (docs/actor.md)."""
    return {
        "frame_time_s": acted.time_s,
        "head_to_camera": head,
        "focal_px": np.array(frames.focal_px(size)),
        "principal_px": np.array([size / 2, size / 2]),
        "blendshapes": acted.blendshapes.astype(np.float32),
        "blendshape_names": np.array(BLENDSHAPE_NAMES),
        "phonemes": np.array(speech.phonemes),
        "phoneme_start_s": speech.start_s,
        "phoneme_end_s": speech.end_s,
        "drive_phonemes": np.array(drive.phonemes),
        "drive_phoneme_start_s": drive.start_s,
        "drive_phoneme_end_s": drive.end_s,
    }
