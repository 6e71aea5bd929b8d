"""What `bench gpu` says of the Gaussians: each rasteriser's frames and gradients, on a made-up head of as many as a trained one has."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ..renderer.gaussians.kernels import RASTERISERS, get_rasteriser
from ..renderer.gaussians.kernels.interface import ATTRIBUTES, COLOUR, LOG_SCALE, OPACITY, POSITION, ROTATION, View
from ..renderer.runnable import why_not
from ..workspace.camera import Camera
from ..workspace.shapes import Float
from .gpu_rows import seconds
from .markdown import table

COUNT = 18_000
SEMI_AXES_M = (0.075, 0.1, 0.085)
PLAIN_SIZE = 256
"""The largest frames that plain PyTorch draws: it blends every Gaussian into every pixel, and keeps 52 bytes
of each pair for the gradients, 61 GB in all."""


def made_up_attributes(count: int = COUNT) -> Float[np.ndarray, "14 n"]:
    """Opaque Gaussians of some millimetres on an ellipsoid, from front to back."""
    random = np.random.default_rng(0)
    directions = random.standard_normal((3, count))
    directions /= np.linalg.norm(directions, axis=0)
    directions = directions[:, np.argsort(directions[2])]
    attributes = np.zeros((ATTRIBUTES, count), np.float32)
    attributes[POSITION] = directions * np.array(SEMI_AXES_M)[:, None]
    attributes[LOG_SCALE] = np.log(random.uniform(0.001, 0.004, (3, count)))
    attributes[ROTATION] = random.standard_normal((4, count))
    attributes[OPACITY] = random.normal(1.0, 1.5, count)
    attributes[COLOUR] = 0.5 + 0.4 * np.sin(9 * directions)
    return attributes


def rows(device: str, sizes: Sequence[int], count: int = COUNT) -> dict[str, Any]:
    """Milliseconds of frames, and with gradients, of each rasteriser that runs here, numba on the CPU among them; and how far its
    image is from plain PyTorch's, in levels of 255. Sizes for which memory is too small are left out."""
    attributes, order, found = made_up_attributes(count), np.arange(count, dtype=np.int32), {}
    pose = np.eye(4)
    pose[2, 3] = 0.6
    for name in RASTERISERS:
        on = "cpu" if name == "numba" else device
        if why_not(name, on):
            continue
        rasteriser = get_rasteriser(name, on)
        row: dict[str, Any] = {"frames": {}, "gradients": {}}
        for size in sizes:
            if name == "torch" and size > PLAIN_SIZE:
                continue
            view = View(Camera(size, size, 2.05 * size, (size / 2, size / 2)), pose, 3e-4)
            gradient = np.ones((size, size, 4), np.float32)
            draw = partial(rasteriser.draw, attributes, order, view)
            try:
                times = seconds(draw, device), seconds(partial(rasteriser.backward, gradient), device)
            except torch.OutOfMemoryError:  # most GPUs have less than plain PyTorch takes
                continue
            for kind, time_s in zip(("frames", "gradients"), times, strict=True):
                row[kind][str(size)] = 1e3 * time_s
            if size == min(sizes):
                row["image"] = draw().rgba.copy()
        found[name] = row
    exact = found["torch"].get("image")
    for row in found.values():
        image = row.pop("image", None)
        if exact is not None and image is not None:
            row["levels_from_torch"] = 255 * float(np.abs(image - exact).max())
    return found


def in_words(found: dict[str, Any]) -> list[str]:
    """A table of `rows`."""
    sizes = list(dict.fromkeys(size for row in found.values() for size in row["frames"]))
    cells = []
    for name, row in found.items():
        times = [
            f"{row['frames'][size]:.2f} ms, {row['gradients'][size]:.2f} ms" if size in row["frames"] else "–"
            for size in sizes
        ]
        cells.append([name, *times, f"{row['levels_from_torch']:.2f}" if "levels_from_torch" in row else "–"])
    return table(["Gaussians", *(f"{size}², gradients" for size in sizes), "from torch, of 255"], cells)
