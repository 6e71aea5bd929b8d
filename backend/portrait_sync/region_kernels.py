"""The loops of `frame.head_region` and `frame.split_frame`, compiled, as those of `frame_kernels`."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit
from .frame_kernels import ramp

_ZERO, _ONE = np.float32(0), np.float32(1)


@njit(nogil=True, error_model="numpy")
def collar_and_clothing(small, skin, clothing, light, collar, clothes):
    """How likely each pixel is a bright collar, and clothing of any kind, by its colour.

    Args:
        small: (h, w, 3) uint8. skin, clothing: (32768) float32 by `colours.colour_bins`.
        light: the neck's mean level.
        collar, clothes: (h, w) float32, written.
    """
    for row in range(small.shape[0]):
        for column in range(small.shape[1]):
            red, green, blue = int(small[row, column, 0]), int(small[row, column, 1]), int(small[row, column, 2])
            place = red >> 3 << 10 | green >> 3 << 5 | blue >> 3
            other = _ONE - skin[place]
            bright = np.float32((red + green + blue + 1) // 3) / light  # the mean in whole levels
            collar[row, column] = ramp(_ONE, np.float32(1.3), bright) * other
            clothes[row, column] = clothing[place] * other


@njit(nogil=True, error_model="numpy")
def join_region(jaw, under, ears, collar, clothes, oval, axes, region, hair):
    """Join the parts of the head, see `frame.head_region`.

    Args:
        jaw, under: (h, w) float32, above the jaw line and with the flesh under the chin. ears: (h, w), above their lobes.
        collar, clothes: (h, w) of `collar_and_clothing`. oval: (h, w) of the face.
        axes: (8) float32: chin, direction across and direction down, each (x, y), face height, pixels of the frame for one here.
        region: (h, w), written. hair: (h, w), where the clip has hair; becomes the hair beside the face.
    """
    chin_x, chin_y, across_x, across_y, down_x, down_y, height, step = axes
    for row in range(jaw.shape[0]):
        y = (np.float32(row) + np.float32(0.5)) * step - chin_y
        for column in range(jaw.shape[1]):
            x = (np.float32(column) + np.float32(0.5)) * step - chin_x
            across, down = (x * across_x + y * across_y) / height, (x * down_x + y * down_y) / height
            strands = hair[row, column] * (_ONE - oval[row, column])
            part = max(jaw[row, column], under[row, column] * (_ONE - collar[row, column]))
            part = max(part, ears[row, column] * ramp(np.float32(0.6), np.float32(0.3), clothes[row, column]))
            part = max(part, strands * ramp(np.float32(0.15), np.float32(-0.1), down))
            region[row, column] = part * ramp(np.float32(1.5), np.float32(1.2), abs(across))
            hair[row, column] = strands


@njit(nogil=True, error_model="numpy")
def split_person(person, parts, faced, mattes, head, body, hair):
    """Split the person's matte (H, W) float32 into head and body.

    Args:
        parts: (3, H/2, W/2) float32: how much of a pixel is head, how much of the head is hair, and where the face certainly is; they
            are interpolated linearly, their edges repeated.
        faced: whether the face is the person, whatever the matte says.
        mattes: (H, W, 4) uint8, written: head, hair, body, person. head, body, hair: (H, W) float32, written; hair as `parts` has it.
    """
    near, far = np.float32(0.75), np.float32(0.25)
    height, width = parts.shape[1:]
    rows, wide = np.empty((3, width), np.float32), np.empty((3, 2 * width), np.float32)
    for row in range(2 * height):
        own = row >> 1
        other = min(max(own + 2 * (row & 1) - 1, 0), height - 1)
        for part in range(3):
            nearest, next_row, mixed, line = parts[part, own], parts[part, other], rows[part], wide[part]
            for column in range(width):
                mixed[column] = near * nearest[column] + far * next_row[column]
            line[0], line[2 * width - 1] = mixed[0], mixed[width - 1]
            for column in range(width - 1):
                line[2 * column + 1] = near * mixed[column] + far * mixed[column + 1]
                line[2 * column + 2] = far * mixed[column] + near * mixed[column + 1]
        alpha, heads, bodies, strands, packed = person[row], head[row], body[row], hair[row], mattes[row]
        for column in range(2 * width):
            whole = max(alpha[column], wide[2, column] * faced)
            above = whole * wide[0, column]
            heads[column], bodies[column], strands[column] = above, whole - above, wide[1, column]
            packed[column, 0] = _level(above)
            packed[column, 1] = _level(above * wide[1, column])
            packed[column, 2] = _level(whole - above)
            packed[column, 3] = _level(whole)


@njit(nogil=True, error_model="numpy")
def close_slits(network, closed, alpha):
    """The last step of `matting.person_alpha`: `alpha` becomes `closed` where the network is sure of the person; (H, W) float32."""
    for row in range(alpha.shape[0]):
        sure, filled, own = network[row], closed[row], alpha[row]
        for column in range(alpha.shape[1]):
            value = own[column] + ramp(np.float32(0.5), np.float32(0.9), sure[column]) * (filled[column] - own[column])
            own[column] = min(max(value, _ZERO), _ONE)


@njit(nogil=True, error_model="numpy")
def _level(value):
    return np.uint8(np.int32(np.rint(min(max(value * np.float32(255.0), _ZERO), np.float32(255.0)))))


def compile_kernels() -> None:
    """Compile or read what a frame calls."""
    half, full = np.zeros((2, 2), np.float32), np.zeros((4, 4), np.float32)
    tables = np.zeros(1 << 15, np.float32), np.zeros(1 << 15, np.float32)
    collar_and_clothing(np.zeros((2, 2, 3), np.uint8), *tables, _ONE, half, half.copy())
    join_region(*(half.copy() for _ in range(6)), np.ones(8, np.float32), half, half.copy())
    split_person(
        full, np.zeros((3, 2, 2), np.float32), _ONE, np.zeros((4, 4, 4), np.uint8), *(full.copy() for _ in range(3))
    )
    close_slits(full, full.copy(), full.copy())
