"""The audio-visual encoder (AVE) of the paper's authors, with their published weights: 512 features per step of 40 ms.

A stack of 2D convolutions over windows of a mel spectrogram, of the family of Wav2Lip's and SyncNet's audio encoders
(Prajwal et al. 2020; Chung and Zisserman 2016). The weights are for non-commercial use (CC BY-NC), so a user fetches
them by name and accepts that. The network is written from its published description.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.fft
import torch
from torch import Tensor, nn

from ... import models
from ...errors import ModelError
from ...media.audio_rates import RATE
from ..encoders.sample_window import STEP_SAMPLES, SampleWindow
from .published_weights import read_weights

MODEL = "audio_visual_encoder"
SIZE = 512
"""Features per step."""

MEL_FFT = 800
MEL_HOP = 200
"""Samples between spectra: 80 spectra a second."""

MEL_BANDS = 80
MEL_LOW_HZ, MEL_HIGH_HZ = 55.0, 7600.0
PRE_EMPHASIS = 0.97
FLOOR_DB = -100.0
REFERENCE_DB = 20.0
RANGE = 4.0
"""Energies from FLOOR_DB to 0 dB below the reference become -RANGE to RANGE."""

WINDOW = 16
"""Spectra per window: 200 ms."""

BEFORE = 7
"""Spectra of the window before the step's own; see `Ave.features`."""

_BATCH = 64
"""Rows per batch; fixed, so the result does not depend on how the audio is split."""

_FETCH = f"`python -m backend models fetch {MODEL} --accept-licence`"


class _Block(NamedTuple):
    """A convolution: channels in and out, kernel, stride (mel bands, time) and padding."""

    enters: int
    leaves: int
    kernel: int = 3
    stride: tuple[int, int] = (1, 1)
    padding: int = 1
    residual: bool = False


BLOCKS = (
    _Block(1, 32),
    _Block(32, 32, residual=True),
    _Block(32, 32, residual=True),
    _Block(32, 64, stride=(3, 1)),
    _Block(64, 64, residual=True),
    _Block(64, 64, residual=True),
    _Block(64, 128, stride=(3, 3)),
    _Block(128, 128, residual=True),
    _Block(128, 128, residual=True),
    _Block(128, 256, stride=(3, 2)),
    _Block(256, 256, residual=True),
    _Block(256, 512, padding=0),
    _Block(512, 512, kernel=1, padding=0),
)
"""Of (80, 16) mel windows the strides leave (27, 16), (9, 6), (3, 3), and the twelfth convolution (1, 1)."""


class _Convolution(nn.Module):
    """relu(norm(conv(x)) [+ x])."""

    def __init__(self, block: _Block) -> None:
        super().__init__()
        self.conv = nn.Conv2d(block.enters, block.leaves, block.kernel, block.stride, block.padding)
        self.norm = nn.BatchNorm2d(block.leaves)
        self.residual = block.residual

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return torch.relu(y + x if self.residual else y)


class Network(nn.Sequential):
    """(B, 1, MEL_BANDS, WINDOW) mel windows to (B, SIZE, 1, 1)."""

    def __init__(self) -> None:
        super().__init__(*(_Convolution(block) for block in BLOCKS))


@cache
def _mel_filters() -> np.ndarray:
    """(MEL_BANDS, MEL_FFT // 2 + 1) float32: Slaney's triangles of unit area, librosa's own."""
    from librosa.filters import mel

    return mel(sr=RATE, n_fft=MEL_FFT, n_mels=MEL_BANDS, fmin=MEL_LOW_HZ, fmax=MEL_HIGH_HZ).astype(np.float32)


def mel_spectra(samples: np.ndarray) -> np.ndarray:
    """The mel spectrogram that the weights were trained on.

    y[n] = x[n] - 0.97 x[n - 1]; magnitudes under a Hann window, in mel bands; 20 log10, against a reference of 20 dB,
    from [-100, 0] dB onto [-4, 4] and clipped.

    Args:
        samples: (1 + MEL_FFT + (T - 1) * MEL_HOP,) in [-1, 1], 16 kHz: the sample before, then T overlapping windows.

    Returns:
        (T, MEL_BANDS) float32 in [-RANGE, RANGE].
    """
    emphasised = samples[1:] - np.float32(PRE_EMPHASIS) * samples[:-1]
    hann = np.hanning(MEL_FFT + 1)[:-1].astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(emphasised, MEL_FFT)[::MEL_HOP]
    magnitude = np.abs(scipy.fft.rfft(windows * hann, axis=1)) @ _mel_filters().T
    decibel = 20 * np.log10(np.maximum(magnitude, 10 ** (FLOOR_DB / 20))) - REFERENCE_DB
    return np.clip(2 * RANGE * (decibel - FLOOR_DB) / -FLOOR_DB - RANGE, -RANGE, RANGE).astype(np.float32)


class Ave:
    """The authors' encoder; see `AudioEncoder`. Its weights are loaded on first use."""

    name = "ave"
    size = SIZE

    def __init__(self, path: Path) -> None:
        """`path`: the authors' file."""
        self._path = path
        self._network: Network | None = None

    @torch.inference_mode()
    def features(self, audio: Iterable[np.ndarray], steps: int | None = None, offset_ms: float = 0.0) -> np.ndarray:
        """(steps, SIZE) float32, 0 or more; see `AudioEncoder`.

        Row i sees the sixteen spectra from 7 before to 8 after the last one at or before t = i * 40 ms + `offset_ms`:
        centred on t within 6.25 ms, half a spectrum.

        Raises:
            ModelError: the weights are damaged, or others.
        """
        if self._network is None:
            self._network = _load(self._path)
        window, rows = SampleWindow(audio), [np.empty((0, SIZE), np.float32)]
        for first, stop in window.batches(steps, _BATCH):
            time = np.arange(first, stop) * STEP_SAMPLES + offset_ms * RATE / 1000
            starts = np.floor(time / MEL_HOP).astype(np.int64) - BEFORE
            # Spectrum k is centred at sample k * MEL_HOP.
            begin = int(starts[0]) * MEL_HOP - MEL_FFT // 2
            end = (int(starts[-1]) + WINDOW - 1) * MEL_HOP + MEL_FFT // 2
            spectra = mel_spectra(window.read(begin - 1, end))
            windows = np.lib.stride_tricks.sliding_window_view(spectra, WINDOW, axis=0)[starts - starts[0]]
            rows.append(self._network(torch.from_numpy(windows[:, None].copy())).flatten(1).numpy())
        return np.concatenate(rows)


def open_encoder(name: str) -> Ave:
    """`ave`, its weights not loaded yet.

    Raises:
        ModelError: the weights are not installed.
    """
    path = models.find(MODEL)
    if path is None:
        file = models.folders()[0] / models.record(MODEL).file
        raise ModelError(
            f"The encoder {name} needs the authors' weights, for non-commercial use only: if you agree, run "
            f"{_FETCH}, or save the file as {file}."
        )
    return Ave(path)


def _load(path: Path) -> Network:
    """The network with the weights of `path`.

    Raises:
        ModelError: they are damaged, or of another network.
    """
    network = Network()
    try:
        network.load_state_dict(_named_as_here(read_weights(path)))
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path} is not the authors' audio-visual encoder, or it is damaged: delete it and run {_FETCH}."
        ) from error
    return network.eval()


_KEY = re.compile(r"(?P<prefix>.*?)(?P<block>\d+)\.conv_block\.(?P<layer>[01])\.(?P<what>\w+)")
_LAYERS = ("conv", "norm")


def _named_as_here(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under their names in `Network`.

    They are published as `[...audio_encoder.]{block}.conv_block.{0: convolution, 1: batch norm}.*`; a file may also hold
    a face encoder with similar names.

    Raises:
        ValueError: there are none of these names.
    """
    matches = {name: match for name in weights if (match := _KEY.fullmatch(name))}
    prefixes = {match["prefix"] for match in matches.values()}
    audio = [prefix for prefix in prefixes if prefix.endswith("audio_encoder.")] or sorted(prefixes)
    if len(audio) != 1:
        raise ValueError(f"expected one audio encoder, found {len(audio)}")
    return {
        f"{match['block']}.{_LAYERS[int(match['layer'])]}.{match['what']}": weights[name].float()
        for name, match in matches.items()
        # The count of training batches is not used, and some files lack it.
        if match["prefix"] == audio[0] and match["what"] != "num_batches_tracked"
    }
