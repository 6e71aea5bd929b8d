"""Volume rendering (Eq. 9) of packed samples and its gradient, for Triton: a program walks along a block of rays."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _read(density, colour, distances, at, real):
    return (
        tl.load(density + at, mask=real, other=0.0),
        tl.load(colour + 3 * at, mask=real, other=0.0),
        tl.load(colour + 3 * at + 1, mask=real, other=0.0),
        tl.load(colour + 3 * at + 2, mask=real, other=0.0),
        tl.load(distances + at, mask=real, other=0.0),
    )


@triton.jit
def composite_kernel(density, colour, distances, offsets, rgba, weights, distortion, rays, step, RAYS: tl.constexpr):
    ray = tl.program_id(0) * RAYS + tl.arange(0, RAYS)
    inside = ray < rays
    begin = tl.load(offsets + ray, mask=inside, other=0)
    count = (tl.load(offsets + ray + 1, mask=inside, other=0) - begin).to(tl.int32)
    origin = tl.load(distances + begin, mask=count > 0, other=0.0)
    transmittance = tl.zeros([RAYS], tl.float32) + 1.0
    red = tl.zeros([RAYS], tl.float32)
    green = tl.zeros([RAYS], tl.float32)
    blue = tl.zeros([RAYS], tl.float32)
    alpha = tl.zeros([RAYS], tl.float32)
    moment = tl.zeros([RAYS], tl.float32)
    apart = tl.zeros([RAYS], tl.float32)
    for n in range(tl.max(count, 0)):
        real = n < count
        sigma, r, g, b, distance = _read(density, colour, distances, begin + n, real)
        keep = tl.exp(-sigma * step)
        weight = tl.where(real, transmittance * (1 - keep), 0.0)
        place = (distance - origin) / step
        apart += 2 * weight * (place * alpha - moment)
        moment += weight * place
        red += weight * r
        green += weight * g
        blue += weight * b
        alpha += weight
        tl.store(weights + begin + n, weight, mask=real)
        transmittance *= keep
    tl.store(rgba + 4 * ray, red, mask=inside)
    tl.store(rgba + 4 * ray + 1, green, mask=inside)
    tl.store(rgba + 4 * ray + 2, blue, mask=inside)
    tl.store(rgba + 4 * ray + 3, alpha, mask=inside)
    tl.store(distortion + ray, apart, mask=inside)


@triton.jit
def composite_backward_kernel(
    density, colour, distances, offsets, weights, d_rgba, d_distortion, d_density, d_colour, rays, step,
    RAYS: tl.constexpr,
):  # fmt: skip
    # As `compositing.composite_backward`: with v what the loss gains by weight at a sample, the derivative by density is
    # step * (transmittance behind it * v - sum of w v behind it).
    ray = tl.program_id(0) * RAYS + tl.arange(0, RAYS)
    inside = ray < rays
    begin = tl.load(offsets + ray, mask=inside, other=0)
    count = (tl.load(offsets + ray + 1, mask=inside, other=0) - begin).to(tl.int32)
    most = tl.max(count, 0)
    origin = tl.load(distances + begin, mask=count > 0, other=0.0)
    g0 = tl.load(d_rgba + 4 * ray, mask=inside, other=0.0)
    g1 = tl.load(d_rgba + 4 * ray + 1, mask=inside, other=0.0)
    g2 = tl.load(d_rgba + 4 * ray + 2, mask=inside, other=0.0)
    g3 = tl.load(d_rgba + 4 * ray + 3, mask=inside, other=0.0)
    gs = tl.load(d_distortion + ray, mask=inside, other=0.0)
    alpha = tl.zeros([RAYS], tl.float32)
    total = tl.zeros([RAYS], tl.float32)
    for n in range(most):
        real = n < count
        weight = tl.load(weights + begin + n, mask=real, other=0.0)
        alpha += weight
        total += weight * (tl.load(distances + begin + n, mask=real, other=0.0) - origin) / step
    # First the sum of w v of all samples; then from the front, what is left of it behind each.
    behind = tl.zeros([RAYS], tl.float32)
    for turn in tl.static_range(2):
        ahead = tl.zeros([RAYS], tl.float32)
        moment = tl.zeros([RAYS], tl.float32)
        transmittance = tl.zeros([RAYS], tl.float32) + 1.0
        for n in range(most):
            real = n < count
            at = begin + n
            sigma, r, g, b, distance = _read(density, colour, distances, at, real)
            weight = tl.load(weights + at, mask=real, other=0.0)
            place = tl.where(real, (distance - origin) / step, 0.0)
            farther, moment_behind = alpha - ahead - weight, total - moment - weight * place
            apart = 2 * (place * (ahead - farther) - (moment - moment_behind))
            value = g0 * r + g1 * g + g2 * b + g3 + gs * apart
            ahead += weight
            moment += weight * place
            if turn == 0:
                behind += weight * value
            else:
                behind -= weight * value
                transmittance *= tl.exp(-sigma * step)
                tl.store(d_density + at, step * (transmittance * value - behind), mask=real)
                tl.store(d_colour + 3 * at, weight * g0, mask=real)
                tl.store(d_colour + 3 * at + 1, weight * g1, mask=real)
                tl.store(d_colour + 3 * at + 2, weight * g2, mask=real)
