"""Text to speech with the true time of every phoneme.

Two synthesizers are supported. flite's voices (`awb`, `kal16`, `rms`, `slt`) are made from recordings and are more
human; its segment times come from the utterance itself (`-psdur`). Any other voice name goes to espeak-ng through its
library, with phoneme events accurate to about 10 ms.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import io
import os
import re
import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import AudioError, SyncTalkError

FLITE_VOICES = ("awb", "kal", "kal16", "rms", "slt")
SILENCES = frozenset({"pau", "_", "_:", "", "#"})


class SynthesizerError(SyncTalkError):
    """The speech synthesizer is missing, or refuses the voice or the text."""

    kind = "synthesizer"


@dataclass(frozen=True)
class Utterance:
    """Speech with its phonemes.

    Attributes:
        samples: (S,) float32 in [-1, 1].
        rate: samples a second.
        phonemes: P labels, ARPAbet from flite and IPA from espeak-ng; a pause is `pau`.
        start_s, end_s: (P,) times; each phoneme starts where the one before ends.
    """

    samples: np.ndarray
    rate: int
    phonemes: tuple[str, ...]
    start_s: np.ndarray
    end_s: np.ndarray

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate

    def placed(self, lead_s: float, total_s: float | None = None) -> Utterance:
        """The utterance after `lead_s` of silence, followed by silence or cut so as to last `total_s`."""
        lead = round(lead_s * self.rate)
        samples = np.concatenate([np.zeros(lead, np.float32), self.samples])
        total = len(samples) if total_s is None else round(total_s * self.rate)
        samples = np.pad(samples, (0, max(0, total - len(samples))))[:total]
        end = len(samples) / self.rate
        rows = [
            (lab, a + lead_s, b + lead_s) for lab, a, b in zip(self.phonemes, self.start_s, self.end_s, strict=True)
        ]
        rows = [("pau", 0.0, lead_s), *rows, ("pau", self.duration_s + lead_s, end)]
        return _utterance(samples, self.rate, [(lab, a, min(b, end)) for lab, a, b in rows if a < end])

    def resampled(self, rate: int) -> Utterance:
        """The same utterance at another sample rate (polyphase filter)."""
        from scipy.signal import resample_poly

        if rate == self.rate:
            return self
        common = np.gcd(rate, self.rate)
        samples = resample_poly(self.samples, rate // common, self.rate // common).astype(np.float32)
        return Utterance(samples, rate, self.phonemes, self.start_s, self.end_s)


def _utterance(samples: np.ndarray, rate: int, rows: list[tuple[str, float, float]]) -> Utterance:
    """Join neighbouring pauses and drop what has no length."""
    joined: list[list] = []
    for label, start, end in rows:
        label = "pau" if label in SILENCES else label
        if end <= start:
            continue
        if joined and label == "pau" and joined[-1][0] == "pau":
            joined[-1][2] = end
        else:
            joined.append([label, joined[-1][2] if joined else 0.0, end])
    labels, starts, ends = zip(*joined, strict=True)
    return Utterance(samples, rate, tuple(labels), np.array(starts), np.array(ends))


def default_voice(drive: bool = False) -> str:
    """The most human voice there is: flite's `rms` (`slt` to drive) where flite is installed, else espeak-ng's."""
    if shutil.which("flite"):
        return "slt" if drive else "rms"
    return "en+f3" if drive else "en-us"


def synthesize(text: str, voice: str) -> Utterance:
    """Speak `text` with `voice`, peak-normalized to 0.7.

    Raises:
        SynthesizerError: the synthesizer is not installed, or does not know the voice.
        AudioError: the text gives no audio.
    """
    if not text.strip():
        raise AudioError("There is no text to speak: give the sentence with --text.")
    spoken = _flite(text, voice) if voice in FLITE_VOICES else _espeak(text, voice)
    peak = float(np.abs(spoken.samples).max(initial=0.0))
    if peak < 1e-3:
        raise AudioError(f"The voice {voice} gives no audio for this text: use words of the voice's language.")
    return Utterance(spoken.samples * (0.7 / peak), spoken.rate, spoken.phonemes, spoken.start_s, spoken.end_s)


def _flite(text: str, voice: str) -> Utterance:
    program = shutil.which("flite")
    if program is None:
        raise SynthesizerError(
            f"The voice {voice} needs flite, which is not installed: install the package flite, "
            "or choose a voice of espeak-ng such as --voice en-us."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        command = [program, "-voice", voice, "-psdur", "-t", text, "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not path.exists():
            raise SynthesizerError(f"flite could not speak with the voice {voice}: {done.stderr.strip()[-200:]}")
        samples, rate = read_wav(path.read_bytes())
    ends = [(label, float(end)) for label, end in re.findall(r"([a-z]+):([0-9.]+)", done.stdout)]
    rows = [(label, start, end) for (label, end), (_, start) in zip(ends, [("", 0.0), *ends], strict=False)]
    if not rows or abs(rows[-1][2] - len(samples) / rate) > 0.1:
        raise SynthesizerError(
            "flite gave no phoneme times that match its audio: choose a voice of espeak-ng (--voice en-us)."
        )
    return _utterance(samples, rate, rows)


class _Event(ctypes.Structure):
    """`espeak_EVENT` of espeak-ng's speak_lib.h."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


_EVENT_END, _EVENT_PHONEME = 0, 7
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 2, 1, 2, 0x8000
_UTF8, _EE_OK = 1, 0


def _espeak_library() -> ctypes.CDLL:
    name = os.environ.get("SYNCTALK_ESPEAK") or ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise SynthesizerError(
            "espeak-ng is not installed: install the package espeak-ng, or name its library in the "
            "variable SYNCTALK_ESPEAK."
        ) from error


@functools.cache
def _espeak_engine() -> tuple[ctypes.CDLL, int]:
    """The library, started once a process (a second start after a stop hangs), and its sample rate."""
    library = _espeak_library()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT)
    if rate <= 0:
        raise SynthesizerError("espeak-ng finds no voice data: reinstall the package espeak-ng-data.")
    return library, rate


def _espeak(text: str, voice: str) -> Utterance:
    library, rate = _espeak_engine()
    if library.espeak_SetVoiceByName(voice.encode()) != _EE_OK:
        raise SynthesizerError(f"espeak-ng has no voice named {voice}: choose one that `espeak-ng --voices` lists.")
    chunks: list[np.ndarray] = []
    events: list[tuple[str, float]] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
    def receive(samples, count, event):
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32) / 32768)
        k = 0
        while event[k].type != _EVENT_END:
            if event[k].type == _EVENT_PHONEME:
                events.append((event[k].id.decode("utf-8", "ignore"), event[k].audio_position / 1000))
            k += 1
        return 0

    library.espeak_SetSynthCallback(receive)
    data = text.encode() + b"\0"
    library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 0, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    if not chunks or not events:
        raise AudioError(f"The voice {voice} gives no audio for this text: use words of the voice's language.")
    samples = np.concatenate(chunks)
    ends = [time for _, time in events[1:]] + [len(samples) / rate]
    rows = [(label.strip("ˈˌ"), start, end) for (label, start), end in zip(events, ends, strict=True)]
    return _utterance(samples, rate, [("pau", 0.0, events[0][1]), *rows])


def read_wav(data: bytes) -> tuple[np.ndarray, int]:
    """Samples (S,) float32 in [-1, 1] and the rate of a 16-bit mono WAV file."""
    with wave.open(io.BytesIO(data)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768, file.getframerate()
