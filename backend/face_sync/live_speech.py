"""Speech while it is spoken: audio block by block becomes the mouth, a step of 40 ms at a time, with a stated look-ahead.

A step is predicted when the audio `look-ahead` after it is there, by what `speech.predict` makes of the audio so far: levels, features and
encoder are those of a file that ends there. What a file has more is its future: the later normalisation and the later words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..media.audio_rates import RATE
from . import speech
from .audio_features import BANDS, COLUMNS, DECIBEL, FFT, HOP, PER_STEP, Levels, LogMelStream, is_spoken
from .encoders.speech_encoder import WINDOW

STEP_S = PER_STEP * HOP / RATE

LOOK_AHEAD_STEPS = 3
"""120 ms: within the 80 to 160 that the encoder needs (docs/benchmarks.md, experiments)."""

FEATURES_WAIT_S = (HOP + FFT / 2) / RATE
"""From a step's time until its features can be made: its last spectrum is centred 10 ms later and takes 16 ms more."""

_KEPT_S = 60.0
"""Levels are those of the last minute."""

_OWN_AFTER_S, _CLEAR_DB = 1.0, 20.0
"""Levels are the audio's own once so much of it was spoken, this much above its quiet moments; before, those of another recording."""

_LEVELS_EVERY = 5
"""Steps."""


@dataclass(frozen=True)
class SpokenStep:
    """The mouth at a step.

    Attributes:
        time_s: of the step, from the first sample on.
        mouth: (M,) in the order of the model's names, in [0, 1].
    """

    time_s: float
    mouth: np.ndarray


class LiveSpeech:
    """Feed it with blocks; steps come as they can be known.

    Args:
        model: the subject's.
        look_ahead: steps of 40 ms; fewer know less of what the lips prepare for.
        strength: as `speech.predict` takes it.
        before: levels to begin with, of another recording of a voice, such as the subject's clip; None: the audio's own, however little
            there is.
    """

    def __init__(
        self,
        model: speech.SpeechModel,
        look_ahead: int = LOOK_AHEAD_STEPS,
        strength: float = 1.0,
        before: Levels | None = None,
    ) -> None:
        self.look_ahead = look_ahead
        self._model, self._strength, self._before = model, strength, before
        self._stream = LogMelStream()
        self._spectra = np.zeros((0, BANDS), np.float32)
        """The last minute."""
        self._dropped = 0
        """Spectra before those."""
        self._step = 0
        """The next one."""
        self._levels: Levels | None = None

    @property
    def delay_s(self) -> float:
        """From a step's time until its audio is there: the look-ahead, and what its last spectrum takes."""
        return self.look_ahead * STEP_S + FEATURES_WAIT_S

    def push(self, block: np.ndarray, most: int | None = None) -> Iterator[SpokenStep]:
        """Take (samples,) float32 in [-1, 1], 16 kHz mono; give the steps that are known with it.

        Args:
            most: of several that are known by now, give so many of the newest; None for all.
        """
        parts = list(self._stream.push(block))
        if parts:
            self._spectra = np.concatenate([self._spectra, *parts])
            excess = len(self._spectra) - round(_KEPT_S * RATE / HOP)
            if excess > 0:
                self._spectra, self._dropped = self._spectra[excess:], self._dropped + excess
        known = (self._dropped + len(self._spectra) + PER_STEP // 2) // PER_STEP
        if most is not None:
            self._step = max(self._step, known - self.look_ahead - most)
        while self._step + self.look_ahead < known:
            yield SpokenStep(self._step * STEP_S, self._mouth())
            self._step += 1

    def _mouth(self) -> np.ndarray:
        """(M,) at the next step."""
        stop = self._step + self.look_ahead + 1
        if self._levels is None or self._step % _LEVELS_EVERY == 0:
            self._levels = self._measured(stop)
        rows = self.features(self._levels, max(stop - WINDOW, 0), stop)
        return speech.predict(self._model, rows, self._strength)[-1 - self.look_ahead]

    def features(self, levels: Levels, start: int, stop: int) -> np.ndarray:
        """(stop - start, PER_STEP * COLUMNS) of steps, as `StepFeatures` has them; silence before the first sample."""
        index = np.arange(start * PER_STEP, stop * PER_STEP) - PER_STEP // 2 - self._dropped
        spectra = self._spectra[index.clip(0)]
        columns = levels.columns(spectra, levels.loudness(spectra.max(1)))
        return np.where((index < 0)[:, None], levels.silence, columns).reshape(-1, PER_STEP * COLUMNS)

    def _measured(self, stop: int) -> Levels:
        """Of the audio up to a step; while little of it was spoken, those of before."""
        spectra = self._spectra[: stop * PER_STEP - PER_STEP // 2 - self._dropped]
        loudest = spectra.max(1)
        if self._before is not None:
            quiet, loud = np.quantile(loudest, (0.1, 0.95))
            spoken_s = is_spoken(loudest, loud).sum() * HOP / RATE
            if loud - quiet < _CLEAR_DB * DECIBEL or spoken_s < _OWN_AFTER_S:
                return self._before
        return Levels.of(loudest, [spectra])
