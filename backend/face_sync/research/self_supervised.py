"""Self-supervised speech models, HuBERT (large) and wav2vec 2.0 (base), behind the encoders' interface.

Hsu et al., "HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden Units", 2021;
Baevski et al., "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations", 2020. The networks
come from the optional package `transformers`, which is not part of the backend's environment. Each is built from the
published configuration below and one file of weights, without network access.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import models
from ...errors import ModelError
from ...media.audio_rates import RATE
from ..encoders.sample_window import STEP_SAMPLES, SampleWindow
from .published_weights import read_weights

STEP = 320
"""Samples between features: 50 features a second."""

SEEN = 400
"""Receptive field of the convolutions, samples: feature k is centred at sample k * STEP + SEEN / 2."""

PAIR = STEP + SEEN
"""Samples behind the two features of a step of 40 ms."""

ROWS = 450
"""Steps per block: 18 seconds, 20 with the overlap."""

OVERLAP = 50
"""Features at either end of a block that the neighbouring block provides: one second."""


@dataclass(frozen=True)
class Published:
    """A published model.

    Attributes:
        architecture: class name in `transformers`, before Config and Model.
        prefix: of the model's weights in files that also hold a recognition head.
        size: of a feature.
        numbers: the published configuration, where it differs from the class's defaults.
    """

    architecture: str
    prefix: str
    size: int
    numbers: dict[str, Any]


PUBLISHED = {
    "hubert": Published("Hubert", "hubert.", 1024, {
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
        "conv_bias": True, "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    }),
    "wav2vec2": Published("Wav2Vec2", "wav2vec2.", 768, {
        "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
        "conv_bias": False, "feat_extract_norm": "group", "do_stable_layer_norm": False,
    }),
}  # fmt: skip
"""By the name of the encoder, and of its record in `models`."""


class SelfSupervised:
    """The last hidden layer of a published model; see `AudioEncoder`. The weights are loaded on first use."""

    def __init__(self, name: str, path: Path) -> None:
        """`name`: of `PUBLISHED`; `path`: its weights."""
        self.name = name
        self.size = PUBLISHED[name].size
        self._path = path
        self._network: nn.Module | None = None

    @torch.inference_mode()
    def features(self, audio: Iterable[np.ndarray], steps: int | None = None, offset_ms: float = 0.0) -> np.ndarray:
        """(steps, size) float32: the mean of the two features centred on the step's time.

        The audio is processed in blocks of at most 20 seconds, each normalised to zero mean and unit variance.

        Raises:
            ModelError: the weights are damaged, or others, or `transformers` cannot be imported.
        """
        if self._network is None:
            self._network = _load(self.name, self._path)
        window, rows = SampleWindow(audio), [np.empty((0, self.size), np.float32)]
        late = round(offset_ms * RATE / 1000) - PAIR // 2
        for first, stop in window.batches(steps, ROWS):
            begin, end = first * STEP_SAMPLES + late, (stop - 1) * STEP_SAMPLES + late + PAIR
            window.fill(end + OVERLAP * STEP)
            # Full features, so the rows stay aligned; and within the audio, since padding would change mean and variance.
            before = min(OVERLAP, max(begin, 0) // STEP)
            after = min(OVERLAP, max(window.received - end, 0) // STEP)
            hidden = _encode(self._network, window.read(begin - before * STEP, end + after * STEP))
            own = hidden[before : before + 2 * (stop - first)]
            rows.append(own.reshape(stop - first, 2, self.size).mean(1))
        return np.concatenate(rows)


def open_encoder(name: str) -> SelfSupervised:
    """`hubert` or `wav2vec2`, its weights not loaded yet.

    Raises:
        ModelError: the weights or the package `transformers` are not installed.
    """
    path = _find(name)
    if path is None:
        file = models.folders()[0] / models.record(name).file
        raise ModelError(
            f"The encoder {name} needs its weights: run `python -m backend models fetch {name}`, or save them as {file} "
            f"(or {file.with_suffix('.safetensors').name})."
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
    """The published file, or the same weights as .safetensors."""
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
    try:
        network.load_state_dict(_own(read_weights(path), published.prefix))
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path} does not hold the weights of {models.record(name).address}, or it is damaged: delete it and run "
            f"`python -m backend models fetch {name}`."
        ) from error
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _own(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The model's weights without the recognition head and what only training uses."""
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
