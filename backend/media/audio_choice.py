"""Which track and which channels of a file carry the speech: decided once a file, from all of it.

Loudspeaker layouts do not answer this. A camera's four channels are four sockets, two channels may be one microphone in
opposite polarity, a recorder's second channel may hold timecode. Each channel is measured: speech swells and falls
two to eight times a second (its syllables), where tones, hum, noise and timecode stay level.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import soxr

from .audio_frames import samples_of
from .decoders import decoder_of
from .source import open_media, packets

SPEECH_LIKE = 0.2
"""Depth of the envelope's modulation at 2 to 8 Hz, over its mean: speech 0.4 to 0.8, noise, tones and timecode below 0.1."""

QUIET = 10 ** (-60 / 20)
"""A channel with a speech band more than 60 dB below the loudest one's is not compared."""

_RATE = 8000
_BLOCK_S = 10
_STEP = 80  # 10 ms
_SYLLABLES_HZ = (2.0, 8.0)
_SPEECH_BAND_HZ = (250.0, 3500.0)
_OPPOSITE = -0.5
_WEAKER = 0.1
"""A channel of less than this share (-20 dB) of another's amplitude only halves their mean."""


@dataclass(frozen=True)
class AudioChoice:
    """What of a file is read.

    Attributes:
        track: index of the stream in its container.
        channels: by the number of channels of a frame, the ones that are averaged; all where the number is missing.
        note: a sentence for the user where the choice is not the plain one, else empty.
    """

    track: int
    channels: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    note: str = ""

    def mono(self, samples: np.ndarray) -> np.ndarray:
        """(samples,) float32 of (channels, samples)."""
        chosen = self.channels.get(len(samples))
        if chosen is not None and len(chosen) == 1:
            return samples[chosen[0]]
        return (samples if chosen is None else samples[list(chosen)]).mean(axis=0, dtype=np.float32)


@dataclass
class Heard:
    """What was heard on the channels of one track, all arrays (channels,).

    Attributes:
        level: mean amplitude of the speech band.
        swell: amplitude of that band's modulation at the rate of syllables.
        covariance: (channels, channels) of the samples.
        seconds: how long they lasted.
    """

    level: np.ndarray
    swell: np.ndarray
    covariance: np.ndarray
    seconds: float = 0.0

    @property
    def speech_like(self) -> np.ndarray:
        """(channels,) bool."""
        return (self.swell > SPEECH_LIKE * self.level) & (self.level > QUIET * max(self.level.max(), 1e-3))

    @property
    def best(self) -> int:
        """The channel with the strongest speech; the loudest where none is like speech."""
        if self.speech_like.any():
            return int(np.argmax(np.where(self.speech_like, self.swell, -1)))
        return int(np.argmax(np.diag(self.covariance)))

    def correlation(self, one: int, other: int) -> float:
        """Of two channels' samples, in [-1, 1]; 0 where one is silent."""
        scale = np.sqrt(self.covariance[one, one] * self.covariance[other, other])
        return float(self.covariance[one, other] / scale) if scale > 1e-15 else 0.0


class _Listener:
    """Listens to the channels of one track; its memory does not grow."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._rate = 0
        self._resampler: soxr.ResampleStream | None = None
        self._waiting = np.zeros((0, channels), np.float32)
        self._level, self._swell = np.zeros(channels), np.zeros(channels)
        self._covariance, self._samples = np.zeros((channels, channels)), 0

    def hear(self, samples: np.ndarray, rate: int) -> None:
        """Take (channels, samples) of `rate` a second."""
        if rate != self._rate:
            self._rate, self._resampler = rate, soxr.ResampleStream(rate, _RATE, self._channels, "float32", "LQ")
        assert self._resampler is not None
        clean = np.nan_to_num(samples.T, nan=0.0, posinf=1.0, neginf=-1.0)
        self._waiting = np.concatenate(
            [self._waiting, self._resampler.resample_chunk(clean).reshape(-1, self._channels)]
        )
        while len(self._waiting) >= _BLOCK_S * _RATE:
            self._take(self._waiting[: _BLOCK_S * _RATE])
            self._waiting = self._waiting[_BLOCK_S * _RATE :]

    def heard(self) -> Heard:
        """The result, at the end."""
        if self._resampler is not None:
            rest = self._resampler.resample_chunk(np.zeros((0, self._channels), np.float32), last=True)
            self._waiting = np.concatenate([self._waiting, rest.reshape(-1, self._channels)])
        if len(self._waiting):
            self._take(self._waiting)
        count = max(self._samples, 1)
        return Heard(self._level / count, self._swell / count, self._covariance / count, self._samples / _RATE)

    def _take(self, block: np.ndarray) -> None:
        centred = block - block.mean(0)
        self._covariance += (centred.T @ centred).astype(np.float64)
        self._samples += len(block)
        if len(block) < 2 * _STEP:
            return
        frames = np.lib.stride_tricks.sliding_window_view(centred, 2 * _STEP, axis=0)[::_STEP]
        power = np.abs(np.fft.rfft(frames * np.hanning(2 * _STEP).astype(np.float32), axis=-1)) ** 2
        low, high = (round(edge * 2 * _STEP / _RATE) for edge in _SPEECH_BAND_HZ)
        envelope = np.sqrt(power[:, :, low : high + 1].sum(-1)) / _STEP
        self._level += envelope.mean(0) * len(block)
        spectrum = np.abs(np.fft.rfft(envelope - envelope.mean(0), axis=0)) / len(envelope)
        hertz = np.fft.rfftfreq(len(envelope), _STEP / _RATE)
        syllables = (hertz >= _SYLLABLES_HZ[0]) & (hertz <= _SYLLABLES_HZ[1])
        self._swell += np.sqrt(2 * (spectrum[syllables] ** 2).sum(0)) * len(block)


def choose_audio(path: Path) -> AudioChoice | None:
    """What to read of a file's audio; None where it has none that can be decoded.

    The file is decoded completely for it, in constant memory, unless it has one track of one channel. The answer is kept for
    a file that does not change.

    Raises:
        MediaError: the file cannot be opened.
    """
    try:
        state = path.stat()
    except OSError:
        with open_media(path):  # raises what is wrong with it
            return None
    return _choice(path.absolute(), state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=8)
def _choice(path: Path, changed_ns: int, size: int) -> AudioChoice | None:
    del changed_ns, size  # of the key
    with open_media(path) as container:
        streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
        names = [_track_name(number, stream, len(streams)) for number, stream in enumerate(streams, 1)]
        default = next((n for n, s in enumerate(streams) if s.disposition & s.disposition.default), 0)
        listeners: list[dict[int, _Listener]] = [{} for _ in streams]
        numbers = {stream.index: number for number, stream in enumerate(streams)}
        for index, frame in _decoded(container, streams):
            samples, found = samples_of(frame), listeners[numbers[index]]
            if len(streams) == 1 and len(samples) == 1 and not found:
                return AudioChoice(index)
            if len(samples) not in found:
                found[len(samples)] = _Listener(len(samples))
            found[len(samples)].hear(samples, frame.rate)
        heard = [[listener.heard() for listener in found.values()] for found in listeners]
        indices = [stream.index for stream in streams]
    if not indices:
        return None
    track = _track(heard, default)
    channels, notes = {}, [(0.0, "")]
    for one in heard[track]:
        channels[len(one.level)], note = _channels(one)
        notes.append((one.seconds, note))
    note = max(notes)[1]
    if len(indices) > 1 and any(_strength(found) > 0 or found is heard[track] for found in heard):
        others = "" if track == default else f", as track {names[default]} has no audible speech"
        note = f"audio track {names[track]} is used{others}" + (f"; {note}" if note else "")
    return AudioChoice(indices[track], channels, note and f"{path}: {note}.")


def _track_name(number: int, stream, count: int) -> str:
    title = str(stream.metadata.get("title", "")).strip()
    handler = str(stream.metadata.get("handler_name", "")).strip()  # where MP4 and MOV keep a track's name
    title = title or ("" if handler.lower().endswith("handler") else handler)
    return f"{number} of {count}" + (f" (“{title}”)" if title else "")


def _decoded(container, streams) -> Iterator[tuple[int, av.AudioFrame]]:
    """(stream's index, frame) of several tracks in one pass; damaged packets are passed over."""
    decoders = {stream.index: decoder_of(stream) for stream in streams}
    flush = ((stream.index, None) for stream in streams)
    for index, packet in itertools.chain(((one.stream_index, one) for one in packets(container, streams)), flush):
        with contextlib.suppress(av.error.FFmpegError):
            for frame in decoders[index].decode(packet):
                yield index, frame


def _strength(track: list[Heard]) -> float:
    """Amplitude of a track's strongest speech; 0 without speech."""
    return max((float(one.swell[one.best]) for one in track if one.speech_like[one.best]), default=0.0)


def _track(heard: list[list[Heard]], default: int) -> int:
    """The default track where it holds speech; else the one with the strongest, else the loudest."""
    strength = [_strength(track) for track in heard]
    if strength[default] > _WEAKER * max(strength) or len(heard) == 1:
        return default
    if max(strength) > 0:
        return int(np.argmax(strength))
    loudness = [max((float(np.diag(one.covariance).max()) for one in track), default=0.0) for track in heard]
    return default if loudness[default] > 0.5 * max(loudness) else int(np.argmax(loudness))


def _channels(heard: Heard) -> tuple[tuple[int, ...], str]:
    """The channels that are averaged, and a note for the user.

    One channel, or the mean of two: unless they cancel, or speech is on one of them alone. Of more, the one with the
    strongest speech: in surround audio that is the centre, on a camera the socket with the microphone.
    """
    count, best = len(heard.level), heard.best
    if count == 1:
        return (0,), ""
    if count > 2:
        return (best,), f"audio channel {best + 1} of {count}, with the strongest speech, is used"
    other = 1 - best
    if heard.correlation(0, 1) < _OPPOSITE:
        note = f"its two audio channels cancel each other (opposite polarity), so only channel {best + 1} is used"
        return (best,), note
    if heard.speech_like[best] and not heard.speech_like[other]:
        kind = "is silent" if heard.level[other] < QUIET else "holds no speech"
        return (best,), f"audio channel {other + 1} {kind}, so only channel {best + 1} is used"
    power = np.diag(heard.covariance)
    if power[other] < _WEAKER**2 * power[best]:
        return (best,), f"audio channel {other + 1} is much quieter, so only channel {best + 1} is used"
    return (0, 1), ""
