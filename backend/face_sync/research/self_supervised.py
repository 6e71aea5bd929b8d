"""Speech models that learnt from sound alone: HuBERT (large) and wav2vec 2.0 (base), behind the encoders' interface.

Hsu et al., "HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden Units", 2021;
Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations", 2020. The networks
are those of the package `transformers`, which is optional: it is not part of the backend's environment. Each is built
from the published numbers below and filled from one file, without any network access.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import models
from ...errors import ModelError
from ..audio_features import RATE
from ..encoders.sample_window import FRAME, SampleWindow
from .published_weights import read_weights

STEP = 320
"""Samples from one feature to the next: 50 features a second."""

SEEN = 400
"""Samples that the convolutions see for one feature: feature k is centred at sample k * STEP + SEEN / 2."""

PAIR = STEP + SEEN
"""Samples behind the two features of a video frame."""

ROWS = 450
"""Video frames a block: 18 seconds, 20 with the overlap, so that memory does not grow with the sound."""

OVERLAP = 50
"""Features at either end of a block that its neighbour gives: one second, in which attention lacks a side."""


@dataclass(frozen=True)
class Published:
    """A published model.

    Attributes:
        architecture: its name in `transformers`, before Config and Model.
        prefix: what the model's weights are called in a file that holds a recognition head too.
        size: numbers a feature.
        numbers: the published configuration, where it differs from the class's own.
    """

    architecture: str
    prefix: str
    size: int
    numbers: dict[str, Any] = field(default_factory=dict)


PUBLISHED = {
    "hubert": Published(
        "Hubert",
        "hubert.",
        1024,
        {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "conv_bias": True,
            "feat_extract_norm": "layer",
            "do_stable_layer_norm": True,
        },
    ),
    "wav2vec2": Published(
        "Wav2Vec2",
        "wav2vec2.",
        768,
        {
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "conv_bias": False,
            "feat_extract_norm": "group",
            "do_stable_layer_norm": False,
        },
    ),
}
"""By the encoder's name, which is the record's name in `models` too."""


class SelfSupervised:
    """The last hidden layer of a published model; see `AudioEncoder`. The weights are read when it is first used."""

    def __init__(self, name: str, path: Path) -> None:
        """`name`: of `PUBLISHED`; `path`: its weights."""
        self.name = name
        self.size = PUBLISHED[name].size
        self._path = path
        self._network: nn.Module | None = None

    @torch.inference_mode()
    def features(self, sound: Iterable[np.ndarray], frames: int | None = None, offset_ms: float = 0.0) -> np.ndarray:
        """(frames, size) float32: the mean of two features, the sound behind which is centred on the frame's time.

        The sound goes through in blocks of at most 20 seconds, each brought to zero mean and unit variance; where
        blocks lie in it depends on `frames` and `offset_ms` alone.

        Raises:
            ModelError: the weights are damaged, or others, or `transformers` cannot be imported.
        """
        if self._network is None:
            self._network = _load(self.name, self._path)
        window, rows = SampleWindow(sound), [np.empty((0, self.size), np.float32)]
        late = round(offset_ms * RATE / 1000) - PAIR // 2
        for first, stop in window.batches(frames, ROWS):
            begin, end = first * FRAME + late, (stop - 1) * FRAME + late + PAIR
            window.fill(end + OVERLAP * STEP)
            # In whole features, so that the rows' own features stay where they are; and within the sound, since silence
            # that is not in it would change the block's mean and variance.
            before = min(OVERLAP, max(begin, 0) // STEP)
            after = min(OVERLAP, max(window.received - end, 0) // STEP)
            hidden = _encode(self._network, window.read(begin - before * STEP, end + after * STEP))
            own = hidden[before : before + 2 * (stop - first)]
            rows.append(own.reshape(stop - first, 2, self.size).mean(1))
        return np.concatenate(rows)


def open_encoder(name: str) -> SelfSupervised:
    """`hubert` or `wav2vec2`; its weights are not read yet.

    Raises:
        ModelError: the weights or the package `transformers` are not here.
    """
    path = _find(name)
    if path is None:
        file = models.folders()[0] / models.record(name).file
        raise ModelError(
            f"The encoder {name} needs its weights: run `python -m backend models fetch {name}`, or put the file there "
            f"as {file} (or as {file.with_suffix('.safetensors').name})."
        )
    if importlib.util.find_spec("transformers") is None:
        raise _no_package(name)
    return SelfSupervised(name, path)


def _no_package(name: str) -> ModelError:
    return ModelError(
        f"The encoder {name} needs the package transformers, which SyncTalk does not install: run "
        f"`{sys.executable} -m pip install transformers`."
    )


def _find(name: str) -> Path | None:
    """The published file, or the same weights as .safetensors, which are published without a checksum of ours."""
    path = models.find(name)
    if path is not None:
        return path
    file = Path(models.record(name).file).with_suffix(".safetensors")
    return next((folder / file for folder in models.folders() if (folder / file).is_file()), None)


def _load(name: str, path: Path) -> nn.Module:
    """The network of `name` with the weights of `path`, on the graphics card where there is one.

    Raises:
        ModelError: they are damaged, or of another network, or `transformers` cannot be imported.
    """
    published = PUBLISHED[name]
    try:
        import transformers
    except ImportError as error:
        raise _no_package(name) from error
    configuration = getattr(transformers, f"{published.architecture}Config")(**published.numbers, mask_time_prob=0.0)
    network: nn.Module = getattr(transformers, f"{published.architecture}Model")(configuration)
    reader: Callable[[Path], dict[str, Tensor]] = _read_safetensors if path.suffix == ".safetensors" else read_weights
    try:
        network.load_state_dict(_own(reader(path), published.prefix))
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path} does not hold the weights of {models.record(name).address}, or it is damaged: delete it and run "
            f"`python -m backend models fetch {name}`."
        ) from error
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read") from error


def _own(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The model's own weights: without the head for recognition, and without what only training uses."""
    if any(name.startswith(prefix) for name in weights):
        weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    heads = ("lm_head.", "quantizer.", "project_q.", "project_hid.")
    return {
        name: value.float()
        for name, value in weights.items()
        if not name.startswith(heads) and name != "masked_spec_embed"
    }


def _encode(network: nn.Module, samples: np.ndarray) -> np.ndarray:
    """(T, size) float32 of (samples,) at 16 kHz; T = (samples - SEEN) // STEP + 1."""
    # As the library's own feature extractor does for these models; the small number keeps silence at zero.
    normal = (samples - samples.mean()) / np.sqrt(samples.var() + np.float32(1e-7))
    device = next(network.parameters()).device
    return network(torch.from_numpy(normal)[None].to(device)).last_hidden_state[0].float().cpu().numpy()
