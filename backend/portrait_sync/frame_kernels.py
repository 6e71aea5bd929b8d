"""The loops over a frame's pixels, compiled: what `matting.py` and `plate.py` state as operations on images, in one pass.

No image between two operations is written to memory. Both give the same bytes, but for roundings: a test compares them.
"""

from __future__ import annotations

import numpy as np

from ..compilation.kernel_cache import njit

_ZERO, _ONE, _TWO, _THREE, _FOUR = (np.float32(value) for value in range(5))


@njit(nogil=True, error_model="numpy")
def ramp(low, high, value):
    """`arrays.smoothstep` of one value."""
    t = min(max((value - low) / (high - low), _ZERO), _ONE)
    return t * t * (_THREE - _TWO * t)


@njit(nogil=True, error_model="numpy")
def measure_band(
    frame,
    background,
    foreground,
    small_background,
    noise,
    known,
    plain,
    inside,
    distance,
    ridge,
    own,
    least,
    says,
    floor_share,
    alpha,
):
    """Replace the network's matte within the band with the measured one.

    Args:
        frame: (H, W, 3) uint8. background: (H, W, 3) float32.
        foreground, small_background: (H/2, W/2, 3) float32, the colours between which alpha is measured.
        noise, known, distance: (H/2, W/2) float32 and inside: (H/2, W/2) uint8, as `person_alpha` has them.
        plain: (H/2, W/2) float32, where the background is known or continues.
        ridge: 1 + `SHADE_RIDGE`.
        own: variance of the measured alpha beside that by noise. least: `matting.LEAST_APART`.
        says, floor_share: the network's, squared `sigma` and `floor` of `matting.Trust`.
        alpha: (H, W) float32, the network's; becomes the result.
    """
    for y in range(inside.shape[0]):
        for x in range(inside.shape[1]):
            if inside[y, x]:
                alpha[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = _ONE
                continue
            if not distance[y, x] <= _ONE:
                continue
            # The estimator (`matting.Estimator.between`) of this pixel of the half size.
            b0, b1, b2 = small_background[y, x, 0], small_background[y, x, 1], small_background[y, x, 2]
            f0, f1, f2 = foreground[y, x, 0] - b0, foreground[y, x, 1] - b1, foreground[y, x, 2] - b2
            sigma = noise[y, x]
            dd = f0 * f0 + f1 * f1 + f2 * f2 + sigma * sigma
            dk = -(f0 * b0 + f1 * b1 + f2 * b2)
            kk = ridge * (b0 * b0 + b1 * b1 + b2 * b2) + np.float32(900.0)
            scale = _ONE / (dd * kk - dk * dk)
            sk, sd, sx = scale * kk, scale * dd, scale * dk
            p0, p1, p2 = f0 * sk + b0 * sx, f1 * sk + b1 * sx, f2 * sk + b2 * sx
            q0, q1, q2 = -b0 * sd - f0 * sx, -b1 * sd - f1 * sx, -b2 * sd - f2 * sx
            t0, t1, t2 = p0 + q0, p1 + q1, p2 + q2
            faint = sigma * np.sqrt(t0 * t0 + t1 * t1 + t2 * t2)
            contrast = np.sqrt(dd) + np.float32(30.0)
            doubtful = (np.float32(10.0) * faint) ** 2
            reliability = _ONE / (_ONE + doubtful * doubtful)
            doubt = np.float32(0.4) * (distance[y, x] * distance[y, x])
            floor = min(np.float32(0.02) + _TWO * faint + doubt, np.float32(0.6))
            visible = known[y, x]
            share, noisy, guess = plain[y, x] * says, faint * faint + own, (_ONE - visible) * reliability
            g0, g1, g2 = f0 + b0, f1 + b1, f2 + b2
            darker = (g0 * b0 + g1 * b1 + g2 * b2) / (g0 * g0 + g1 * g1 + g2 * g2 + _ONE)
            darker = min(max(darker, _ZERO), _ONE)
            h0, h1, h2 = b0 - darker * g0, b1 - darker * g1, b2 - darker * g2
            apart = min(max((h0 * h0 + h1 * h1 + h2 * h2 + sigma * sigma) / dd, least), _ONE)
            for row in range(2 * y, 2 * y + 2):
                for column in range(2 * x, 2 * x + 2):
                    c0 = np.float32(frame[row, column, 0]) - background[row, column, 0]
                    c1 = np.float32(frame[row, column, 1]) - background[row, column, 1]
                    c2 = np.float32(frame[row, column, 2]) - background[row, column, 2]
                    a = c0 * p0 + c1 * p1 + c2 * p2
                    b = c0 * q0 + c1 * q1 + c2 * q2
                    mixture = min(max((a + b - floor) / (np.float32(0.97) - floor), _ZERO), _ONE)
                    positive = max(a, _ZERO)
                    r0, r1, r2 = c0 - f0 * positive + b0 * b, c1 - f1 * positive + b1 * b, c2 - f2 * positive + b2 * b
                    rest = np.sqrt(r0 * r0 + r1 * r1 + r2 * r2) / contrast
                    alike = ramp(np.float32(0.6), np.float32(0.9), a + b - doubt)
                    alike *= ramp(np.float32(0.4), np.float32(0.2), rest)
                    measured = max(mixture, ramp(np.float32(0.3) + floor, np.float32(0.7) + floor, rest))
                    network = alpha[row, column]
                    varies = share * (_FOUR * network * (_ONE - network) + floor_share)
                    unsure = noisy / apart if measured < network else noisy
                    value = max(network + varies / (varies + unsure) * (measured - network), guess * alike)
                    alpha[row, column] = min(max(value, _ZERO), _ONE)


@njit(nogil=True, error_model="numpy")
def strip_sums(frame, body, hair, likeness, lowest, shadow, strip, sums):
    """Sums over the strip of visible neck below the head in each column, see `plate.extend_body`.

    Args:
        frame: (H, W, 3) uint8. body, hair: (H, W) float32. likeness: (32768) float32 by `colours.colour_bins`.
        lowest: (W) float32, H where a column has no head. shadow, strip: pixels.
        sums: (W, 4) float32, written: red, green, blue and weight of what is skin or hair.
    """
    height = frame.shape[0]
    for column in range(frame.shape[1]):
        sums[column] = _ZERO
        first = int(lowest[column]) + shadow + 1
        for row in range(first, min(first + strip, height)):
            red, green, blue = int(frame[row, column, 0]), int(frame[row, column, 1]), int(frame[row, column, 2])
            strands = hair[row, column]
            skin = likeness[red >> 3 << 10 | green >> 3 << 5 | blue >> 3] * (_ONE - strands)
            weight = body[row, column] * max(skin, strands)
            sums[column, 0] += np.float32(red) * weight
            sums[column, 1] += np.float32(green) * weight
            sums[column, 2] += np.float32(blue) * weight
            sums[column, 3] += weight


@njit(nogil=True, error_model="numpy")
def cover_head(frame, background, head, body, corner, colour, matte, lowest, darkening, wide, neck, plate):
    """The last step of `plate.make_plate`: background and extended body over the frame, where the head is.

    Args:
        frame: (H, W, 3) uint8. background: (H, W, 3) float32. head, body: (H, W) float32. Complete, as only images without gaps
            between their rows become loops of vectors.
        corner: row and column at which the window of (h, w) pixels begins.
        colour: (w, 3) float32 of the extended body in each column, which darkens up from `lowest` (w) by
            `darkening`: over how many pixels, and how much.
        matte: (h, w) float32 of it. wide: (h, w) float32, what is replaced with background.
        neck: 1 where the body is extended, else 0.
        plate: (H, W, 3) uint8, written in the window.
    """
    width, (top, left) = wide.shape[1], corner
    zones, shares, shades = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    # Repeated for each channel, as then one loop over all of them is one of vectors.
    zone, share = np.empty((width, 3), np.float32), np.empty((width, 3), np.float32)
    shaded, values = np.empty((width, 3), np.float32), np.empty(3 * width, np.float32)
    half, solid = np.empty((width, 3), np.float32), np.empty((width, 3), np.float32)
    zone_flat, share_flat, shaded_flat = zone.ravel(), share.ravel(), shaded.ravel()
    half_flat, solid_flat = half.ravel(), solid.ravel()
    for row in range(wide.shape[0]):
        replaced, extended = wide[row], matte[row]
        covered, below = head[top + row][left : left + width], body[top + row][left : left + width]
        for column in range(width):
            replacing = replaced[column] * (_ONE - below[column])
            zones[column] = max(replacing, ramp(_ZERO, np.float32(0.8), covered[column]))
            shares[column] = extended[column] * ramp(np.float32(0.5), _ONE, covered[column] + below[column]) * neck
            up = min(max((lowest[column] - np.float32(row)) / darkening[0], _ZERO), _ONE)
            shades[column] = _ONE - darkening[1] * up
        for column in range(width):
            for channel in range(3):
                zone[column, channel], share[column, channel] = zones[column], shares[column]
                shaded[column, channel] = shades[column] * colour[column, channel]
                half[column, channel] = _ONE / max(_ONE - covered[column], np.float32(0.02))
                solid[column, channel] = ramp(np.float32(0.8), _ONE, covered[column] + below[column])
                solid[column, channel] *= ramp(np.float32(0.9), np.float32(0.5), covered[column])
        owns, behinds = (
            frame[top + row][left : left + width].ravel(),
            background[top + row][left : left + width].ravel(),
        )
        plates = plate[top + row][left : left + width]
        for k in range(3 * width):
            behind = behinds[k]
            behind += (shaded_flat[k] - behind) * share_flat[k]
            own = np.float32(owns[k])
            shown = own + (behind - own) * zone_flat[k]
            possible = max(shown, np.float32(255.0) + (own - np.float32(255.0)) * half_flat[k])
            possible = min(possible, own * half_flat[k])
            shown += (possible - shown) * solid_flat[k]
            values[k] = np.rint(min(max(shown, _ZERO), np.float32(255.0)))
        for column in range(width):
            for channel in range(3):
                plates[column, channel] = np.uint8(np.int32(values[3 * column + channel]))


def compile_kernels() -> None:
    """Compile or read what a frame calls: with windows of images, and with complete ones."""
    grey, colour, frame = np.zeros((4, 4), np.float32), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8)
    half, sure = grey[:2, :2].copy(), np.ones((2, 2), np.uint8)
    small = colour[:2, :2].copy()
    constants = (_ONE,) * 5
    measure_band(frame, colour, small, small, half, half, half, sure, half, *constants, grey.copy())
    row, sums = np.zeros(4, np.float32), np.zeros((4, 4), np.float32)
    cover_head(
        frame, colour, grey, grey, (0, 0), sums[:, :3].copy(), grey, row, np.ones(2, np.float32), grey, _ONE, frame
    )
    for width in (4, 2):
        frame, part = frame[:, :width], grey[:, :width]
        strip_sums(frame, part, part, np.zeros(1 << 15, np.float32), row[:width], 1, 1, sums[:width])
