"""A warped layer composited under a rendered head, compiled: in NumPy it takes several times as long as the head itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compilation.kernel_cache import njit
from .lanes import ALPHA, BLUE, GREEN, RED, between, level, spread

_OPAQUE, _ONE, _ZERO, _HALF, _BYTE = (np.float32(value) for value in (0.999, 1.0, 0.0, 0.5, 1 / 255))
_SHARE = np.float32(10.0)
"""A warped body covers the plate from a tenth of its alpha on."""
_FADE = np.float32(6.0)
"""Beyond its sides a body has ended after so many pixels of the working frame."""


class Window(NamedTuple):
    """A layer's place: pixel (row, column) of the window is pixel (row + top, column + left) of the image, and its middle is at
    (x + column · step, y + row · step) of the layer, in pixels of the working frame, where the layer is `width` by `height`."""

    top: int
    left: int
    x: np.float32
    y: np.float32
    step: np.float32
    width: np.float32
    height: np.float32


@njit(fastmath=True, nogil=True, error_model="numpy")
def composite_under(part, parts, rgba, window, grid, body, behind):
    """Composite under `rgba`: `body`, warped, over `behind`, as far as the grid shows it.

    Args:
        part, parts: does every `parts`-th row from row `part` on: threads share the window.
        rgba: (H, W, 4) float32, premultiplied, display-encoded; changed in place.
        window: `Window`; it lies within the image.
        grid: (rows, columns, 3) float32 at the middles of as many cells of the layer: how far away in the body what is seen
            there lies, x and y, in pixels of the working frame, and how opaque the layer is, in [0, 1].
        body: (h, w) uint32 that fills the layer: colour times alpha, and alpha, 8 bits each, red the lowest. Beyond its sides it fades.
        behind: (window's rows, columns) uint32: colour, and how much of it belongs to the body at rest.
    """
    rows, columns = grid.shape[0], grid.shape[1]
    across, down = np.float32(columns) / window.width, np.float32(rows) / window.height
    body_x, body_y = np.float32(body.shape[1]) / window.width, np.float32(body.shape[0]) / window.height
    most_x, most_y = np.float32(body.shape[1] - 1), np.float32(body.shape[0] - 1)
    row = np.empty((columns, 3), np.float32)
    for i in range(part, behind.shape[0], parts):
        y = window.y + np.float32(i) * window.step
        v = min(max(y * down - _HALF, _ZERO), np.float32(rows - 1))
        upper = min(int(v), rows - 2)
        v -= np.float32(upper)
        shows = False
        for k in range(columns):
            for c in range(3):
                row[k, c] = grid[upper, k, c] + v * (grid[upper + 1, k, c] - grid[upper, k, c])
            shows |= row[k, 2] > _ZERO
        if not shows:
            continue
        line = rgba[window.top + i, window.left : window.left + behind.shape[1]]
        rest = behind[i]
        for j in range(rest.size):
            alpha = line[j, 3]
            if alpha >= _OPAQUE:
                continue
            x = window.x + np.float32(j) * window.step
            u = min(max(x * across - _HALF, _ZERO), np.float32(columns - 1))
            near = min(int(u), columns - 2)
            u -= np.float32(near)
            shown = row[near, 2] + u * (row[near + 1, 2] - row[near, 2])
            if shown <= _ZERO:
                continue
            dx = row[near, 0] + u * (row[near + 1, 0] - row[near, 0])
            dy = row[near, 1] + u * (row[near + 1, 1] - row[near, 1])
            at_x = (x + dx) * body_x - _HALF
            beyond = (max(-at_x, at_x - most_x) - _HALF) / body_x
            at_x = min(max(at_x, _ZERO), most_x)
            at_y = min(max((y + dy) * body_y - _HALF, _ZERO), most_y)
            # By 8 bits between neighbours, all channels at once in one word.
            left, top = min(int(at_x), body.shape[1] - 2), min(int(at_y), body.shape[0] - 2)
            share_x = np.uint64(np.int32((at_x - np.float32(left)) * np.float32(256) + _HALF))
            share_y = np.uint64(np.int32((at_y - np.float32(top)) * np.float32(256) + _HALF))
            first = between(spread(body[top, left]), spread(body[top, left + 1]), share_x)
            second = between(spread(body[top + 1, left]), spread(body[top + 1, left + 1]), share_x)
            moved = between(first, second, share_y)
            plain = spread(rest[j])
            there = min(max(_ONE - beyond / _FADE, _ZERO), _ONE)
            matte = level(moved, ALPHA) * _BYTE * there
            # Where no body is or was, the plate is left alone.
            weight = shown * max(level(plain, ALPHA) * _BYTE, min(_SHARE * matte, _ONE)) * (_ONE - alpha)
            if weight <= _ZERO:
                continue
            clear = _ONE - matte
            scaled = weight * _BYTE
            line[j, 0] += scaled * (level(moved, RED) * there + clear * level(plain, RED))
            line[j, 1] += scaled * (level(moved, GREEN) * there + clear * level(plain, GREEN))
            line[j, 2] += scaled * (level(moved, BLUE) * there + clear * level(plain, BLUE))
            line[j, 3] += weight
