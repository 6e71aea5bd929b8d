"""The part of a take's audio that belongs to some of its frames. Standard library and NumPy: Blender cuts with it too."""

from __future__ import annotations

import wave
from pathlib import Path

from ..errors import AudioError
from .files import atomic_path

_BYTE_MIDDLE = b"\x80"
"""Silence of 8 bit WAV, which has no sign."""


def cut_audio(source: Path, path: Path, start_s: float, duration_s: float) -> None:
    """Write `duration_s` of a WAV from `start_s` on, sample for sample, atomically; silence where it has none.

    Raises:
        AudioError: it is missing or no WAV of whole numbers.
        StorageError: the disk is full or the place is read-only.
    """
    try:
        with wave.open(str(source), "rb") as file:
            settings, rate, length = file.getparams(), file.getframerate(), file.getnframes()
            first, count = round(start_s * rate), round(duration_s * rate)
            begin, end = min(max(first, 0), length), min(max(first + count, 0), length)
            file.setpos(begin)
            samples = file.readframes(end - begin)
    except (OSError, EOFError, wave.Error) as error:
        raise AudioError(
            f"{source} cannot be cut to the frames ({error}): give a WAV of 8, 16, 24 or 32 bits, or export without audio."
        ) from error
    size = settings.nchannels * settings.sampwidth
    silence = (_BYTE_MIDDLE if settings.sampwidth == 1 else b"\0") * size
    before = min(max(-first, 0), count)
    samples = silence * before + samples
    samples += silence * (count - len(samples) // size)
    with atomic_path(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setparams(settings)
        file.writeframes(samples)
