"""Reads one variation as the stage `media` does, and measures where its frames and its audio came to lie."""

from __future__ import annotations

import shutil
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from backend.errors import SyncTalkError
from backend.media import stage
from backend.media.audio import RATE, read_audio
from backend.media.decode import FrameReader
from backend.progress import Reporter
from backend.workspace.store import Workspace

from .master import number_of

_WINDOW = round(0.8 * RATE)
_STEP = round(0.4 * RATE)


@dataclass
class Reading:
    """What came out.

    Attributes:
        state: `read`, `refused` (an error that is ours), `traceback`, or `died`.
        text: the sentence, or the traceback.
        frames: how many working frames there are, and fps: how many a second.
        numbers: (time, number of the master's frame) of those that can be read.
        audio: (time, time in the master, likeness) of intervals of the audio.
    """

    state: str
    text: str = ""
    warnings: list[str] = field(default_factory=list)
    frames: int = 0
    fps: float = 25.0
    numbers: list[tuple[float, int]] = field(default_factory=list)
    audio: list[tuple[float, float, float]] = field(default_factory=list)


def read(path: Path, root: Path, master_audio: np.ndarray) -> Reading:
    """Run the stage in this process and measure."""
    warnings: list[str] = []
    reporter = Reporter(on_log=lambda level, text: warnings.append(text) if level == "warning" else None)
    try:
        workspace = Workspace.create(root)
        with workspace.locked():
            stage.run(workspace, reporter, video=path, size=256)
        reader = FrameReader(path, corrections=workspace.subject.corrections)
        numbers = [(time_s, number_of(image)) for time_s, image in reader]
        return Reading(
            "read",
            warnings=warnings,
            frames=workspace.subject.frames,
            fps=workspace.subject.fps,
            numbers=[(time_s, number) for time_s, number in numbers if number is not None],
            audio=compare(read_audio(workspace.audio_path), master_audio),
        )
    except SyncTalkError as error:
        return Reading("refused", str(error), warnings)
    except Exception:  # noqa: BLE001 (to find them is what this is for)
        return Reading("traceback", traceback.format_exc(), warnings)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def compare(audio: np.ndarray, master_audio: np.ndarray) -> list[tuple[float, float, float]]:
    """Where in the master each interval of the audio comes from: (time, time in the master, correlation)."""
    found = []
    size = 1 << (len(master_audio) + _WINDOW).bit_length()
    spectrum = np.fft.rfft(master_audio, size)
    energy = np.concatenate([[0.0], np.cumsum(master_audio.astype(float) ** 2)])
    norms = np.sqrt(np.maximum(energy[_WINDOW:] - energy[:-_WINDOW], 1e-9))
    for start in range(0, len(audio) - _WINDOW + 1, _STEP):
        window = audio[start : start + _WINDOW]
        norm = float(np.linalg.norm(window))
        correlation = np.fft.irfft(spectrum * np.conj(np.fft.rfft(window, size)), size)[: len(norms)]
        likeness = np.abs(correlation) / (norms * max(norm, 1e-9))
        # Where the master is nearly silent its likeness says nothing.
        likeness = np.where(norms > 0.2 * np.median(norms), likeness, 0)
        best = int(likeness.argmax())
        found.append((start / RATE, best / RATE, float(likeness[best])))
    return found


__all__ = ["Reading", "compare", "read"]
