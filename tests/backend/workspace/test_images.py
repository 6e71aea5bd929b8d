"""Images of a workspace are what was written, in other readers too."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from backend.workspace.images import read_image, write_image


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("shape", [(37, 53), (1, 1), (1, 64), (64, 1)])
def test_a_png_is_read_as_it_was_written(tmp_path, channels, shape):
    image = np.random.default_rng(channels).integers(0, 256, (*shape, channels), np.uint8)
    write_image(tmp_path / "a.png", image)
    assert np.array_equal(read_image(tmp_path / "a.png", channels), image)


def test_a_png_is_the_same_to_another_reader(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 4), np.uint8)
    write_image(tmp_path / "a.png", image)
    with av.open(str(tmp_path / "a.png")) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "rgba"
    assert np.array_equal(frame.to_ndarray(), image)


def test_a_png_of_a_view_has_the_view(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 4), np.uint8)
    write_image(tmp_path / "a.png", image[5:20, ::2, 3:])
    assert np.array_equal(read_image(tmp_path / "a.png", 1), image[5:20, ::2, 3:])


def test_a_soft_matte_is_no_larger_than_by_opencv(tmp_path):
    rows, columns = np.mgrid[0:256, 0:256].astype(np.float32)
    soft = np.clip((80 - np.hypot(rows - 128, columns - 128)) / 6 + 0.5, 0, 1)
    matte = np.dstack([soft, soft * (rows < 100), 1 - soft, np.ones_like(soft)])
    image = np.rint(255 * matte).astype(np.uint8)
    write_image(tmp_path / "a.png", image)
    reference = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
    assert (tmp_path / "a.png").stat().st_size < 1.1 * len(reference)
