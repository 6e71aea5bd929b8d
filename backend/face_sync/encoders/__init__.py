"""Audio encoders: features that predict the lips, one row per step of 40 ms, behind one interface."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np

from ...errors import ModelError


class AudioEncoder(Protocol):
    """The interface of an encoder.

    Attributes:
        name: its name for `--encoder`.
        size: features per step.
    """

    name: str
    size: int

    def features(self, audio: Iterable[np.ndarray], steps: int | None = None, offset_ms: float = 0.0) -> np.ndarray:
        """Features of each step, 25 a second, in memory that does not grow with the audio.

        Args:
            audio: blocks of (samples,) float32 in [-1, 1], 16 kHz mono, of any length.
            steps: number of rows; None for as many as the audio fills.
            offset_ms: delay of the audio: row i describes the audio around i * 40 ms + `offset_ms`.

        Returns:
            (steps, size) float32.
        """
        ...


_MODULES = {
    "boxed": ".boxed",
    "log-mel": ".boxed",
    "ave": "..research.authors_ave",
    "hubert": "..research.self_supervised",
    "wav2vec2": "..research.self_supervised",
}
"""Module of each encoder, imported when it is opened: its function `open_encoder(name)` may raise ModelError."""

NAMES = tuple(_MODULES)


def open_encoder(name: str | Path) -> AudioEncoder:
    """The encoder called `name`, or the one that `encoder pretrain` wrote to the file `name`.

    Raises:
        ModelError: the name is unknown, or its weights or package are missing or damaged.
    """
    if str(name) in _MODULES:
        return importlib.import_module(_MODULES[str(name)], __package__).open_encoder(str(name))
    if Path(name).suffix == ".safetensors":
        from .boxed import BoxedEncoder

        return BoxedEncoder(Path(name))
    raise ModelError(f"There is no encoder {name}: choose one of {', '.join(NAMES)}, or a .safetensors file.")


def present() -> list[str]:
    """The encoders whose weights are installed, the boxed one first."""
    found = []
    for name in NAMES:
        try:
            open_encoder(name)
        except ModelError:
            continue
        found.append(name)
    return found
