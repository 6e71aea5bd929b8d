"""The parts of a frame that the compiled kernel draws: marching, encoding, networks, compositing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import njit, prange

from ..renderer.field.kernels import marching
from ..renderer.field.kernels.drawing import RAY_BLOCK
from ..renderer.field.kernels.interface import Networks
from ..renderer.field.kernels.numba_kernel import NumbaKernel
from ..renderer.field.kernels.tile import encode, encoding_arrays, forward, pack_networks, scratch
from ..renderer.field.kernels.vectors import TILE
from ..renderer.field.rays import image_rays
from ..renderer.field.renderer import FieldRenderer
from ..workspace.camera import Camera
from ..workspace.head_track import HeadTrack


def median_ms(draw: Callable[[int], object], frames: np.ndarray, times: int) -> float:
    """Milliseconds per frame."""
    draw(int(frames[0]))
    seconds = []
    for frame in np.repeat(frames, times).tolist():
        begun = time.perf_counter()
        draw(frame)
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds)) * 1e3


@njit(parallel=True, fastmath=True, cache=True, nogil=True, error_model="numpy")
def _march_only(threads, origin, directions, occupied, blocks, unit_step, most):
    radius, half = np.float32(marching.BLOCK_RADIUS / occupied.shape[0]), np.float32(0.5)
    totals = np.zeros(threads, np.int64)
    for thread in prange(threads):
        places = np.empty(most, np.int16)
        for first in range(thread * RAY_BLOCK, directions.shape[0], threads * RAY_BLOCK):
            these = directions[first : first + RAY_BLOCK]
            near, far = marching.reach(origin, these, blocks, radius)
            for ray in range(these.shape[0] if near < far else 0):
                totals[thread] += marching.march_between(
                    origin, these[ray], occupied, unit_step, half, near, far, places
                )
    return totals.sum()


@njit(parallel=True, fastmath=True, cache=True, nogil=True, error_model="numpy")
def _shade_only(threads, positions, encoding, networks, with_networks):
    features, hidden = 3 * encoding.resolutions.shape[0], networks.hidden_bias.shape[0]
    for thread in prange(threads):
        buffers = scratch(features, hidden, networks.first_weight)
        for low in range(thread * TILE, positions.shape[1] - TILE, threads * TILE):
            buffers.points[:] = positions[:, low : low + TILE]
            if with_networks:
                forward(0, encoding, networks, buffers)
            else:
                encode(encoding, buffers)


def parts_of_a_frame(
    renderer: FieldRenderer,
    kernel: NumbaKernel,
    camera: Camera,
    tracking: HeadTrack,
    frame: int,
    rates: dict[str, float],
) -> dict[str, Any]:
    """Samples of one frame, its parts in milliseconds, and the least its networks can take at the measured rate."""
    field, pose = renderer.field, tracking.head_to_camera[frame]
    threads = numba.get_num_threads()
    rows, columns = renderer.pixels(camera, pose)
    u, v = columns + 0.5, rows + 0.5
    origin, directions = image_rays(camera, pose, u, v)
    grid, config = field.grid(), field.config
    with torch.no_grad():
        networks = field.networks(torch.from_numpy(tracking.blendshapes[frame])[None])
        start, towards = field.in_cube(torch.from_numpy(origin)), torch.from_numpy(directions)
        samples = kernel.march(start.expand(len(towards), 3), towards, grid, torch.full((len(towards),), 0.5))
    positions = np.ascontiguousarray(samples.positions.numpy().T)
    arrays = encoding_arrays(field.tables, config.layout), pack_networks(networks, kernel.bfloat16)
    blocks = marching.occupied_blocks(grid.empty_block_distance.numpy())
    unit_step = np.float32(grid.step / grid.box_size)

    def timed(work: Callable[[], object]) -> float:
        return median_ms(lambda _: work(), np.zeros(1, int), times=5)

    rays = timed(lambda: image_rays(camera, pose, *(a + 0.5 for a in reversed(renderer.pixels(camera, pose)))))
    march = timed(
        lambda: _march_only(
            threads, start.numpy(), directions, grid.occupied.numpy(), blocks, unit_step, grid.max_samples
        )
    )
    encoding = timed(lambda: _shade_only(threads, positions, *arrays, False))
    shading = timed(lambda: _shade_only(threads, positions, *arrays, True))
    whole = timed(lambda: renderer.render(camera, pose, tracking.blendshapes[frame]))
    hit = int((samples.offsets.diff() > 0).sum())
    flops = operations(networks) * positions.shape[1]
    return {
        "samples": positions.shape[1],
        "samples_a_hit_ray": positions.shape[1] / max(hit, 1),
        "parts": {
            "rays": rays,
            "marching": march,
            "encoding": encoding,
            "networks": shading - encoding,
            "compositing and the rest": whole - rays - march - shading,
        },
        "floor_ms": flops / rates["bfloat16" if kernel.bfloat16 else "float32"] / 1e6,
    }


def operations(networks: Networks) -> int:
    """Floating-point operations of a sample's matrix products."""
    matrices = (
        networks.first_weight, networks.gate_weight, networks.hidden_weight, networks.density_weight,
        networks.colour_weight, networks.out_weight,
    )  # fmt: skip
    return 2 * sum(matrix.numel() for matrix in matrices)
