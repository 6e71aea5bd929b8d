"""Spellings of ARKit's names."""

from __future__ import annotations

import pytest

from backend.capture.names import shape_index
from backend.capture.parts import MIRRORED, OPPOSITES, PARTS
from backend.protocol import BLENDSHAPE_NAMES


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("jawOpen", "jawOpen"),
        ("JawOpen", "jawOpen"),
        ("jaw_open", "jawOpen"),
        ("JAW OPEN", "jawOpen"),
        ("mouthSmile_L", "mouthSmileLeft"),
        ("mouthSmile_r", "mouthSmileRight"),
        ("MouthSmileR", "mouthSmileRight"),
        ("browOuterUp.L", "browOuterUpLeft"),
        ("jaw_L", "jawLeft"),
        ("mouthRight", "mouthRight"),
        ("mouth_R", "mouthRight"),
        ("mouthRollUpper", "mouthRollUpper"),
        ("blendShape1.eyeBlinkLeft", "eyeBlinkLeft"),
        ("Face|eyeLookIn_L", "eyeLookInLeft"),
        ("ARKit_tongueOut", "tongueOut"),
        (" cheekPuff ", "cheekPuff"),
    ],
)
def test_a_spelling_is_of_its_shape(spelled, name):
    assert shape_index(spelled) == BLENDSHAPE_NAMES.index(name)


@pytest.mark.parametrize(
    "name", ["", "_neutral", "Timecode", "HeadYaw", "jaw", "Fcl_MTH_A", "eyesClosed", "L", "mouthOpen"]
)
def test_other_names_are_none_of_arkits(name):
    assert shape_index(name) is None


def test_each_shape_has_one_part_and_a_mirror_image():
    assert sorted(index for indices in PARTS.values() for index in indices) == list(range(52))
    for left, right in MIRRORED:
        assert BLENDSHAPE_NAMES[left].replace("Left", "Right") == BLENDSHAPE_NAMES[right]
    assert len({index for pair in OPPOSITES for index in pair}) == 16
