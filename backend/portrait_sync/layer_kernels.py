"""The loops of `body_layer` and `hair_layer`, compiled: what both state as operations on images, in one pass.

Both give the same bytes, but for roundings: a test compares them.
"""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit
from .resample_kernels import mirrored

_ZERO, _ONE, _TWO, _THREE, _TOP = (np.float32(value) for value in (0, 1, 2, 3, 255))
_NEAR = 2
"""Pixels about one that its texture's edges are averaged over."""


@njit(inline="always", error_model="numpy")
def _ramp(low, high, value):
    """`arrays.smoothstep` of one value."""
    t = min(max((value - low) / (high - low), _ZERO), _ONE)
    return t * t * (_THREE - _TWO * t)


@njit(inline="always", error_model="numpy")
def _byte(value):
    return np.uint8(np.int32(np.rint(min(max(value, _ZERO), _TOP))))


@njit(nogil=True, error_model="numpy")
def premultiply(image, alpha, out):
    """An image (H, W, 3) uint8 times alpha (H, W) float32, and alpha: (H, W, 4) float32, written."""
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            share = alpha[row, column]
            for channel in range(3):
                out[row, column, channel] = np.float32(image[row, column, channel]) * share
            out[row, column, 3] = share


@njit(nogil=True, error_model="numpy")
def neck_texture(plate, blurred, alpha, start, levels, table):
    """The high frequencies of the neck's strip below the head, in each column.

    Args:
        plate: (H, W, 3) uint8.
        blurred: (H, W, 4) float32, of the plate times alpha, and alpha.
        alpha: (H, W) float32.
        start: (W) float32, each column's first row of the strip; H or more where there is none.
        levels: beyond so many they are an edge, and from half of it on a little.
        table: (rows, W, 3) float32 of the strip, written.
    """
    height, width = alpha.shape
    largest = np.zeros((height, width), np.float32)
    for column in range(width):
        first, last = height, 0
        for other in range(max(column - _NEAR, 0), min(column + _NEAR + 1, width)):
            first, last = min(first, int(start[other])), max(last, int(start[other]) + table.shape[0])
        for row in range(max(first - _NEAR, 0), min(last + _NEAR, height)):
            weight = blurred[row, column, 3] + np.float32(1e-3)
            for channel in range(3):
                high = np.float32(plate[row, column, channel]) - blurred[row, column, channel] / weight
                largest[row, column] = max(largest[row, column], abs(high))
    for column in range(width):
        for k in range(table.shape[0]):
            row = int(start[column]) + k
            table[k, column] = _ZERO
            if row >= height:
                continue
            total = 0.0
            for down in range(-_NEAR, _NEAR + 1):
                for across in range(-_NEAR, _NEAR + 1):
                    total += largest[mirrored(row + down, height), mirrored(column + across, width)]
            calm = _ramp(levels, np.float32(0.5) * levels, np.float32(total / 25))
            share = calm * _ramp(np.float32(0.9), _ONE, alpha[row, column])
            weight = blurred[row, column, 3] + np.float32(1e-3)
            for channel in range(3):
                high = np.float32(plate[row, column, channel]) - blurred[row, column, channel] / weight
                table[k, column, channel] = high * share


@njit(nogil=True, error_model="numpy")
def take_apart(plate, background, light, alpha, rest, textured, start, table, left, body, behind):
    """Body and what is behind it, of a plate; see `body_layer.BodyLayer`.

    Args:
        plate, background: (H, W, 3) uint8.
        light: (H, W, 3) float32, what the frame's light adds to the background.
        alpha: (H, W) float32, how much of the plate is body; rest: (H, W) float32, or next to it.
        textured: (H, W) float32, how much of it has texture above the neck's strip as well.
        start: (w) float32, of the columns from `left` on the first row below the head's end that has texture.
        table: (rows, w, 3) float32, `neck_texture`.
        body, behind: (H, W, 4) uint8, written.
    """
    height, width = alpha.shape
    strip = np.float32(max(table.shape[0] - 1, 1))
    for row in range(height):
        for column in range(width):
            share, near = alpha[row, column], rest[row, column]
            place = column - left
            above, fade, k = _ZERO, _ZERO, 0
            if 0 <= place < start.size and share > np.float32(0.3):
                above = start[place] - np.float32(row)
                if above > _ZERO and above < _TWO * strip:
                    fade = _ramp(_TWO * strip, strip, above) * _ramp(np.float32(0.3), np.float32(0.8), share)
                    fade *= _ONE - textured[row, column]
                    k = int(strip - abs(strip - above))
            opaque = _TOP * share
            for channel in range(3):
                level = np.float32(plate[row, column, channel])
                clean = np.float32(background[row, column, channel]) + light[row, column, channel]
                behind[row, column, channel] = _byte(level + near * (clean - level))
                colour = level - (_ONE - share) * clean
                if fade > _ZERO:
                    colour += table[k, place, channel] * fade
                body[row, column, channel] = _byte(min(colour, opaque))
            behind[row, column, 3], body[row, column, 3] = _byte(_TOP * near), _byte(opaque)


@njit(nogil=True, error_model="numpy")
def take_hair(frame, plate, mattes, blurs, chin, down, height, ends, head, weight):
    """The head of a frame, and where it replaces a rendered one; see `hair_layer.HairLayer`.

    Args:
        frame, plate: (H, W, 3) uint8; mattes: (H, W, 4) uint8, of `Workspace.read_matte`.
        blurs: (H, W) uint8 each, of the face's oval and its surroundings, of the hair's `SPREAD` and `CLEAR`.
        chin, down: (2) float32, in pixels of the window, and height: in pixels, of the face's frame.
        ends: (6) float32, in face heights from the chin: the brow, downwards; between which heights above it the ears begin; between
            which places across they are, and the width of the border there.
        head: (H, W, 4) uint8 and weight: (H, W) uint8, written.
    """
    face, near, spread, clear = blurs
    part = np.float32(0.05)
    brow, lobes, ears, left, right, border = ends
    for row in range(weight.shape[0]):
        y = (np.float32(row) + np.float32(0.5)) - chin[1]
        for column in range(weight.shape[1]):
            x = (np.float32(column) + np.float32(0.5)) - chin[0]
            at = (x * down[0] + y * down[1]) / height
            above = min(max((brow - at) / part, _ZERO), _ONE)
            beside = min(max((-part - at) / np.float32(0.1), _ZERO), _ONE)
            counts = max(
                np.float32(spread[row, column]) / _TOP * (_ONE - np.float32(face[row, column]) / _TOP),
                np.float32(mattes[row, column, 1]) / _TOP * above,
            )
            across = (x * down[1] - y * down[0]) / height
            outside = min(max(min(across - left, right - across) / border, _ZERO), _ONE)
            outside *= min(max((-lobes - at) / (ears - lobes), _ZERO), _ONE)
            counts = max(counts, outside * (_ONE - np.float32(face[row, column]) / _TOP))
            still = max(_ONE - np.float32(mattes[row, column, 3]) / _TOP, beside)
            still *= _ONE - min(_TWO * (np.float32(near[row, column]) / _TOP), _ONE)
            counts = max(counts, still * (np.float32(clear[row, column]) / _TOP))
            weight[row, column] = _byte(_TOP * counts)
            alpha = np.float32(mattes[row, column, 0])
            rest = _ONE - alpha / _TOP
            for channel in range(3):
                colour = np.float32(frame[row, column, channel]) - rest * np.float32(plate[row, column, channel])
                head[row, column, channel] = np.uint8(np.int32(min(max(colour + np.float32(0.5), _ZERO), alpha)))
            head[row, column, 3] = mattes[row, column, 0]


def compile_kernels() -> None:
    """Compile or read what a delivery calls."""
    image, mattes = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 4), np.uint8)
    plane, light, line = np.zeros((4, 4), np.float32), np.zeros((4, 4, 3), np.float32), np.zeros(4, np.float32)
    blurred, one = np.zeros((4, 4, 4), np.float32), np.float32(1)
    # Of the images there are windows, of the mattes as well.
    window, matte = image[:, 1:], mattes[:, 1:]
    premultiply(window, plane[:, 1:], blurred[:, 1:].copy())
    neck_texture(window, blurred[:, 1:].copy(), plane[:, 1:], line[1:], one, light[:, 1:].copy())
    parts = light[:, 1:].copy(), plane[:, 1:].copy(), plane[:, 1:].copy(), plane[:, 1:], line[1:], light[:, 1:].copy()
    take_apart(window, window, *parts, 0, mattes[:, 1:].copy(), mattes[:, 1:].copy())
    byte = matte[..., 0].copy()
    blurs, written = (byte, byte, byte, byte), (matte.copy(), byte.copy())
    take_hair(window, window, matte, blurs, line[:2], line[:2], one, np.ones(6, np.float32), *written)
