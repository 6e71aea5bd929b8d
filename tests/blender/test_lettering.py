"""Sentences drawn into images: legible at any size, whatever the characters."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def lettering(import_part):
    return import_part("synctalk_blender.lettering")


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (96, 96), (48, 300), (3, 2), (1, 1)])
def test_a_card_fits_its_image(lettering, width, height):
    image = lettering.card("The camera “läns” is orthographic: set its type to Perspective. 漢字", width, height)
    assert image.shape == (height, width, 4)
    assert np.isfinite(image).all()
    assert 0 < image[..., 3].max() <= 1
    assert (image[..., :3] <= image[..., 3:] + 1e-6).all(), "premultiplied"


def test_a_letter_has_its_own_shape(lettering):
    """An L is a stem at the left and a foot at the bottom; the first row of the image is the lowest."""
    image = lettering.card("L", 120, 120)[..., 0]
    ink = image > image.max() / 2
    rows, columns = np.nonzero(ink)
    assert ink[rows.min() : rows.min() + 3].sum() > 2 * ink[rows.max() - 3 : rows.max()].sum()
    assert (columns < (columns.min() + columns.max()) / 2).mean() > 0.5
