"""The loops over the planes of a frame, compiled: what changes of them is read and written once."""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit
from ..portrait_sync.resample_kernels import mirrored, resample_line
from ..portrait_sync.taps import Taps

_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_BYTE = 1 / 255


@njit(inline="always", error_model="numpy")
def _nearest(value, peak):
    """As a sample is stored: the nearest integer up to `peak`; of floating point, where that is 0, the value itself."""
    return min(max(np.rint(value), _ZERO), peak) if peak > _ZERO else value


@njit(nogil=True, error_model="numpy")
def blend_plane(plane, top, left, rgba, mix, peak):
    """Composite an image over a plane that has a sample for each pixel.

    Args:
        plane: (H, W) of the frame's samples, changed in place where alpha is not 0.
        top, left: of the image in the plane.
        rgba: (h, w, 4) float32, premultiplied.
        mix: (4) float32, from `rgba` to what is added to a sample.
        peak: the largest value of a sample; 0 of floating point.
    """
    for row in range(rgba.shape[0]):
        line, colours = plane[top + row, left : left + rgba.shape[1]], rgba[row]
        for column in range(line.size):
            alpha = colours[column, 3]
            if alpha == _ZERO:
                continue
            added = mix[0] * colours[column, 0] + mix[1] * colours[column, 1] + mix[2] * colours[column, 2]
            added += mix[3] * alpha
            line[column] = _nearest(np.float32(line[column]) * (_ONE - alpha) + added, peak)


@njit(nogil=True, error_model="numpy")
def blend_chroma(first, second, top, left, rgba, mixes, taps, down, peak):
    """Composite an image over two planes of subsampled chroma, averaged by [1, 2, 1] and [1, 1].

    Args:
        first, second: (H, W) of the frame's samples, changed in place where the average has any alpha.
        top, left: of the image in the planes.
        rgba: (h, w, 4) float32, premultiplied.
        mixes: (2, 4) float32, from `rgba` to what is added to a sample of each.
        taps: (2n + 1) float32: weights of the columns about a sample's own, repeated at the edges.
        down: rows of a sample; the last is repeated.
    """
    height, width = rgba.shape[0], rgba.shape[1]
    reach, step = taps.size // 2, (taps.size + 1) // 2
    share = _ONE / np.float32(down)
    line = np.empty((width, 4), np.float32)
    flat = line.ravel()
    by_red, by_green, by_blue, by_alpha = mixes[0, 0], mixes[0, 1], mixes[0, 2], mixes[0, 3]
    and_red, and_green, and_blue, and_alpha = mixes[1, 0], mixes[1, 1], mixes[1, 2], mixes[1, 3]
    for row in range((height + down - 1) // down):
        above = rgba[row * down].ravel()
        for k in range(flat.size):
            flat[k] = above[k]
        for other in range(row * down + 1, (row + 1) * down):
            below = rgba[min(other, height - 1)].ravel()
            for k in range(flat.size):
                flat[k] += below[k]
        for column in range((width + step - 1) // step):
            red, green, blue, alpha = _ZERO, _ZERO, _ZERO, _ZERO
            for tap in range(-reach, reach + 1):
                at, weight = min(max(column * step + tap, 0), width - 1), taps[reach + tap] * share
                red += weight * line[at, 0]
                green += weight * line[at, 1]
                blue += weight * line[at, 2]
                alpha += weight * line[at, 3]
            if alpha == _ZERO:
                continue
            clear = _ONE - alpha
            was, beneath = first[top + row, left + column], second[top + row, left + column]
            added = by_red * red + by_green * green + by_blue * blue + by_alpha * alpha
            first[top + row, left + column] = _nearest(np.float32(was) * clear + added, peak)
            added = and_red * red + and_green * green + and_blue * blue + and_alpha * alpha
            second[top + row, left + column] = _nearest(np.float32(beneath) * clear + added, peak)


@njit(nogil=True, error_model="numpy")
def squared_deviation(plane, gain, reach, sums, squares):
    """How far each sample is from the mean about it, squared.

    Args:
        plane: (H, W) samples.
        gain: of a sample to the units of the result.
        reach: the mean is over (2 · reach + 1)² samples, mirrored at the edges without repeating them.
        sums: (W) zeros of a type that holds so many samples exactly.
        squares: (H, W) float32, written.
    """
    height, width = plane.shape
    side = 2 * reach + 1
    padded, total = np.zeros(width + 2 * reach, sums.dtype), np.zeros(width, sums.dtype)
    part = np.float32(1 / (side * side))
    for row in range(-reach, reach + 1):
        line = plane[mirrored(row, height)]
        for column in range(width):
            sums[column] += line[column]
    for row in range(height):
        if row:
            added, left = plane[mirrored(row + reach, height)], plane[mirrored(row - reach - 1, height)]
            for column in range(width):
                sums[column] += added[column]
                sums[column] -= left[column]
        padded[reach : reach + width] = sums
        for k in range(1, reach + 1):
            padded[reach - k] = sums[mirrored(-k, width)]
            padded[reach + width - 1 + k] = sums[mirrored(width - 1 + k, width)]
        total[:] = 0
        for k in range(side):
            shifted = padded[k : k + width]
            for column in range(width):
                total[column] += shifted[column]
        line, out = plane[row], squares[row]
        for column in range(width):
            apart = gain * (np.float32(line[column]) - part * np.float32(total[column]))
            out[column] = apart * apart


@njit(nogil=True, error_model="numpy")
def add_pattern(plane, pattern, strength, scale, peak):
    """Add a pattern to a plane in place, as strong as a coarse image says, which is interpolated linearly.

    Args:
        plane: (H, W) samples. pattern: (H, W) float32.
        strength: (h, w) float32, its edges repeated.
        scale: from their product to samples.
        peak: the largest value of a sample; 0 of floating point.
    """
    height, width = plane.shape
    rows, columns = strength.shape
    left, share = np.empty(width, np.int32), np.empty(width, np.float32)
    for column in range(width):
        at = min(
            max((np.float32(column) + _HALF) * np.float32(columns / width) - _HALF, _ZERO), np.float32(columns - 1)
        )
        left[column] = min(int(at), max(columns - 2, 0))
        share[column] = at - np.float32(left[column])
    line, amount = np.empty(columns + 1, np.float32), np.empty(width, np.float32)
    for row in range(height):
        at = min(max((np.float32(row) + _HALF) * np.float32(rows / height) - _HALF, _ZERO), np.float32(rows - 1))
        upper = min(int(at), max(rows - 2, 0))
        lower, down = min(upper + 1, rows - 1), at - np.float32(upper)
        for column in range(columns):
            line[column] = scale * (
                strength[upper, column] + down * (strength[lower, column] - strength[upper, column])
            )
        line[columns] = line[columns - 1]
        for column in range(width):
            near = line[left[column]]
            amount[column] = near + share[column] * (line[left[column] + 1] - near)
        out, waves = plane[row], pattern[row]
        # Apart from the loop above, whose reads keep it from being compiled for many at once.
        for column in range(width):
            out[column] = _nearest(np.float32(out[column]) + waves[column] * amount[column], peak)


@njit(nogil=True, error_model="numpy")
def shown_box(rgba):
    """First row, first column, and those after the last, of what has alpha in (H, W, 4); all 0 where nothing has."""
    height, width = rgba.shape[0], rgba.shape[1]
    top, left, bottom, right = height, width, 0, 0
    for row in range(height):
        first = 0
        while first < width and rgba[row, first, 3] == _ZERO:
            first += 1
        if first == width:
            continue
        last = width
        while last > right and rgba[row, last - 1, 3] == _ZERO:
            last -= 1
        top, bottom = min(top, row), row + 1
        left, right = min(left, first), max(right, last)
    return (top, left, bottom, right) if bottom else (0, 0, 0, 0)


@njit(nogil=True, error_model="numpy")
def pad_plate(image, share, margin, out):
    """A plate with a margin in which its colours continue and there is none of it.

    Args:
        image: (H, W, 3) uint8.
        share: (H, W) float32, how much of it there is.
        margin: pixels.
        out: (H + 2 margin, W + 2 margin, 4) float32, written: colour in [0, 1], and share.
    """
    height, width = share.shape
    for row in range(out.shape[0]):
        from_row = min(max(row - margin, 0), height - 1)
        inside = from_row == row - margin
        colours, shares, line = image[from_row], share[from_row], out[row]
        for column in range(out.shape[1]):
            place = min(max(column - margin, 0), width - 1)
            for channel in range(3):
                line[column, channel] = np.float32(colours[place, channel] * _BYTE)
            line[column, 3] = shares[place] if inside and place == column - margin else _ZERO


@njit(nogil=True, error_model="numpy")
def over_plate(head, top, left, plate, rows, columns, out):
    """Composite a head over a plate, as far as there is any of it.

    Args:
        head: (H, W, 4) float32, premultiplied.
        top, left: of the part of it that is composited.
        plate: (S, S, 4) float32: colour, and how much of it there is.
        rows, columns: `Taps` from the plate to that part.
        out: (h, w, 4) float32 of the part, written.
    """
    height, width = out.shape[0], out.shape[1]
    lines, kept = np.empty((4, 4 * width), np.float32), np.full(4, -1)
    mixed = np.empty((width, 4), np.float32)
    flat = mixed.ravel()
    for row in range(height):
        for tap in range(4):
            source = rows.places[row, tap]
            if kept[source & 3] != source:
                resample_line(plate[source].ravel(), columns, lines[source & 3])
                kept[source & 3] = source
        places, weights = rows.places[row], rows.weights[row]
        first, second = lines[places[0] & 3], lines[places[1] & 3]
        third, fourth = lines[places[2] & 3], lines[places[3] & 3]
        by_first, by_second, by_third, by_fourth = weights[0], weights[1], weights[2], weights[3]
        for k in range(flat.size):
            flat[k] = by_first * first[k] + by_second * second[k] + by_third * third[k] + by_fourth * fourth[k]
        over, line = head[top + row, left : left + width], out[row]
        for column in range(width):
            alpha = over[column, 3]
            below = (_ONE - alpha) * mixed[column, 3]
            for channel in range(3):
                line[column, channel] = over[column, channel] + below * mixed[column, channel]
            line[column, 3] = alpha + below


@njit(nogil=True, error_model="numpy")
def largest_difference(one, other, out):
    """The largest difference of three channels of 8 bits, of (H, W, 3) uint8 each, to (H, W) uint8."""
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            largest = 0
            for channel in range(3):
                largest = max(largest, abs(np.int32(one[row, column, channel]) - np.int32(other[row, column, channel])))
            out[row, column] = largest


def compile_kernels() -> None:
    """Compile or read what a delivery of 8 or 10 bits calls."""
    rgba, taps = np.zeros((4, 4, 4), np.float32), np.zeros((4, 4), np.float32)
    one, weight = np.ones(1, np.float32), np.float32(1)
    shown_box(rgba)
    both = Taps(np.zeros((4, 4), np.int32), taps)
    over_plate(rgba, 0, 0, rgba, both, both, rgba.copy())
    for kind in (np.uint8, np.uint16):
        plane = np.zeros((4, 4), kind)
        blend_plane(plane, 0, 0, rgba, taps[0], weight)
        blend_chroma(plane, plane.copy(), 0, 0, rgba, taps[:2], one, 1, weight)
        squared_deviation(plane, weight, 1, np.zeros(4, np.int32), taps)
        add_pattern(plane, taps, taps, weight, weight)
    mask = np.zeros((4, 4), np.uint8)
    pad_plate(mask[..., None].repeat(3, 2), taps, 0, rgba)
    largest_difference(mask[..., None].repeat(3, 2), mask[..., None].repeat(3, 2), mask)
