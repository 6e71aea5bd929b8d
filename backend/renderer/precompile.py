"""Compile every kernel before the first clip, image and training step: `python -m backend.renderer.precompile`.

The last step of installing the backend. It draws and trains a field of a few cells and a head of one Gaussian, with the
argument types of real ones;
kernels that are on disk are only read. It prints a line as each part begins, `K of N: NAME`; an interrupted run resumes, as
each compiled function has its own file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch

from ..delivery import plane_kernels
from ..delivery.watermark import code_kernels
from ..head_sync import pose_kernel
from ..head_sync.patch_flow import compile_kernel
from ..portrait_sync import (
    exemplar_kernels,
    fill_kernels,
    frame_kernels,
    layer_kernels,
    region_kernels,
    resample_kernels,
)
from ..workspace.camera import Camera
from .field.kernels import Kernel, get_kernel
from .field.kernels.interface import GATE_HIDDEN, SPHERICAL_HARMONICS, Grid, Networks, empty_block_distance
from .field.triplane import TriplaneLayout
from .gaussians.kernels import View, get_rasteriser
from .gaussians.kernels.interface import ATTRIBUTES, MATTES, ROTATION, HeadRasteriser
from .lanes import packed
from .overlay import replace_by
from .scene_linear import write_scene_linear
from .underlay import Window, composite_under

PARTS = 7
_LAYOUT = TriplaneLayout(2, log2_table_size=8, base_resolution=4, finest_resolution=16)
_RAYS, _HIDDEN, _CELLS = 8, 8, 16


def precompile(began: Callable[[str], None] = lambda name: None, kernel: Kernel | None = None) -> None:
    """Compile or read all that drawing and training call. It draws no random numbers, as a training may run
    concurrently.

    Args:
        began: called with the name of each of the `PARTS`, before it.
        kernel: the implementation, the CPU's when None. Plain PyTorch has nothing to compile.
    """
    kernel = kernel or get_kernel()
    if kernel.name != "numba":
        return
    began("rendering")
    show()
    draw(kernel)
    began("marching")
    directions, grid = _directions(), _grid()
    samples = kernel.march(torch.full((_RAYS, 3), 0.5), directions, grid, torch.full((_RAYS,), 0.5))
    given = samples, directions, torch.tensor([0, len(samples.positions)])
    began("shading")
    density, colour, _ = kernel.shade(*given, _tables(), _LAYOUT, _networks(trained=True))
    rgba, _, distortion = kernel.composite(density, colour, samples, grid.step)
    began("gradients")
    (rgba.sum() + distortion.sum()).backward()
    began("Gaussians")
    draw_gaussians()
    began("gradients of Gaussians")
    draw_gaussians(trained=True)
    began("head points, mattes and deliveries")
    compile_kernel()
    for kernels in (
        pose_kernel,
        exemplar_kernels,
        fill_kernels,
        frame_kernels,
        layer_kernels,
        region_kernels,
        resample_kernels,
        plane_kernels,
        code_kernels,
    ):
        kernels.compile_kernels()


def draw(kernel: Kernel | None = None) -> None:
    """Compile or read what a rendered image calls."""
    kernel = kernel or get_kernel()
    with torch.no_grad():
        kernel.draw(torch.full((3,), 0.5), _directions(), _grid(), _tables(), _LAYOUT, _networks(trained=False))


def draw_gaussians(trained: bool = False) -> None:
    """Compile or read what an image of Gaussians calls, or what their training calls as well."""
    rasteriser = get_rasteriser(threads=1)
    attributes, order = np.zeros((ATTRIBUTES, 1), np.float32), np.zeros(1, np.int32)
    attributes[ROTATION] = 1.0
    view = View(Camera(8, 8, 8.0, (4.0, 4.0)), np.diag([0.0, 0.0, 0.0, 1.0]), 0.001)
    image = rasteriser.draw(attributes, order, view).rgba
    rasteriser.draw(attributes, order, view, mattes=np.zeros((len(MATTES), 1), np.float32), before=(attributes, view))
    if trained:
        rasteriser.backward(image)
    if isinstance(rasteriser, HeadRasteriser):
        bases = np.zeros((7, 1, 1), np.float32)
        head = rasteriser.prepare(attributes, bases, bases[:, :, :0], np.zeros((3, 2, 1), np.float32), order)
        code = np.zeros((2, 1), np.float32)
        rasteriser.draw_head(head, code, code, np.zeros(2, np.float32), view)


def show() -> None:
    """Compile or read what puts a neck under a head, and what turns an image into Blender's."""
    image = np.zeros((1, 1, 4), np.float32)
    window = Window(0, 0, *(np.float32(value) for value in (0.5, 0.5, 1.0, 1.0, 1.0)))
    layer = np.zeros((2, 2, 4), np.uint8)
    composite_under(0, 1, image, window, np.zeros((2, 2, 3), np.float32), packed(layer), packed(layer[:1, :1]))
    grid = np.zeros((2, 2, 2), np.float32)
    replace_by(0, 1, image, grid, packed(layer), layer[..., 0].copy(), layer[..., :2].copy(), np.float32(1))
    write_scene_linear(image, np.empty_like(image))


def _directions() -> torch.Tensor:
    return torch.nn.functional.normalize(torch.linspace(-1, 1, 3 * _RAYS).reshape(_RAYS, 3), dim=1)


def _grid() -> Grid:
    occupied = torch.ones((_CELLS,) * 3, dtype=torch.uint8)
    return Grid(occupied, empty_block_distance(occupied), box_size=0.2, step=0.02, max_samples=16)


def _tables() -> torch.Tensor:
    return torch.full((_LAYOUT.features, _LAYOUT.table_size), 0.01, requires_grad=True)


def _networks(trained: bool) -> Networks:
    def some(*shape: int) -> torch.Tensor:
        return torch.full(shape, 0.01, requires_grad=trained)

    return Networks(
        first_weight=some(_HIDDEN + GATE_HIDDEN, _LAYOUT.features),
        first_bias=some(_HIDDEN + GATE_HIDDEN),
        gate_weight=some(2, GATE_HIDDEN),
        gate_bias=some(2),
        condition=some(1, 2, _HIDDEN),
        hidden_weight=some(_HIDDEN, _HIDDEN),
        hidden_bias=some(_HIDDEN),
        density_weight=some(_HIDDEN),
        density_bias=some(1),
        colour_weight=some(_HIDDEN, _HIDDEN + SPHERICAL_HARMONICS),
        colour_bias=some(_HIDDEN),
        out_weight=some(3, _HIDDEN),
        out_bias=some(3),
        regions=torch.full((2, 7), 0.5),
    )


def main() -> int:
    """Print a line for each part."""
    numbers = iter(range(1, PARTS + 1))
    precompile(lambda name: print(f"{next(numbers)} of {PARTS}: {name}", flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
