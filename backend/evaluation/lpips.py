"""LPIPS: how differently two images look to a network that was trained on people's judgement of such differences."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from .. import models
from ..errors import ModelError

BACKBONE, HEADS = "lpips_backbone", "lpips_heads"
"""Names of the two files of weights (docs/install.md lists all)."""

_CHANNELS = (64, 192, 384, 256, 256)
_TAPS = (1, 4, 7, 9, 11)
"""Layers of the stack whose outputs are compared: behind each of the five ReLUs."""
_TINY = 1e-10


class Lpips(nn.Module):
    """Learned perceptual distance (Zhang et al. 2018, LPIPS v0.1) on the convolutions of AlexNet.

    d(x, y) = Σ_l mean over places of w_l · (x̂_l − ŷ_l)², where x̂_l are the features of layer l, of length 1 at each
    place, and w_l ≥ 0 the learned weights of its channels. 0 for equal images; about 0.1 for images that look the same
    side by side, 0.5 and more for another image.

    The weights are frozen and gradients pass to the images: it serves as a training loss as well as a figure.
    """

    smallest = 31
    """Pixels a side that the stack needs."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(),
            nn.MaxPool2d(3, stride=2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
            nn.MaxPool2d(3, stride=2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.heads = nn.ModuleList(nn.Conv2d(channels, 1, 1, bias=False) for channels in _CHANNELS)
        # The input is [-1, 1] with the mean and deviation of ImageNet's images, as its authors rounded them.
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    @classmethod
    def load(cls, folder: Path | None = None) -> Lpips | None:
        """The network with its weights, on the CPU, or None where one of the two files is missing.

        Args:
            folder: where the files lie; the model folders, with their checksums, when None.

        Raises:
            ModelError: a file is there and does not hold what its name promises.
        """
        paths = []
        for name in (BACKBONE, HEADS):
            path = models.find(name) if folder is None else folder / models.record(name).file
            if path is None or not path.is_file():
                return None
            paths.append(path)
        backbone, heads = (_read(path) for path in paths)
        lpips = cls()
        try:
            lpips.load_published(backbone, heads)
        except (KeyError, RuntimeError) as error:
            raise ModelError(
                f"{paths[0]} and {paths[1]} do not hold the weights of LPIPS ({error}): delete them and run "
                f"`models fetch` for {BACKBONE} and {HEADS}."
            ) from error
        return lpips

    def load_published(self, backbone: Mapping[str, torch.Tensor], heads: Mapping[str, torch.Tensor]) -> None:
        """Take weights under the names they are published with.

        Args:
            backbone: torchvision's AlexNet: `features.0.weight`, `features.0.bias`, …; its classifier is not used.
            heads: `lin0.model.1.weight` to `lin4.model.1.weight`, (1, C, 1, 1) each.

        Raises:
            KeyError, RuntimeError: one is missing, or of another shape.
        """
        prefix = "features."
        self.features.load_state_dict(
            {name.removeprefix(prefix): value for name, value in backbone.items() if name.startswith(prefix)}
        )
        for number, head in enumerate(self.heads):
            head.load_state_dict({"weight": heads[f"lin{number}.model.1.weight"]})

    def forward(self, predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Distance of each pair of images.

        Args:
            predicted, truth: (N, 3, H, W) RGB in [0, 1], display-encoded, at least 31 pixels a side.

        Returns:
            (N), 0 or more.
        """
        if predicted.shape != truth.shape or predicted.ndim != 4 or min(predicted.shape[2:]) < self.smallest:
            raise ValueError(
                f"images of {tuple(predicted.shape)} and {tuple(truth.shape)} cannot be compared: give both as "
                f"(N, 3, H, W) of at least {self.smallest} pixels a side"
            )
        distance = predicted.new_zeros(len(predicted))
        x, y = ((2 * image - 1 - self.shift) / self.scale for image in (predicted, truth))
        for number, layer in enumerate(self.features):
            x, y = layer(x), layer(y)
            if number in _TAPS:
                difference = (_unit(x) - _unit(y)).square()
                distance = distance + self.heads[_TAPS.index(number)](difference).mean(dim=(1, 2, 3))
        return distance


def _unit(features: torch.Tensor) -> torch.Tensor:
    """Features of length 1 at each place; where all are 0 the small number keeps them and their gradient finite."""
    return features / (features.square().sum(dim=1, keepdim=True) + _TINY**2).sqrt()


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise ModelError(
            f"{path} cannot be read ({error}): delete it and fetch it again with `models fetch`."
        ) from error
    if not isinstance(found, Mapping):
        raise ModelError(f"{path} holds no table of weights: delete it and fetch it again with `models fetch`.")
    return found
