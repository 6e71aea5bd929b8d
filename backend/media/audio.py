"""Audio as 16 kHz mono: of a clip, in time with its video, and of any file that is to be spoken."""

from __future__ import annotations

import contextlib
import os
import wave
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr

from ..errors import AudioError, MediaError
from ..progress import Reporter
from ..workspace.files import atomic_path
from ..workspace.store import Workspace
from ..workspace.subject import AudioPiece
from .audio_choice import choose_audio
from .audio_frames import samples_of
from .audio_rates import RATE
from .audio_timeline import aligned
from .decode import probe
from .source import decoded, open_media
from .timeline import timeline_of

SILENCE = 10 ** (-55 / 20)
"""Audio that stays below -55 dBFS at its loudest has no speech above the noise."""

MIN_SPEECH_S = 0.3

_GAP_S = 0.05
"""Time stamps of audio that are off by less are rounding, not a gap."""

_SPLICE_GAP_S, _NEAR_S = 0.005, 0.5
"""Where files were joined less is a gap too: the padding of audio codecs."""


def read_audio(path: str | os.PathLike, rate: int = RATE) -> np.ndarray:
    """The audio of an audio or video file.

    Args:
        path: WAV, MP3, M4A, FLAC, OGG, MP4, ... of any rate and layout.
        rate: samples a second of the result.

    Returns:
        (samples,) float32 in [-1, 1], mono, from the first sample on.

    Raises:
        MediaError: the file cannot be opened.
        AudioError: it has no audio track, or not one sample can be decoded.
    """
    return np.concatenate(list(audio_blocks(path, rate)))


def audio_blocks(path: str | os.PathLike, rate: int = RATE) -> Iterator[np.ndarray]:
    """`read_audio` block by block, for audio that is too long to hold; same exceptions, during iteration."""
    path, empty = Path(path), True
    for _, samples in _resampled(path, rate):
        empty = False
        yield samples
    if empty:
        raise AudioError(f"No audio of {path} can be decoded: convert it to WAV.")


def check_speech(samples: np.ndarray, rate: int = RATE, name: object = "The audio") -> None:
    """Reject audio without usable speech.

    Args:
        samples: (samples,) float32 in [-1, 1].
        rate: samples a second.
        name: the file, for the message.

    Raises:
        AudioError: shorter than 0.3 s, or silent.
    """
    deque(checked_speech([samples], rate, name), maxlen=0)


def checked_speech(audio: Iterable[np.ndarray], rate: int = RATE, name: object = "The audio") -> Iterator[np.ndarray]:
    """Pass on an audio block by block; raises what `check_speech` raises, at the latest after the last block."""
    samples, loud = 0, 0.0
    for block in audio:
        if not np.isfinite(block).all():
            raise AudioError(f"{name} contains invalid samples (NaN or infinity): export it again as 16 bit WAV.")
        samples += len(block)
        loud = max(loud, loudness(block))
        yield block
    _check_duration(samples / rate, name)
    _check_loudness(loud, name)


def _check_duration(duration_s: float, name: object) -> None:
    if duration_s < MIN_SPEECH_S:
        raise AudioError(f"{name} lasts {duration_s:.2f} s: give speech of at least {MIN_SPEECH_S} s.")


def _check_loudness(loud: float, name: object) -> None:
    if loud < SILENCE:
        raise AudioError(f"{name} is silent ({_decibels(loud)}): check the microphone or choose another file.")


def loudness(samples: np.ndarray) -> float:
    """The amplitude that 1 sample in 1000 exceeds, without the audio's constant part; in [0, 1]."""
    if len(samples) == 0:
        return 0.0
    return float(np.quantile(np.abs(samples - np.mean(samples)), 0.999))


def write_wav(path: str | os.PathLike, audio: Iterable[np.ndarray], rate: int = RATE) -> int:
    """Write blocks of mono float32 samples in [-1, 1] as 16 bit WAV, atomically.

    Returns:
        How many samples were written.

    Raises:
        StorageError: the disk is full or the place is read-only.
        Whatever reading the audio raises; then nothing is written.
    """
    with atomic_path(Path(path)) as temporary:
        return _write_wave(temporary, audio, rate)


def convert_audio(source: Path, path: Path, rate: int) -> int:
    """Write any file's audio as 16 bit mono WAV of `rate`; `read_audio`'s exceptions, and how many samples were written."""
    return write_wav(path, audio_blocks(source, rate), rate)


def wav_blocks(path: Path) -> Generator[np.ndarray, None, None]:
    """A WAV that `write_wav` wrote, in blocks of a second: (samples,) float32 in [-1, 1]."""
    with wave.open(str(path), "rb") as file:
        while data := file.readframes(file.getframerate()):
            yield np.frombuffer(data, "<i2").astype(np.float32) / 32767


def convert_speech(source: Path, path: Path, rate: int, reporter: Reporter) -> int:
    """Write any file's audio as 16 bit mono WAV of `rate`, if it can be spoken; warns of an unusual choice of track or channels.

    Returns:
        How many samples were written.

    Raises:
        MediaError, AudioError: it cannot be read, is shorter than 0.3 s, or silent.
        StorageError: the disk is full or the place is read-only.
        Cancelled: the user asked to stop.
    """

    def blocks() -> Iterator[np.ndarray]:
        for block in checked_speech(audio_blocks(source, rate), rate, source):
            reporter.check_cancelled("reading the audio")
            yield block

    samples = write_wav(path, blocks(), rate)
    choice = choose_audio(source)
    if choice is not None and choice.note:
        reporter.warning(choice.note)
    return samples


def check_clip_audio(source: Path) -> str:
    """Refuse a clip without audio to learn from; decodes it, keeping nothing.

    Returns:
        Which track and channels are read, as a sentence for the user where that is not the plain choice; else empty.

    Raises:
        AudioError: no audio track, nothing to decode, or silence; each names the clip.
    """
    loud = [loudness(samples) for _, samples, _ in _decoded(source)]
    if not loud:
        raise AudioError(f"No audio of {source} can be decoded: convert the clip to H.264 and AAC.")
    if max(loud) < SILENCE:
        raise AudioError(f"{source} is silent ({_decibels(max(loud))}): give a clip in which the person speaks.")
    choice = choose_audio(source)
    return choice.note if choice else ""


def write_clip_audio(source: Path, start_s: float, duration_s: float, path: Path) -> None:
    """Write the clip's audio as 16 kHz mono, beginning with the first image and as long as the video track.

    Args:
        source: the clip.
        start_s: time stamp of the first image (`ClipInfo.start_s`).
        duration_s: length to write; silence where the clip has no audio.
        path: of the WAV.

    Raises:
        AudioError: no audio track.
        StorageError: the disk is full or the place is read-only.
    """
    with atomic_path(path) as temporary:
        _write_wave(temporary, clip_audio(source, start_s, duration_s), RATE)


def write_take_audio(source: Path, duration_s: float, path: Path, rate: int, late_s: float = 0.0) -> None:
    """Write the audio of a take as mono WAV; of a video it begins with the first image.

    Args:
        source: an audio or video file.
        duration_s: length to write; what is missing is silence.
        late_s: how late the audio runs, which is taken out.
        path: of the WAV. rate: its samples a second.

    Raises:
        MediaError, AudioError: it cannot be read, or has no audio.
        StorageError: the disk is full or the place is read-only.
    """
    start_s = 0.0
    with contextlib.suppress(MediaError):
        start_s = probe(source).start_s
    write_wav(path, clip_audio(source, start_s + late_s, duration_s, rate), rate)


def clip_audio(source: Path, start_s: float, duration_s: float, rate: int = RATE) -> Iterator[np.ndarray]:
    """The clip's audio in blocks of (samples,) float32, mono, 16 kHz unless given: see `write_clip_audio`."""
    total, written = round(duration_s * rate), 0
    for time_s, samples in _resampled(source, rate):
        offset = round((time_s - start_s) * rate)
        if offset < written:  # Audio from before the first image.
            samples = samples[written - offset :]
            offset = written
        samples = samples[: max(total - offset, 0)]
        if len(samples):
            yield np.zeros(offset - written, np.float32)
            yield samples
            written = offset + len(samples)
    yield np.zeros(total - written, np.float32)


def workspace_audio(workspace: Workspace) -> np.ndarray:
    """The clip's audio as it belongs to the image: `audio.wav` with the subject's audio offset, or its offsets along the
    clip (`audio_timeline`), taken out.

    Returns:
        (samples,) float32 in [-1, 1], 16 kHz mono, as long as `audio.wav`; silence where the shift leaves nothing.
    """
    subject = workspace.subject
    pieces = subject.audio_timeline or [AudioPiece(0.0, subject.audio_offset_ms)]
    return aligned(read_audio(workspace.audio_path), pieces)


def video_time_audio(source: Path) -> Iterator[np.ndarray]:
    """Audio of a file in blocks, 16 kHz mono; of a video it begins with the first image and ends with the last.

    Raises:
        MediaError, AudioError: it cannot be read, or has no audio; on the way.
    """
    with contextlib.suppress(MediaError):
        info = probe(source)
        if info.duration_s > 0:
            return clip_audio(source, info.start_s, info.duration_s)
    return audio_blocks(source)


def _resampled(path: Path, rate: int) -> Iterator[tuple[float, np.ndarray]]:
    """(time of the first sample, mono samples at `rate`), one run of gapless audio after another."""
    resampler, time_s, expected_s, source_rate = None, 0.0, 0.0, 0
    splices_s: list[float] | None = None
    for chunk_s, chunk, chunk_rate in _decoded(path):
        if splices_s is None:
            splices_s = [splice.at_s for splice in timeline_of(path).splices]
        # A gap, or an overlap, begins a new run, as does a change of rate (a broadcast cut).
        rounding_s = _SPLICE_GAP_S if any(abs(chunk_s - at_s) < _NEAR_S for at_s in splices_s) else _GAP_S
        if resampler is not None and (abs(chunk_s - expected_s) > rounding_s or chunk_rate != source_rate):
            yield time_s, np.clip(resampler.resample_chunk(np.zeros(0, np.float32), last=True), -1, 1)
            resampler = None
        if resampler is None:
            resampler, time_s, source_rate = (
                soxr.ResampleStream(chunk_rate, rate, 1, dtype="float32"),
                chunk_s,
                chunk_rate,
            )
            expected_s = chunk_s
        expected_s += len(chunk) / chunk_rate
        samples = resampler.resample_chunk(chunk)
        yield time_s, np.clip(samples, -1, 1)
        time_s += len(samples) / rate
    if resampler is not None:
        yield time_s, np.clip(resampler.resample_chunk(np.zeros(0, np.float32), last=True), -1, 1)


def _decoded(path: Path) -> Iterator[tuple[float, np.ndarray, int]]:
    """(time in seconds, mono float32 samples, rate) of each decoded frame of the audio that `choose_audio` chose."""
    choice = choose_audio(path)
    if choice is None:
        raise AudioError(f"{path} has no audio: give a file with speech.")
    track = timeline_of(path).tracks[choice.track]
    with open_media(path) as container:
        end_s = 0.0
        for frame in decoded(container, container.streams[choice.track], track):
            time_s = float(frame.pts * frame.time_base) if frame.pts is not None else end_s
            samples = choice.mono(samples_of(frame))
            if len(samples):
                end_s = time_s + len(samples) / frame.rate
                yield time_s, samples, frame.rate


def _write_wave(path: Path, blocks: Iterable[np.ndarray], rate: int) -> int:
    written = 0
    with open(path, "wb") as raw, wave.open(raw, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        for samples in blocks:
            file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
            written += len(samples)
    return written


def _decibels(amplitude: float) -> str:
    return f"{20 * np.log10(amplitude):.0f} dBFS" if amplitude > 1e-6 else "no signal at all"
