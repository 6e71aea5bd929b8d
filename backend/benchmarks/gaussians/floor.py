"""What the machine can do at best: pairs of a Gaussian and a pixel a second, and bytes a second; so the least time of a frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from ...renderer.gaussians.kernels.numba_buffers import (
    BLUE,
    CENTRE_X,
    CENTRE_Y,
    FORM_XX,
    FORM_YY,
    GREEN,
    LOG2_OPACITY,
    PACKED,
    PIXELS,
    RED,
    TILE,
)
from ...renderer.gaussians.kernels.numba_maths import VECTOR_OPTIONS, F
from ...renderer.gaussians.kernels.numba_vectors import blend_colours

ROUNDS, RUNS = 2000, 7
CACHED_GAUSSIANS = 64
"""Gaussians of the loop that measures the rate: their numbers stay in the nearest cache."""
COPIED_BYTES = 1 << 28


@numba.njit(**VECTOR_OPTIONS)
def _blend_only(packed, lists, rounds, state):
    """The rasteriser's innermost loop, exponential and blending, over one tile: no lists to fill, no end when it is opaque."""
    most = F(0.0)
    for _ in range(rounds):
        state[0, :] = F(1.0)
        most = max(most, blend_colours(packed, lists, 0, lists.shape[0], F(0.0), F(0.0), state))
    return most


def rates(threads: int) -> dict[str, float]:
    """Measured rates of `threads` threads together: `pairs_per_s` and `bytes_per_s` (a copy: read and written bytes)."""
    packed = np.zeros((CACHED_GAUSSIANS, PACKED), np.float32)
    packed[:, [CENTRE_X, CENTRE_Y]] = np.random.default_rng(0).uniform(0, TILE, (CACHED_GAUSSIANS, 2))
    packed[:, [FORM_XX, FORM_YY]], packed[:, LOG2_OPACITY], packed[:, [RED, GREEN, BLUE]] = -0.1, -1.0, 0.5
    lists = np.arange(CACHED_GAUSSIANS, dtype=np.int32)

    def blend(_: int) -> None:
        _blend_only(packed, lists, ROUNDS, np.zeros((4, PIXELS), np.float32))

    source = np.ones((threads, COPIED_BYTES // 4 // threads), np.float32)
    target = np.zeros_like(source)
    with ThreadPoolExecutor(threads) as pool:
        blending = _least_seconds(pool, threads, blend)
        copying = _least_seconds(pool, threads, lambda thread: np.copyto(target[thread], source[thread]))
    pairs = threads * ROUNDS * CACHED_GAUSSIANS * PIXELS
    return {"pairs_per_s": pairs / blending, "bytes_per_s": 2 * source.nbytes / copying}


def floor(parts: dict[str, Any], measured: dict[str, float]) -> dict[str, float]:
    """Least milliseconds of a frame's arithmetic and of its memory; a frame takes at least the greater of both."""
    arithmetic, memory = parts["pairs"] / measured["pairs_per_s"], parts["bytes"] / measured["bytes_per_s"]
    return {"arithmetic_ms": arithmetic * 1e3, "memory_ms": memory * 1e3, "floor_ms": max(arithmetic, memory) * 1e3}


def _least_seconds(pool: ThreadPoolExecutor, threads: int, work: Callable[[int], object]) -> float:
    seconds = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        list(pool.map(work, range(threads)))
        seconds.append(time.perf_counter() - begun)
    return min(seconds[1:])
