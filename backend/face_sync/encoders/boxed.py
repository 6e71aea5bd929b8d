"""The encoders that need no download: the one in the box, one trained with `encoder pretrain`, and plain log-mel."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..audio_features import BANDS, COLUMNS, PER_STEP, StepFeatures
from .speech_encoder import SIZE, WEIGHTS, encode, load_weights


class BoxedEncoder:
    """The speech encoder with the weights of `path`; see `AudioEncoder`."""

    def __init__(self, path: Path = WEIGHTS) -> None:
        """Raises ModelError: the file is missing or damaged."""
        self.name = "boxed" if path == WEIGHTS else str(path)
        self.size = SIZE
        self._network = load_weights(path)

    def features(self, audio: Iterable[np.ndarray], steps: int | None = None, offset_ms: float = 0.0) -> np.ndarray:
        return encode(self._network, StepFeatures(audio, steps, offset_ms))


class LogMel:
    """Log-mel energies themselves, the mean of a step's four spectra: what every encoder is compared with."""

    name = "log-mel"
    size = BANDS

    def features(self, audio: Iterable[np.ndarray], steps: int | None = None, offset_ms: float = 0.0) -> np.ndarray:
        rows = StepFeatures(audio, steps, offset_ms)
        parts = [
            rows[start : start + 1500].reshape(-1, PER_STEP, COLUMNS)[..., :BANDS].mean(1)
            for start in range(0, len(rows), 1500)
        ]
        return np.concatenate(parts)


def open_encoder(name: str) -> BoxedEncoder | LogMel:
    """`boxed` or `log-mel`."""
    return BoxedEncoder() if name == "boxed" else LogMel()
