"""A file's audio as it is, uncompressed: what a MOV carries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import soundfile

from ..errors import AudioError, StorageError
from .audio import convert_audio
from .audio_choice import choose_audio
from .audio_frames import stored_samples
from .audio_rates import DELIVERY_RATE
from .source import decoded, open_media
from .timeline import timeline_of

_SUBTYPES = {"u1": "PCM_U8", "i2": "PCM_16", "i4": "PCM_24", "f4": "FLOAT"}
"""Of a WAV, by how samples are decoded: 24 bits come as the high ones of 32."""


def write_uncompressed(source: Path, path: Path) -> None:
    """Write a file's audio as WAV, sample for sample, with its own rate and one or two channels.

    The track is that of `read_audio`, and begins with the same sample. What was compressed with loss becomes 24 bit. Audio with
    more channels, or that changes on the way, has no such copy: it becomes 16 bit mono at `DELIVERY_RATE`, as `convert_audio` has it.

    Args:
        path: of a temporary WAV (RF64, beyond 4 GB too).

    Raises:
        MediaError, AudioError: it cannot be read.
        StorageError: the disk is full or the place is read-only.
    """
    frames = _frames(source)
    first, codec = next(frames, (None, ""))
    if first is None:
        raise AudioError(f"No audio of {source} can be decoded: convert it to WAV.")
    stored, rate = stored_samples(first), first.rate
    kind = stored.dtype.str[1:]
    lossy = kind in ("f4", "f8") and not codec.startswith("pcm_")
    subtype = "PCM_24" if lossy else "PCM_32" if codec.startswith("pcm_s32") else _SUBTYPES.get(kind)
    try:
        copied = subtype is not None and len(stored) <= 2 and _write(path, frames, stored, rate, subtype)
    except (soundfile.LibsndfileError, OSError) as error:
        raise StorageError(f"{path} cannot be written ({error}): free space on that disk.") from error
    if not copied:
        convert_audio(source, path, DELIVERY_RATE)


def _write(path: Path, frames: Iterator, first: np.ndarray, rate: int, subtype: str) -> bool:
    """Whether all of the audio is like its first frame; else `path` holds what precedes the change."""
    with soundfile.SoundFile(path, "w", rate, len(first), subtype, format="RF64") as wav:
        wav.write(_for_soundfile(first))
        for frame, _ in frames:
            stored = stored_samples(frame)
            if (frame.rate, stored.dtype, len(stored)) != (rate, first.dtype, len(first)):
                return False
            wav.write(_for_soundfile(stored))
    return True


def _for_soundfile(stored: np.ndarray) -> np.ndarray:
    """(samples, channels); unsigned bytes as 16 bits, of which 8 bit WAV takes the high ones."""
    if stored.dtype == np.uint8:
        stored = (stored.astype(np.int16) - 128) << 8
    return np.ascontiguousarray(stored.T)


def _frames(source: Path) -> Iterator[tuple[av.AudioFrame, str]]:
    """Decoded frames and the name of the codec."""
    choice = choose_audio(source)
    if choice is None:
        raise AudioError(f"{source} has no audio: give a file with speech.")
    track = timeline_of(source).tracks[choice.track]
    with open_media(source) as container:
        stream = container.streams[choice.track]
        for frame in decoded(container, stream, track):
            yield frame, stream.codec_context.name
