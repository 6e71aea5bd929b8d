"""The visible label can be read on any background and stays within the safe area."""

from __future__ import annotations

import numpy as np
import pytest

from backend.delivery.canvas import Canvas
from backend.delivery.marking import Marking
from backend.media.samples import RGB8, StoredFormat
from backend.workspace.label import SAFE, Label

SIZES = [(1920, 1080), (1080, 1920), (512, 512), (256, 144), (64, 48)]


def labelled_frame(width, height, level):
    """(H, W, 3) uint8, RGB: a grey frame with the label."""
    planes = tuple(np.full((height, width), level, np.uint8) for _ in range(3))
    canvas = Canvas(StoredFormat(RGB8, width, height), (width, height))
    Marking(label=True).of_frames((width, height)).on_canvas(planes, canvas)
    return np.dstack(planes)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_the_label_is_readable_and_within_the_safe_area(width, height, level):
    labelled = labelled_frame(width, height, level)
    rows, columns = np.nonzero((labelled != level).any(2))
    assert rows.min() >= round(SAFE * height) and columns.max() < width - round(SAFE * width)
    part = labelled[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].astype(float) / 255
    light = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)  # sRGB, IEC 61966-2-1
    bright, dark = np.percentile(light, 95), np.percentile(light, 25)
    assert (bright + 0.05) / (dark + 0.05) > 7, "contrast, level AAA of WCAG 2.2, 1.4.6"


def test_the_label_is_opaque_where_a_frame_is_transparent():
    labelled = Label(192, 108).draw_premultiplied(np.zeros((108, 192, 4), np.float32))
    changed = labelled[..., 3] > 0
    assert labelled[..., 3].max() == 1 and 100 < changed.sum() < 0.02 * changed.size
    over_white = labelled[..., :3] + 1 - labelled[..., 3:]
    expected = labelled_frame(192, 108, 255)
    np.testing.assert_allclose(255 * over_white, expected, atol=0.51)
