"""The compiled loops over a frame's planes give what operations on images give."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.delivery.footage import FootageWindow, Window, plate_coverage
from backend.delivery.place import Place
from backend.delivery.plane_kernels import add_pattern, shown_box, squared_deviation
from backend.delivery.planes import composite
from backend.media.samples import SampleFormat, from_signal, signal
from backend.portrait_sync.blend import resample
from backend.portrait_sync.fill import dilated, disc
from backend.workspace.images import write_image
from tests.backend.delivery.made_up_person import SIZE, make_person

RNG = np.random.default_rng(11)


def noise(*shape, high=256, dtype=np.uint8):
    return RNG.integers(0, high, shape).astype(dtype)


@pytest.mark.parametrize("radius", [0, 1, 2.4, 8, 31])
def test_a_dilation_is_that_of_opencv(radius):
    image = np.where(RNG.random((61, 83)) < 0.02, noise(61, 83), 0).astype(np.uint8)
    np.testing.assert_array_equal(dilated(image, radius), cv2.dilate(image, disc(radius)))
    np.testing.assert_array_equal(dilated(image[5:50, 3:80], radius), cv2.dilate(image[5:50, 3:80], disc(radius)))


def test_where_a_plate_differs_is_what_morphology_says():
    frame = cv2.GaussianBlur(noise(200, 240, 3), (0, 0), 3)
    plate = frame.copy()
    plate[40:120, 60:150] = 90
    plate[5, 5] = 255 - plate[5, 5]  # a speck is noise
    apart = cv2.blur(cv2.absdiff(frame, plate).max(axis=2), (3, 3))
    changed = cv2.morphologyEx((apart > 4).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    changed = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, disc(4))
    wide = cv2.GaussianBlur(cv2.dilate(changed, disc(2)).astype(np.float32), (0, 0), 0.6)
    expected = np.clip(wide, 0, 1) * (cv2.dilate(changed, disc(4)) > 0)
    np.testing.assert_array_equal(plate_coverage(frame, plate), expected)
    assert 0.1 < expected.mean() < 0.4


@pytest.mark.parametrize(("step", "origin"), [(1.0, (0.0, 0.0)), (0.47, (3.2, -4.1)), (0.5, (0.0, 0.0))])
def test_a_layer_is_enlarged_as_opencv_enlarges_it(step, origin):
    image = cv2.GaussianBlur(noise(60, 70, 4), (0, 0), 1)
    matrix = np.array([[step, 0, origin[0] + step / 2 - 0.5], [0, step, origin[1] + step / 2 - 0.5]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(image, matrix, (150, 120), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    apart = np.abs(resample(image, origin, step, (150, 120)).astype(int) - expected)
    assert apart.max() <= 1 and apart.mean() < 0.1


@pytest.mark.parametrize("scale", [0.6, 1.0, 2.1])
def test_a_head_over_a_plate_is_the_plate_resampled_beneath_it(tmp_path, scale):
    workspace = make_person(tmp_path)
    frame, plate = (cv2.GaussianBlur(noise(SIZE, SIZE, 3), (0, 0), 2) for _ in range(2))
    plate[:, :150] = frame[:, :150]
    for path, image in ((workspace.frame_path(0), frame), (workspace.plate_path(0), plate)):
        write_image(path, image)
    place, window = Place(scale, 3.3, -2.7), Window(10, 7, round(1.1 * scale * SIZE), round(scale * SIZE))
    footage, step = FootageWindow(workspace, place, window), 1 / scale
    head = np.zeros((window.height, window.width, 4), np.float32)
    head[20:90, 30:80] = RNG.random((70, 50, 4), np.float32)
    frame, plate = workspace.read_frame(0), workspace.read_plate(0)
    share = np.pad(plate_coverage(frame, plate), 9)
    deep = np.pad(plate.astype(np.float32) / 255, ((9, 9), (9, 9), (0, 0)), "edge")
    origin, size = (9 - place.x * step, 9 - place.y * step), (window.width, window.height)
    share, deep = (resample(image, origin, step, size) for image in (share, deep))
    below = ((1 - head[..., 3]) * share)[..., None]
    expected = np.concatenate([head[..., :3] + below * deep, head[..., 3:] + below], -1)
    layer = footage.over_plate(head, 0)
    found, (y, x) = np.zeros_like(expected), (layer.y - window.y, layer.x - window.x)
    found[y : y + len(layer.rgba), x : x + layer.rgba.shape[1]] = layer.rgba
    assert np.abs(found - expected).max() < 0.5 / 255
    assert layer.x % 4 == 0 or layer.x == window.x


def test_the_box_of_what_shows():
    image = np.zeros((9, 12, 4), np.float32)
    assert shown_box(image) == (0, 0, 0, 0)
    image[3, 5:7, 3], image[6, 2, 3] = 1e-6, 1
    assert shown_box(image) == (3, 2, 7, 7)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(37, 50), (5, 4), (20, 1)])
def test_contrast_is_the_deviation_from_a_mean(dtype, size):
    plane = noise(*size, high=256 if dtype != np.uint16 else 65536).astype(dtype)
    squares = np.empty(size, np.float32)
    sums = np.zeros(size[1], np.float64 if dtype == np.float32 else np.int32)
    gain = np.float32(255 / 65535 if dtype == np.uint16 else 1)
    squared_deviation(plane, gain, 3, sums, squares)
    values = plane.astype(np.float64)
    expected = (gain * (values - cv2.blur(values, (7, 7)))) ** 2
    np.testing.assert_allclose(squares, expected, atol=0.02)


@pytest.mark.parametrize("size", [(36, 48), (37, 50)])
def test_a_pattern_is_added_as_strong_as_a_coarse_image_says(size):
    plane, pattern = noise(*size), RNG.normal(0, 3, size).astype(np.float32)
    strength = RNG.random((size[0] // 4, size[1] // 4), np.float32)
    expected = plane + 0.8 * pattern * cv2.resize(strength, size[::-1], interpolation=cv2.INTER_LINEAR)
    add_pattern(plane, pattern, strength, np.float32(0.8), np.float32(255))
    apart = np.abs(plane - np.clip(np.rint(expected), 0, 255))
    assert apart.max() <= 1 and (apart > 0).mean() < 0.001


@pytest.mark.parametrize("chroma", [(1, 0), (1, 1), (2, 0), (2, 2)])
def test_a_composite_has_the_chroma_that_a_frame_of_its_colours_has(chroma):
    stored = SampleFormat(10, chroma)
    image = cv2.GaussianBlur(RNG.random((32, 40, 3), np.float32), (0, 0), 2)
    alpha = cv2.GaussianBlur(RNG.random((32, 40), np.float32), (0, 0), 4)[..., None]
    planes = from_signal(image, stored)
    other = cv2.GaussianBlur(RNG.random((32, 40, 3), np.float32), (0, 0), 2)
    composite(planes, stored, (0, 0), np.concatenate([other * alpha, alpha], -1))
    flat = from_signal(np.full((32, 40, 3), 0.5, np.float32), stored)
    assert [plane.shape for plane in planes] == [plane.shape for plane in flat]
    expected = image * (1 - alpha) + other * alpha
    assert np.abs(signal(planes, stored) - expected)[4:-4, 4:-4].mean() < 0.015
    opaque = from_signal(image, stored)
    composite(opaque, stored, (0, 0), np.concatenate([other, np.ones_like(alpha)], -1))
    for found, wanted in zip(opaque, from_signal(other, stored), strict=True):
        assert np.abs(found.astype(int) - wanted).max() <= 1
