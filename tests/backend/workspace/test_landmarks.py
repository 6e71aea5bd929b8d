import numpy as np
import pytest

from backend.workspace.landmarks import eye_opening, lip_opening


def test_lip_opening_does_not_depend_on_the_image_size():
    landmarks = np.zeros((2, 478, 2))
    landmarks[:, 33], landmarks[:, 263] = (0, 0), (100, 0)
    for upper, lower in ((82, 87), (13, 14), (312, 317)):
        landmarks[:, upper] = (50, 60)
        landmarks[1, lower], landmarks[0, lower] = (50, 80), (50, 60)
    assert lip_opening(landmarks) == pytest.approx([0.0, 0.2])
    assert lip_opening(landmarks * 3) == pytest.approx([0.0, 0.2])


def test_lids_are_read_against_the_width_of_their_eye():
    points = np.zeros((2, 478, 2))
    for corners, lids in (
        ((33, 133), ((160, 144), (159, 145), (158, 153))),
        ((362, 263), ((385, 380), (386, 374), (387, 373))),
    ):
        points[:, corners[1], 0] = 40.0
        for upper, lower in lids:
            points[:, [upper, lower], 0] = 20.0
            points[0, upper, 1], points[1, upper, 1] = -12.0, -4.0
    assert eye_opening(points).tolist() == pytest.approx([0.3, 0.1])
    assert eye_opening(3 * points).tolist() == pytest.approx([0.3, 0.1])
