"""Sheets show what they say in which row and column."""

from __future__ import annotations

import numpy as np
import pytest

from backend.evaluation.contact_sheet import APART, MAGNIFIED, MOUTHS, contact_sheet, mouth_strip, open_mouths
from backend.evaluation.head_sweep import Condition, over_grey, turned
from backend.workspace.images import read_image, write_image
from backend.workspace.landmarks import LIPS
from tests.backend.evaluation.striped_head import CAMERA, DISTANCE_M, StripedHead


@pytest.fixture
def landmarks() -> np.ndarray:
    """90 faces whose mouth opens more and more; nothing was found in the last."""
    points = np.random.default_rng(0).uniform(110, 146, (478, 2)).astype(np.float32)[None].repeat(90, 0)
    points[:, 33], points[:, 263] = (90, 80), (170, 80)
    points[:, 61], points[:, 291] = (108, 130), (148, 130)
    for upper, lower in ((13, 14), (82, 87), (312, 317)):
        points[:, upper] = (128, 130)
        points[:, lower] = np.stack([np.full(90, 128), 130 + 0.1 * np.arange(90)], 1)
    points[-1] = np.nan
    return points


def test_a_sheet_has_a_column_a_head_and_a_row_a_condition(tmp_path):
    pose = np.eye(4)
    pose[2, 3] = DISTANCE_M
    rows = turned(Condition("front", pose, np.zeros(52, np.float32)), (-12, 12), (0,))
    heads = {"field": StripedHead(), "Gaussians": StripedHead(specks=0.3)}
    sheet = contact_sheet(heads, CAMERA, rows)
    write_image(tmp_path / "sheet.png", sheet)
    np.testing.assert_array_equal(read_image(tmp_path / "sheet.png"), sheet)
    size = CAMERA.width
    tiles = sheet[-2 * size :, -2 * size :]
    for row, condition in enumerate(rows):
        for column, head in enumerate(heads.values()):
            image = head.render(CAMERA, condition.head_to_camera, condition.blendshapes)
            wanted = np.rint(255 * over_grey(image.rgba))
            np.testing.assert_array_equal(
                tiles[row * size : (row + 1) * size, column * size : (column + 1) * size], wanted
            )
    assert (sheet[:-size, :200] > 200).any(), "rows have labels"


def test_the_widest_mouths_are_taken_apart_from_each_other(landmarks):
    rows = open_mouths(landmarks)
    assert len(rows) == MOUTHS and (np.diff(rows) >= APART).all()
    assert rows.max() == 88 and rows.min() == 88 - APART * (MOUTHS - 1)
    assert not len(open_mouths(np.full_like(landmarks, np.nan)))


def test_mouths_are_cut_at_the_true_lips_and_magnified(landmarks):
    rows = open_mouths(landmarks)
    lips = landmarks[rows][:, list(LIPS)]
    truth = np.zeros((len(rows), 256, 256, 3), np.uint8)
    for image, centre in zip(truth, lips.mean(1).round().astype(int), strict=True):
        image[centre[1] - 2 : centre[1] + 2, centre[0] - 2 : centre[0] + 2] = (255, 0, 0)
    strip = mouth_strip({"truth": truth, "field": truth // 2}, landmarks[rows])
    side = strip.shape[0] // 4
    assert side % MAGNIFIED == 0 and strip.shape[1] == 110 + 10 * side
    for line, value in ((0, 255), (1, 127), (2, 255), (3, 127)):
        for column in range(10):
            cut = strip[line * side : (line + 1) * side, 110 + column * side : 110 + (column + 1) * side]
            assert cut[side // 2, side // 2, 0] == value and (cut[..., 0] > 0).sum() == (4 * MAGNIFIED) ** 2
