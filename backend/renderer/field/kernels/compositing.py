"""Volume rendering (Eq. 9) of packed samples, compiled, and its gradient."""

from __future__ import annotations

import numpy as np

from ....compilation.kernel_cache import njit, prange


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def composite(density, colour, distances, offsets, step, rgba, weights, distortion):
    for r in prange(offsets.shape[0] - 1):
        transmittance = np.float32(1.0)
        red = green = blue = alpha = moment = apart = np.float32(0.0)
        origin = distances[offsets[r]] if offsets[r] < offsets[r + 1] else np.float32(0.0)
        for m in range(offsets[r], offsets[r + 1]):
            keep = np.exp(-density[m] * step)
            w = transmittance * (1 - keep)
            place = (distances[m] - origin) / step
            apart += 2 * w * (place * alpha - moment)
            moment += w * place
            red += w * colour[m, 0]
            green += w * colour[m, 1]
            blue += w * colour[m, 2]
            alpha += w
            weights[m] = w
            transmittance *= keep
        rgba[r, 0], rgba[r, 1], rgba[r, 2], rgba[r, 3] = red, green, blue, alpha
        distortion[r] = apart


@njit(fastmath=True, nogil=True, error_model="numpy", inline="always")
def _apart(place, ahead, moment, alpha, total_moment, w):
    """Derivative of a ray's distortion by the weight of the sample at `place`, given the sums ahead of it and in all."""
    behind, moment_behind = alpha - ahead - w, total_moment - moment - w * place
    return 2 * (place * (ahead - behind) - (moment - moment_behind))


@njit(parallel=True, fastmath=True, nogil=True, error_model="numpy")
def composite_backward(density, colour, distances, offsets, step, weights, gradient, d_distortion, d_density, d_colour):
    # d/d(sigma_m) = step * (T_after(m) * v_m - sum of w v behind m), v being what the loss gains by weight at a sample:
    # its colour by channel, alpha's being 1, and how far it lies from the ray's other weights.
    for r in prange(offsets.shape[0] - 1):
        if offsets[r] == offsets[r + 1]:
            continue
        g0, g1, g2, g3, gs = gradient[r, 0], gradient[r, 1], gradient[r, 2], gradient[r, 3], d_distortion[r]
        origin = distances[offsets[r]]
        alpha = total_moment = np.float32(0.0)
        for m in range(offsets[r], offsets[r + 1]):
            alpha += weights[m]
            total_moment += weights[m] * (distances[m] - origin) / step
        behind = ahead = moment = np.float32(0.0)
        for m in range(offsets[r], offsets[r + 1]):
            w, place = weights[m], (distances[m] - origin) / step
            value = g0 * colour[m, 0] + g1 * colour[m, 1] + g2 * colour[m, 2] + g3
            value += gs * _apart(place, ahead, moment, alpha, total_moment, w)
            behind += w * value
            ahead += w
            moment += w * place
        ahead = moment = np.float32(0.0)
        transmittance = np.float32(1.0)
        for m in range(offsets[r], offsets[r + 1]):
            w, place = weights[m], (distances[m] - origin) / step
            value = g0 * colour[m, 0] + g1 * colour[m, 1] + g2 * colour[m, 2] + g3
            value += gs * _apart(place, ahead, moment, alpha, total_moment, w)
            ahead += w
            moment += w * place
            behind -= w * value
            transmittance *= np.exp(-density[m] * step)
            d_density[m] = step * (transmittance * value - behind)
            d_colour[m, 0], d_colour[m, 1], d_colour[m, 2] = w * g0, w * g1, w * g2
