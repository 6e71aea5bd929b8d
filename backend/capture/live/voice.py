"""A voice as a live source: a microphone, or a WAV file that may still grow, becomes the subject's mouth."""

from __future__ import annotations

import queue
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from ...errors import CaptureError
from ...face_sync.live_speech import LiveSpeech
from ...face_sync.speech import MOUTH_INDEX
from ...media.audio_rates import RATE
from ...protocol import BLENDSHAPE_NAMES
from .recorder import AudioKeeper
from .sample import LiveFace
from .thread_source import Source

BLOCK_S = 0.01
_SILENT = 10 ** (-60 / 20)
_QUIET_AFTER_S = 3.0

_MOST_STEPS = 4
"""That are made of audio which waited while the machine was busy: what is older is late already."""

Heard = tuple[np.ndarray, float]
"""Samples (n,) float32 in [-1, 1] at `RATE`, and when the last of them was so, `time.monotonic`."""


class Voice(Protocol):
    """Where the audio comes from."""

    place: str

    def blocks(self, closing: threading.Event) -> Iterator[Heard | None]:
        """Blocks as they come, until `closing`; None where none came for a while."""
        ...

    def close(self) -> None:
        """Free what it uses."""
        ...


class VoiceSource(Source):
    """Listens to a voice."""

    def __init__(self, voice: Voice, speech: LiveSpeech) -> None:
        self._keeper = AudioKeeper()
        super().__init__(voice.place, self._keeper)
        self._voice, self._speech = voice, speech

    def _free(self) -> None:
        self._voice.close()

    def _receive(self) -> None:
        present = np.zeros(len(BLENDSHAPE_NAMES), bool)
        present[MOUTH_INDEX] = True
        received, loud_s = 0, time.monotonic()
        for heard in self._voice.blocks(self._closing):
            if heard is None:
                self.inbox.note = f"Nothing is heard from {self.place}: is it unplugged, or has it ended?"
                continue
            samples, ends_s = heard
            received += len(samples)
            self._keeper.add(samples, ends_s)
            if len(samples) and np.abs(samples).max() > _SILENT:
                loud_s = ends_s
            quiet_s = ends_s - loud_s
            self.inbox.note = f"{self.place} is silent: is it muted?" if quiet_s > _QUIET_AFTER_S else ""
            for step in self._speech.push(samples, _MOST_STEPS):
                shapes = np.zeros(len(BLENDSHAPE_NAMES), np.float32)
                shapes[MOUTH_INDEX] = step.mouth
                was_s, now_s = ends_s - (received / RATE - step.time_s), time.monotonic()
                self.inbox.take(LiveFace(shapes, present, sent_s=step.time_s), now_s, now_s - was_s)


class Microphone:
    """The system's microphone, through PortAudio.

    Args:
        name: a part of its name; None for the system's choice.

    Raises:
        CaptureError: there is none, or it cannot be used.
    """

    def __init__(self, name: str | None = None) -> None:
        self.place = f"microphone {name}" if name else "the microphone"
        self._queue: queue.Queue[Heard] = queue.Queue(maxsize=500)
        try:
            import sounddevice

            rate = RATE
            try:
                sounddevice.check_input_settings(device=name, channels=1, samplerate=rate)
            except sounddevice.PortAudioError:  # one that has rates of its own alone
                rate = round(float(sounddevice.query_devices(name, "input")["default_samplerate"]))
            self._to_rate = _Resampler(rate)
            self._stream = sounddevice.InputStream(
                samplerate=rate,
                blocksize=round(BLOCK_S * rate),
                device=name,
                channels=1,
                dtype="float32",
                latency="low",
                callback=self._take,
            )
            self._stream.start()
        except (OSError, ValueError, sounddevice_error()) as error:
            reason = str(error).splitlines()[0]
            raise CaptureError(
                f"{self.place.capitalize()} cannot be used ({reason}): connect one, allow its use, and on Linux install libportaudio2."
            ) from error

    def blocks(self, closing: threading.Event) -> Iterator[Heard | None]:
        while not closing.is_set():
            try:
                waiting = [self._queue.get(timeout=1.0)]
            except queue.Empty:
                yield None
                continue
            while not self._queue.empty():
                waiting.append(self._queue.get())
            samples = self._to_rate(np.concatenate([block for block, _ in waiting]))
            yield samples, waiting[-1][1] - self._to_rate.delay_s

    def close(self) -> None:
        self._stream.close()

    def _take(self, samples: np.ndarray, frames: int, when: Any, status: Any) -> None:
        del status
        now_s = time.monotonic()
        age_s = max(when.currentTime - when.inputBufferAdcTime, 0.0) if when.inputBufferAdcTime else BLOCK_S
        ends_s = now_s - age_s + frames / self._stream.samplerate
        try:
            self._queue.put_nowait((samples[:, 0].copy(), min(ends_s, now_s)))
        except queue.Full:
            pass  # five seconds wait already: the machine cannot follow, and what is newest would only be later


def sounddevice_error() -> type[Exception]:
    """PortAudio's own error; where the package cannot be loaded, one that is caught anyway."""
    try:
        from sounddevice import PortAudioError
    except OSError:
        return OSError
    return PortAudioError


class GrowingWav:
    """A WAV file in the microphone's place: what is there plays at its own rate, and what is appended follows.

    Raises:
        CaptureError: it is none.
    """

    _WAITS_S = 1.0

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 (open as long as this is)
            self._rate, self._channels, self._kind = _wav_format(self._file)
        except (OSError, struct.error, ValueError) as error:
            raise CaptureError(f"{path} is no WAV file of 16 bit or float samples ({error}): convert it.") from error
        self._to_rate = _Resampler(self._rate)

    def blocks(self, closing: threading.Event) -> Iterator[Heard | None]:
        a_frame = self._channels * np.dtype(self._kind).itemsize
        began_s = came_s = time.monotonic()
        played, rest = 0, b""
        while not closing.wait(BLOCK_S):
            now_s = time.monotonic()
            # A file that was written faster than it plays waits; one that is written as it plays is as late as its writer.
            due = round((now_s - began_s) * self._rate) - played
            rest += self._file.read(max(0, due * a_frame - len(rest)))
            whole = len(rest) // a_frame
            if not whole:
                if now_s - came_s > self._WAITS_S:
                    came_s = now_s
                    yield None
                continue
            data, rest = rest[: whole * a_frame], rest[whole * a_frame :]
            played, came_s = played + whole, now_s
            values = np.frombuffer(data, self._kind).reshape(-1, self._channels).mean(1, dtype=np.float32)
            scale = np.float32(32768 if self._kind == "<i2" else 1)
            yield self._to_rate(values / scale), now_s - self._to_rate.delay_s

    def close(self) -> None:
        self._file.close()


def _wav_format(file: BinaryIO) -> tuple[int, int, str]:
    """Rate, channels and kind of the samples, which begin where the file is then; sizes are not read, for it may still grow."""
    if file.read(4) != b"RIFF" or len(file.read(4)) < 4 or file.read(4) != b"WAVE":
        raise ValueError("it does not begin as one")
    found = None
    while (name := file.read(4)) != b"data":
        (size,) = struct.unpack("<I", file.read(4))
        chunk = file.read(size + size % 2)
        if name == b"fmt ":
            tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
            tag = struct.unpack_from("<H", chunk, 24)[0] if tag == 0xFFFE else tag
            found = {(1, 16): "<i2", (3, 32): "<f4"}.get((tag, bits)), channels, rate
    file.read(4)
    if found is None or found[0] is None or not found[1] or not 4000 <= found[2] <= 384_000:
        raise ValueError("its samples are of another kind")
    return found[2], found[1], found[0]


class _Resampler:
    """Blocks of any rate at `RATE`."""

    def __init__(self, rate: int) -> None:
        import soxr

        self._stream = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, "float32", "LQ")
        self._rate, self._taken, self._given = rate, 0, 0

    @property
    def delay_s(self) -> float:
        """How much of what it took it still holds."""
        return self._taken / self._rate - self._given / RATE

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        self._taken += len(samples)
        given = samples if self._stream is None else self._stream.resample_chunk(samples)
        self._given += len(given)
        return given
