"""The compiled rasteriser (Numba, CPU): buffers, threads and the order of the kernels' calls."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ....workspace.shapes import Float, Int
from .interface import ATTRIBUTES, Drawn, Gradients, View, checked_gradient, checked_order, slope_limits
from .numba_bins import fill_lists, pack_passes, place_lists, project_and_count
from .numba_blend import blend_part, blend_passes_part
from .numba_buffers import PACKED, SUMS, TILE, Lens, Tiles
from .numba_driven import PreparedHead, drive_and_count, prepare_head
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
        attributes, order = _array(attributes), _array(checked_order(order, attributes.shape[1]), np.int32)
        lens = lens_of(view)
        active = self._bin(view, len(order), project_and_count, attributes, order, lens)
        self._drawn = attributes, order, lens, active
        return self._blend(order, lens, depth, mattes, before)

    def prepare(
        self,
        base: Float[np.ndarray, "14 n"],
        lip_bases: Float[np.ndarray, "7 lip_codes lips"],
        expression_bases: Float[np.ndarray, "7 expression_codes expressions"],
        view_bases: Float[np.ndarray, "3 2 n"],
        order: Int[np.ndarray, " n"],
    ) -> PreparedHead:
        """See `interface.HeadRasteriser.prepare`."""
        return prepare_head(
            base, lip_bases, expression_bases, view_bases, _array(checked_order(order, base.shape[1]), np.int32)
        )

    def draw_head(
        self,
        head: PreparedHead,
        lip_codes: Float[np.ndarray, "2 lip_codes"],
        expression_codes: Float[np.ndarray, "2 expression_codes"],
        towards: Float[np.ndarray, " 2"],
        view: View,
        *,
        depth: bool = False,
        mattes: Float[np.ndarray, "3 n"] | None = None,
    ) -> Drawn:
        """See `interface.HeadRasteriser.draw_head`."""
        lens = lens_of(view)
        codes = _array(lip_codes), _array(expression_codes), _array(towards)
        active = self._bin(view, len(head.order), drive_and_count, head, *codes, lens)
        self._drawn = None, None, None, active
        return self._blend(head.order, lens, depth, mattes)

    def _bin(self, view: View, count: int, project: Callable[..., int], *arguments: Any) -> int:
        """Project `count` Gaussians and make the tiles' lists; returns the number of tiles to draw."""
        self._fit(view.camera.height, view.camera.width, count)
        rows_of_tiles = self._in_parts(project, *arguments, self._packed, self._tiles)
        if max(rows_of_tiles) > self._tiles.spans.shape[2]:
            spans = np.empty((self.threads, 3, max(rows_of_tiles) * 5 // 4), np.int32)
            self._tiles = self._tiles._replace(spans=spans)
            self._in_parts(project, *arguments, self._packed, self._tiles)
        total, active = place_lists(self._tiles)
        if total > len(self._lists):
            self._lists = np.empty(total * 5 // 4, np.int32)
        self._in_parts(fill_lists, self._tiles, self._lists)
        return active

    def _blend(
        self,
        order: np.ndarray,
        lens: Lens,
        depth: bool,
        mattes: np.ndarray | None,
        before: tuple[np.ndarray, View] | None = None,
    ) -> Drawn:
        """The image, and the passes that are asked for."""
        assert self._drawn is not None
        given = self._packed, self._lists, self._tiles, self._drawn[-1], self._image
        if not depth and mattes is None and before is None:
            self._in_parts(blend_part, *given)
            self._passes_painted = False
            return Drawn(self._image)
        if mattes is not None or before is not None:
            shares = _NO_MATTES if mattes is None else _array(mattes)
            earlier = _NO_BEFORE if before is None else _array(before[0])
            earlier_lens = lens if before is None else lens_of(before[1])
            self._in_parts(pack_passes, order, shares, earlier, earlier_lens, self._packed)
        motion_plane = 1 if mattes is None else 4
        passes = self._clean_passes(motion_plane if before is None else motion_plane + 2)
        self._in_parts(blend_passes_part, *given, passes, mattes is not None)
        passes = passes[:, :, : self._size[1]]
        return Drawn(
            self._image,
            depth=passes[0] if depth else None,
            mattes=np.moveaxis(passes[1:4], 0, 2) if mattes is not None else None,
            motion=np.moveaxis(passes[motion_plane:], 0, 2) if before is not None else None,
        )

    def backward(self, gradient: Float[np.ndarray, "height width 4"]) -> Gradients:
        """See `interface.Rasteriser.backward`."""
        if self._drawn is None or self._drawn[0] is None:
            raise RuntimeError("draw a frame from its attributes before its gradients are asked for")
        attributes, order, lens, active = self._drawn
        gradient = _array(checked_gradient(gradient, self._image.shape))
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
            counts=np.zeros((self.threads, tiles + 1), np.int64),
            starts=np.zeros(tiles + 1, np.int64),
            ends=np.zeros(tiles, np.int64),
            spans=np.empty((self.threads, 3, max(1024, 8 * count // self.threads)), np.int32),
            used=np.zeros(self.threads, np.int64),
            active=np.empty(tiles, np.int32),
            painted=np.zeros(tiles, np.uint8),
        )
        self._size, self._count, self._drawn = (height, width), count, None

    def _clean_passes(self, planes: int) -> np.ndarray:
        """The passes' buffer, in which the tiles that are not drawn are empty.

        Its rows are a line of the cache longer than the image's: as a power of two apart they would drive one another out of it.
        """
        height, width = self._size
        if self._passes is None or len(self._passes) != planes:
            self._passes = np.zeros((planes, height, width + 16), np.float32)
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


def _array(array: np.ndarray, kind: type = np.float32) -> np.ndarray:
    """The array itself where it is of the one type that the kernels are compiled for, else a copy."""
    return np.require(array, kind, ("C_CONTIGUOUS", "ALIGNED", "WRITEABLE"))
