"""The compiled rasteriser (Numba, CPU): buffers, threads and the order of the kernels' calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ....workspace.shapes import Float, Int
from .interface import ATTRIBUTES, Drawn, Gradients, View, slope_limits
from .numba_bins import fill_lists, pack_passes, place_lists, project_and_count
from .numba_blend import PASSES, blend_part, blend_passes_part
from .numba_buffers import PACKED, SUMS, TILE, Lens, Tiles
from .numba_unblend import unblend_part
from .numba_unproject import unproject_part

_NO_MATTES, _NO_BEFORE = np.zeros((3, 0), np.float32), np.zeros((ATTRIBUTES, 0), np.float32)


class NumbaRasteriser:
    """See `interface.Rasteriser`. It draws one image on `threads` threads: a training that draws several images at a time
    has one rasteriser with one thread for each.
    """

    name = "numba"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or min(os.cpu_count() or 1, 8)
        self._pool = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None
        self._size, self._count = (0, 0), -1
        self._tiles: Tiles
        self._passes: np.ndarray | None = None
        self._passes_painted = False
        self._lists = np.empty(1 << 16, np.int32)
        self._drawn: tuple[Any, ...] | None = None

    def draw(
        self,
        attributes: Float[np.ndarray, "14 n"],
        order: Int[np.ndarray, " n"],
        view: View,
        *,
        depth: bool = False,
        mattes: Float[np.ndarray, "3 n"] | None = None,
        before: tuple[Float[np.ndarray, "14 n"], View] | None = None,
    ) -> Drawn:
        """See `interface.Rasteriser.draw`."""
        attributes, order = _array(attributes), _checked(order, attributes.shape[1])
        lens = lens_of(view)
        self._fit(view.camera.height, view.camera.width, len(order))
        rows_of_tiles = self._in_parts(project_and_count, attributes, order, lens, self._packed, self._tiles)
        if max(rows_of_tiles) > self._tiles.spans.shape[1]:
            spans = np.empty((self.threads, max(rows_of_tiles) * 5 // 4, 2), np.int16)
            self._tiles = self._tiles._replace(spans=spans)
            self._in_parts(project_and_count, attributes, order, lens, self._packed, self._tiles)
        total, active = place_lists(self._tiles)
        if total > len(self._lists):
            self._lists = np.empty(total * 5 // 4, np.int32)
        self._in_parts(fill_lists, self._tiles, self._lists)
        self._drawn = attributes, order, lens, active
        given = self._packed, self._lists, self._tiles, active, self._image
        if not depth and mattes is None and before is None:
            self._in_parts(blend_part, *given)
            self._passes_painted = False
            return Drawn(self._image)
        earlier = _NO_BEFORE if before is None else _array(before[0])
        shares = _NO_MATTES if mattes is None else _array(mattes)
        earlier_lens = lens if before is None else lens_of(before[1])
        self._in_parts(pack_passes, order, shares, earlier, earlier_lens, self._packed)
        passes = self._clean_passes()
        self._in_parts(blend_passes_part, *given, passes)
        return Drawn(
            self._image,
            depth=passes[0] if depth else None,
            mattes=np.moveaxis(passes[1:4], 0, 2) if mattes is not None else None,
            motion=np.moveaxis(passes[4:], 0, 2) if before is not None else None,
        )

    def backward(self, gradient: Float[np.ndarray, "height width 4"]) -> Gradients:
        """See `interface.Rasteriser.backward`."""
        if self._drawn is None:
            raise RuntimeError("draw a frame before its gradients are asked for")
        attributes, order, lens, active = self._drawn
        if gradient.shape != self._image.shape:
            raise ValueError(f"the gradient is {gradient.shape}, the image {self._image.shape}: give one of its shape")
        gradient = _array(gradient)
        sums, gradients = self._gradient_buffers()
        given = self._packed, self._lists, self._tiles, active, self._image, gradient
        self._in_parts(lambda part, parts: unblend_part(part, parts, *given, sums[part]))
        pose = np.zeros((self.threads, 6))
        results = gradients.attributes, gradients.pull, gradients.weight, pose
        self._in_parts(unproject_part, attributes, order, lens, sums, *results)
        gradients.pose = pose.sum(0).astype(np.float32)
        return gradients

    def _in_parts(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Call `function(part, parts, ...)` for each thread's part, and wait for all. Parts are calls of compiled functions
        that release Python's lock: a loop inside one of Numba's parallel loops ran on one core."""
        if self._pool is None:
            return [function(0, 1, *arguments)]
        others = [self._pool.submit(function, part, self.threads, *arguments) for part in range(1, self.threads)]
        first = function(0, self.threads, *arguments)
        return [first, *(other.result() for other in others)]

    def _fit(self, height: int, width: int, count: int) -> None:
        """Buffers for images of this size and this number of Gaussians."""
        if (height, width) == self._size and count == self._count:
            return
        columns, rows = -(-width // TILE), -(-height // TILE)
        tiles = columns * rows
        self._image = np.zeros((height, width, 4), np.float32)
        self._passes, self._passes_painted = None, False
        self._packed = np.zeros((count, PACKED), np.float32)
        self._sums: np.ndarray | None = None
        self._tiles = Tiles(
            columns,
            rows,
            counts=np.zeros((self.threads, tiles), np.int64),
            starts=np.zeros(tiles + 1, np.int64),
            ends=np.zeros(tiles, np.int64),
            spans=np.empty((self.threads, max(1024, 8 * count // self.threads), 2), np.int16),
            boxes=np.zeros((count, 2), np.int32),
            active=np.empty(tiles, np.int32),
            painted=np.zeros(tiles, np.uint8),
        )
        self._size, self._count, self._drawn = (height, width), count, None

    def _clean_passes(self) -> np.ndarray:
        """The passes' buffer, in which the tiles that are not drawn are empty."""
        if self._passes is None:
            self._passes = np.zeros((PASSES, *self._size), np.float32)
        elif not self._passes_painted:
            self._passes.fill(0.0)
        self._passes_painted = True
        return self._passes

    def _gradient_buffers(self) -> tuple[np.ndarray, Gradients]:
        if self._sums is None:
            self._sums = np.zeros((self.threads, self._count, SUMS), np.float32)
            rows = np.empty((ATTRIBUTES, self._count), np.float32)
            pull, weight = np.empty((2, self._count), np.float32)
            self._gradients = Gradients(rows, np.zeros(6, np.float32), pull, weight)
        else:
            self._sums.fill(0.0)
        return self._sums, self._gradients


def lens_of(view: View) -> Lens:
    """A view as the kernels read it."""
    camera, pose = view.camera, np.asarray(view.head_to_camera, np.float32)
    (x, y), (limit_x, limit_y) = camera.principal_px, slope_limits(camera)
    numbers = camera.focal_px, x, y, limit_x, limit_y, view.filter_m
    focal, x, y, limit_x, limit_y, filter_m = map(np.float32, numbers)
    return Lens(focal, x, y, limit_x, limit_y, filter_m, pose[:3, :3].copy(), pose[:3, 3].copy())


def _checked(order: np.ndarray, count: int) -> np.ndarray:
    """The order as the kernels read it: a wrong one would have them read what is not there."""
    if order.shape != (count,) or (count and not (order.min() >= 0 and order.max() < count)):
        raise ValueError(f"order is no permutation of {count} Gaussians")
    return _array(order, np.int32)


def _array(array: np.ndarray, kind: type = np.float32) -> np.ndarray:
    """The array itself where it is of the one type that the kernels are compiled for, else a copy."""
    return np.require(array, kind, ("C_CONTIGUOUS", "ALIGNED", "WRITEABLE"))
