"""The audio of a loop, sample by sample where the loop's frames have it, however often it is played."""

from __future__ import annotations

import contextlib
import math
import tempfile
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...media.audio import convert_audio, workspace_audio, write_wav
from ...media.audio_rates import DELIVERY_RATE, RATE
from ...media.guard import guarded
from ...progress import Reporter
from ...workspace.animation import Animation
from ...workspace.shapes import Int
from ...workspace.store import Workspace

_FADE = DELIVERY_RATE // 100
"""Samples over which a loop's ends fade: where it begins again is no click."""


class LoopAudio:
    """Args:
    samples: 16 bit mono at `DELIVERY_RATE`, from the loop's first frame on; may be shorter or longer than the loop.
    length: of the loop in samples, which need not be whole: frames have 1601.6 at 30000/1001.
    """

    def __init__(self, samples: Int[np.ndarray, " samples"], length: Fraction) -> None:
        self._samples, self._length = samples, length

    def block(self, first: int, count: int) -> Int[np.ndarray, " count"]:
        """Samples from number `first` of the stream on, 16 bit."""
        found = np.zeros(count, np.int16)
        done = 0
        while done < count:
            turn = math.floor((first + done) / self._length)
            begin, end = (math.ceil((turn + more) * self._length) for more in (0, 1))
            part = min(count - done, end - first - done)
            found[done : done + part] = self._part(first + done - begin, part, end - begin)
            done += part
        return found

    def _part(self, start: int, count: int, length: int) -> np.ndarray:
        """Of one turn of the loop, which has `length` samples."""
        kept = self._samples[start : start + count]
        place = np.arange(start, start + len(kept))
        from_end = min(length, len(self._samples)) - 1 - place
        gain = np.clip(np.minimum(place, from_end) / _FADE, 0, 1)
        return np.pad(np.rint(kept * gain).astype(np.int16), (0, count - len(kept)))


@contextlib.contextmanager
def opened_audio(
    audio: Path | Workspace | None, first: int, loop: Animation, reporter: Reporter
) -> Iterator[LoopAudio]:
    """The audio of a loop, in a temporary file that is mapped: its length costs no memory.

    Args:
        audio: any file; a workspace for its clip's own, with its audio offset taken out; None for silence.
        first: frame of the audio with which the loop begins.

    Raises:
        MediaError, AudioError: it cannot be read.
    """
    length = loop.frames * DELIVERY_RATE / loop.rate
    if audio is None or not _path(audio).exists():
        yield LoopAudio(np.zeros(0, np.int16), length)
        return
    with tempfile.TemporaryDirectory(prefix="synctalk-stream-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "audio.wav"
        if isinstance(audio, Workspace):
            aligned = Path(folder) / "clip.wav"
            write_wav(aligned, [workspace_audio(audio)], RATE)
            convert_audio(aligned, path, DELIVERY_RATE)
        else:
            guarded(convert_audio, audio, path, DELIVERY_RATE, reporter=reporter, about=audio)
        with wave.open(str(path), "rb") as header:
            count = header.getnframes()
        begin = path.stat().st_size - 2 * count  # of a WAV that `write_wav` wrote
        samples = np.memmap(path, "<i2", "r", begin, (count,))
        yield LoopAudio(samples[round(first * DELIVERY_RATE / loop.rate) :], length)
        del samples  # Windows removes no file that is mapped


def _path(audio: Path | Workspace) -> Path:
    return audio.audio_path if isinstance(audio, Workspace) else audio
