"""The speech encoder: log-mel energies to features of the mouth, trained on generated speech.

The audio half of the audio-visual encoder (SyncTalk, section 3.2): a small temporal convolution network. Its
weights were trained on synthetic voices (`research.pretraining`, no recorded clips) and predict phonemes and mouth shapes
for any voice; `adaptation.fit` then adapts all of it to the subject's own clip.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import ModelError
from ..audio_features import COLUMNS, PER_STEP, StepFeatures

MEMBERS = 3
"""An ensemble of networks: averaging them generalises better to new voices."""

WIDTH = 96
"""Channels per member."""

MEMBER_SIZE = 64
SIZE = MEMBERS * MEMBER_SIZE
"""Features per step."""

WEIGHTS = Path(__file__).with_name("speech_encoder.safetensors")
DILATIONS = (1, 2, 4, 1)
DROPOUT = 0.15
"""Of a block's channels in training, against overfitting to synthetic voices."""

WINDOW = 100
"""Steps per window: four seconds."""


class _Dropout(nn.Module):
    """`nn.Dropout` of `DROPOUT`, whose random numbers take seven times as long on a CPU."""

    seeds: torch.Generator | None = None
    """Of its own; else PyTorch's, which all threads share."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu":
            return torch.nn.functional.dropout(x, DROPOUT, self.training)
        seed, dropped = int(torch.randint(1 << 62, (), generator=self.seeds)), round(256 * DROPOUT)
        values = np.frombuffer(np.random.Generator(np.random.SFC64(seed)).bytes(x.numel()), np.uint8)
        return x * (torch.from_numpy(values >= dropped).reshape(x.shape).to(x.dtype) * (256 / (256 - dropped)))


class _Block(nn.Module):
    """Residual block of two dilated convolutions at 50 steps a second."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        width = MEMBERS * WIDTH
        self.norm = nn.GroupNorm(MEMBERS, width)  # over the window: the speaker's own loudness and range
        self.first = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation, groups=MEMBERS)
        self.dropout = _Dropout()
        self.second = nn.Conv1d(width, width, 1, groups=MEMBERS)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.dropout(torch.nn.functional.gelu(self.first(self.norm(x)))))


class SpeechEncoder(nn.Module):
    """(B, N, PER_STEP * COLUMNS) features of N steps of 40 ms to (B, N, SIZE).

    Its convolutions see a quarter of a second either side of a step; its normalisation sees the window. The features
    of a member are contiguous: (B, N, MEMBERS, MEMBER_SIZE) flattened.
    """

    def __init__(self) -> None:
        super().__init__()
        width = MEMBERS * WIDTH
        self.enter = nn.Conv1d(COLUMNS, width, 5, padding=2)
        self.halve = nn.Conv1d(width, width, 4, stride=2, padding=1, groups=MEMBERS)
        self.blocks = nn.ModuleList(_Block(dilation) for dilation in DILATIONS)
        self.leave = nn.Conv1d(width, SIZE, 4, stride=2, padding=1, groups=MEMBERS)

    def seed_dropout(self, seed: int) -> None:
        """Give the dropout, on a CPU, random numbers of its own: several encoders may then be trained at the same time."""
        seeds = torch.Generator().manual_seed(seed)
        for block in self.blocks:
            block.dropout.seeds = seeds

    def forward(self, features: Tensor) -> Tensor:
        batch, steps, _ = features.shape
        x = features.reshape(batch, steps * PER_STEP, COLUMNS).transpose(1, 2) * INPUT_SCALE
        x = torch.nn.functional.gelu(self.enter(x))
        x = self.halve(x)
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.leave(x)).transpose(1, 2)


INPUT_SCALE = 0.4
"""Brings log-mel energies (a few units of natural logarithm) to about unit variance."""


def pretrained() -> SpeechEncoder:
    """A new copy of the encoder with the boxed weights.

    Raises:
        ModelError: the file is missing or damaged.
    """
    return load_weights(WEIGHTS)


def load_weights(path: Path) -> SpeechEncoder:
    """The encoder with weights from `encoder pretrain`, or the boxed ones.

    Raises:
        ModelError: the file is missing, damaged, or of another shape.
    """
    encoder = SpeechEncoder()
    try:
        state = {name: tensor.clone() for name, tensor in _read(path).items() if not name.startswith(_OPENING)}
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"{path} is not a speech encoder of this version: train it again with encoder pretrain."
        ) from error
    return encoder.eval()


def opening_weights() -> np.ndarray:
    """(SIZE,) float32: weights of the boxed encoder's features that give an average adult's lip opening, millimetres."""
    return _read(WEIGHTS)[f"{_OPENING}weight"].numpy()


def opening_tensors(weights: Tensor) -> dict[str, Tensor]:
    """Opening weights (SIZE,) as stored in a file of weights; see `opening_weights`."""
    return {f"{_OPENING}weight": weights}


_OPENING = "opening."


@cache
def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        again = "install SyncTalk again" if path == WEIGHTS else "train it again with encoder pretrain"
        raise ModelError(f"{path} is missing or damaged ({error}): {again}.") from error


@cache
def weights_digest() -> str:
    """A short hash of the weights: results of other weights are stale."""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:12]


@torch.no_grad()
def encode(encoder: SpeechEncoder, features: np.ndarray | StepFeatures, batch: int = 32) -> np.ndarray:
    """(N, SIZE) float32 of (N, PER_STEP * COLUMNS) features; memory does not grow with N beyond the result.

    The encoder normalises over its window, so it runs on windows of the length it was trained on. Neighbouring windows
    overlap by half and are cross-faded.
    """
    count = len(features)
    length = min(WINDOW, count)
    starts = np.unique(np.append(np.arange(0, count - length + 1, max(WINDOW // 2, 1)), count - length))
    fade = np.minimum(np.arange(length) + 1, np.arange(length, 0, -1)).astype(np.float32)[:, None]
    total, weight = np.zeros((count, SIZE), np.float32), np.zeros((count, 1), np.float32)
    for first in range(0, len(starts), batch):
        part = starts[first : first + batch]
        windows = np.stack([features[start : start + length] for start in part]).astype(np.float32)
        for start, code in zip(part, encoder(torch.from_numpy(windows)).numpy(), strict=True):
            total[start : start + length] += fade * code
            weight[start : start + length] += fade
    return total / weight
