"""Samples change between formats exactly where they can, to the nearest value else, and stay where nothing is composited."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from backend.delivery.planes import add_to_luma, composite, luma_of
from backend.media.samples import (
    FLOAT,
    RGB,
    SIGNAL,
    SampleFormat,
    converted,
    from_signal,
    resized,
    signal,
)

RNG = np.random.default_rng(3)


def noise(stored, width=24, height=16):
    """Values that every format has, in colours that are within R'G'B'."""
    unit = 2 ** (stored.bits - 8)
    across, down = (0, 0) if stored.matrix == RGB else stored.chroma
    small = (-(-height // (1 << down)), -(-width // (1 << across)))
    first = RNG.integers(90 * unit, 160 * unit, (height, width))
    return tuple(
        plane.astype(stored.dtype)
        for plane in (first, *(RNG.integers(120 * unit, 136 * unit, small) for _ in range(2)))
    )


def luma(planes, stored):
    """Levels of 255, black at 0."""
    samples, scale = luma_of(planes, stored)
    black = 0 if stored.matrix == RGB else stored.levels(False)[0]
    return (samples - np.float32(black)) * np.float32(scale)


@pytest.mark.parametrize(("matrix", "full_range", "bits"), list(product((1, 6, 9), (False, True), (8, 10, 12))))
def test_every_value_comes_back_from_16_bit_rgb_and_from_half_float(matrix, full_range, bits):
    stored = SampleFormat(bits, (0, 0), matrix, full_range)
    planes = noise(stored)
    deep = converted(planes, stored, SampleFormat(16, (0, 0), RGB, True))
    for plane, back in zip(planes, converted(deep, SampleFormat(16, (0, 0), RGB, True), stored), strict=True):
        np.testing.assert_array_equal(back, plane)
    if bits > 10:
        return
    half = signal(planes, stored).astype(np.float16).astype(np.float32)
    for plane, back in zip(planes, from_signal(half, stored), strict=True):
        np.testing.assert_array_equal(back, plane)


@pytest.mark.parametrize(
    ("matrix", "full_range", "values", "rgb"),
    [
        (1, False, (16, 128, 128), (0, 0, 0)),
        (1, False, (235, 128, 128), (1, 1, 1)),
        (1, False, (63, 102, 240), (1, 0, 0)),  # BT.709: red at 100 %
        (6, False, (81, 90, 240), (1, 0, 0)),  # BT.601
        (9, False, (74, 97, 240), (1, 0, 0)),  # BT.2020
        (1, True, (255, 128, 128), (1, 1, 1)),
        (1, True, (18, 255, 116), (0, 0, 1)),
    ],
)
def test_colours_have_the_values_of_the_recommendations(matrix, full_range, values, rgb):
    stored = SampleFormat(8, (0, 0), matrix, full_range)
    found = signal(tuple(np.full((2, 2), value, np.uint8) for value in values), stored)[0, 0]
    np.testing.assert_allclose(found, rgb, atol=0.006)


def test_depth_changes_by_exact_multiples_and_between_ranges_to_the_nearest():
    grey = tuple(np.arange(256, dtype=np.uint8).reshape(16, 16) for _ in range(3))
    for index, plane in enumerate(converted(grey, SampleFormat(8, (0, 0)), SampleFormat(10, (0, 0)))):
        np.testing.assert_array_equal(plane, grey[index].astype(np.uint16) * 4)
    full = converted(grey, SampleFormat(8, (0, 0), 1, True), SampleFormat(10, (0, 0), 1, False))
    np.testing.assert_array_equal(full[0], np.rint(64 + grey[0] * 876.0 / 255))
    np.testing.assert_array_equal(full[1], np.rint(512 + (grey[1] - 128.0) * 896 / 255))
    back = converted(full, SampleFormat(10, (0, 0), 1, False), SampleFormat(8, (0, 0), 1, True))
    for plane, original in zip(back, grey, strict=True):
        np.testing.assert_array_equal(plane, original)


@pytest.mark.parametrize("chroma", [(0, 0), (1, 0), (1, 1), (2, 0), (2, 2)])
@pytest.mark.parametrize("size", [(40, 32), (39, 31)])
def test_a_ramp_is_not_shifted_by_chroma_of_another_size(chroma, size):
    """Chroma at column 2k is that of the pixel there, between rows 2k and 2k + 1 their mean."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    ramp = (0.2 + 0.01 * columns + 0.02 * rows)[..., None] * np.float32([1, 0.7, 0.4])
    full, stored = SampleFormat(16, (0, 0)), SampleFormat(16, chroma)
    expected = converted(from_signal(ramp, stored), stored, full)
    for plane, other in zip(expected, from_signal(ramp, full), strict=True):
        inner = (slice(8, -8),) * 2
        np.testing.assert_allclose(plane[inner].astype(int), other[inner].astype(int), atol=2)


@pytest.mark.parametrize(
    "stored",
    [
        SampleFormat(8),
        SampleFormat(10, (1, 0), 9),
        SampleFormat(10, (1, 1), 9, True),
        SampleFormat(16, (0, 0), RGB),
        SIGNAL,
    ],
    ids=lambda stored: stored.pixels,
)
def test_only_what_has_alpha_is_composited(stored):
    planes = noise(stored) if stored.bits != FLOAT else tuple(RNG.random((3, 16, 24), np.float32))
    before = tuple(plane.copy() for plane in planes)
    rgba = np.zeros((8, 12, 4), np.float32)
    rgba[2:6, 4:8] = [0.2, 0.3, 0.4, 0.5]
    rgba[3:5, 5:7] = [0.8, 0.6, 0.4, 1.0]
    composite(planes, stored, (6, 4), rgba)
    truth = signal(before, stored)
    truth[4:12, 6:18] = truth[4:12, 6:18] * (1 - rgba[..., 3:]) + rgba[..., :3]
    subsampled = any(stored.chroma) and stored.matrix != RGB
    found = signal(planes, stored)
    if not subsampled:
        np.testing.assert_allclose(found, truth, atol=1.5 / stored.peak if stored.bits != FLOAT else 1e-6)
    expected_luma = luma(
        from_signal(truth, SampleFormat(16, (0, 0), stored.matrix or 1)), SampleFormat(16, (0, 0), stored.matrix or 1)
    )
    if stored.matrix != RGB and not subsampled:
        np.testing.assert_allclose(luma(planes, stored), expected_luma, atol=1)
    for plane, was in zip(planes, before, strict=True):
        reach = 2 if subsampled else 0
        step = before[0].shape[0] // plane.shape[0], before[0].shape[1] // plane.shape[1]
        touched = np.zeros(plane.shape, bool)
        touched[(6 - reach) // step[0] : (10 + reach) // step[0], (10 - reach) // step[1] : (14 + reach) // step[1]] = (
            True
        )
        np.testing.assert_array_equal(plane[~touched], was[~touched])
        assert (plane[touched] != was[touched]).any()


def test_a_composited_image_has_its_colour_where_it_is_opaque():
    stored = SampleFormat(10, (1, 1), 9)
    planes = noise(stored)
    rgba = np.tile(np.float32([0.8, 0.6, 0.4, 1.0]), (8, 12, 1))
    composite(planes, stored, (6, 4), rgba)
    found = signal(planes, stored)[6:10, 9:15]
    np.testing.assert_allclose(found, np.broadcast_to([0.8, 0.6, 0.4], found.shape), atol=0.002)


def test_luma_is_added_to_y_or_to_each_of_rgb():
    for stored in (SampleFormat(10, (1, 1), 9), SampleFormat(16, (0, 0), RGB)):
        planes = noise(stored)
        before, chroma = luma(planes, stored), planes[1].copy()
        add_to_luma(planes, stored, np.full(before.shape, 2.0, np.float32), np.ones((1, 1), np.float32))
        np.testing.assert_allclose(luma(planes, stored) - before, 2.0, atol=0.26)
        assert np.array_equal(planes[1], chroma) == (stored.matrix != RGB)


def test_another_size_keeps_the_colour():
    stored = SampleFormat(8)
    flat = from_signal(np.tile(np.float32([0.8, 0.6, 0.4]), (16, 24, 1)), stored)
    for plane, small in zip(flat, resized(flat, stored, (12, 8)), strict=True):
        assert (small == plane[0, 0]).all()
    assert [plane.shape for plane in resized(flat, stored, (11, 7))] == [(7, 11), (4, 6), (4, 6)]
