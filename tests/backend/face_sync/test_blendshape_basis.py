import numpy as np
import pytest

from backend.face_sync import blendshape_basis, sculptor
from backend.face_sync.face_mesh import tessellation_edges
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.landmarks import HALVES, LEFT, RIGHT
from tests.backend.face_sync.mirror import mirror_indices

from .conftest import index

MOUTH = [i for half in HALVES for arc in (*half.upper_lip, *half.lower_lip) for i in arc]
EYES = [i for half in HALVES for i in (*half.upper_lid, *half.lower_lid, *half.iris)]


def test_every_shape_moves_something_and_only_a_human_distance(shapes):
    greatest = np.linalg.norm(shapes, axis=2).max(1)
    assert (greatest > 0.0009).all()
    assert (greatest < 0.04).all()
    assert np.isfinite(shapes).all()


def test_jaw_opens_the_mouth_downwards_and_leaves_nose_and_eyes(shapes):
    jaw = shapes[index("jawOpen")]
    assert jaw[14, 1] - jaw[13, 1] > 0.015
    assert jaw[152, 1] > 0.012
    assert np.abs(jaw[[4, 6, *EYES]]).max() < 0.002


def test_mouth_close_shuts_the_lips_of_an_open_jaw(face, shapes):
    moved = face + shapes[index("jawOpen")] + shapes[index("mouthClose")]
    for half in HALVES:
        for upper, lower in zip(half.upper_lip[-1], half.lower_lip[-1], strict=True):
            assert abs(moved[lower, 1] - moved[upper, 1]) < 0.001
    assert moved[152, 1] - face[152, 1] > 0.01, "the chin stays down"


@pytest.mark.parametrize(("name", "half"), [("eyeBlinkLeft", LEFT), ("eyeBlinkRight", RIGHT)])
def test_blink_meets_the_lids_over_the_eyeball(face, shapes, name, half):
    moved = face + shapes[index(name)]
    gap = moved[list(half.lower_lid)] - moved[list(half.upper_lid)]
    assert np.abs(gap[:, 1]).max() < 0.0005
    centre = face[half.iris[0]] + [0, 0, sculptor.EYEBALL_RADIUS_M]
    middle = moved[list(half.upper_lid[2:5])]
    assert (np.linalg.norm(middle - centre, axis=1) > 0.95 * sculptor.EYEBALL_RADIUS_M).all()
    other = RIGHT if half is LEFT else LEFT
    assert np.abs(shapes[index(name)][list(other.upper_lid)]).max() < 1e-6


def test_mouth_shapes_leave_the_eyes_and_eye_shapes_leave_the_mouth(shapes):
    for name in BLENDSHAPE_NAMES:
        if name.startswith(("mouth", "jaw")):
            assert np.abs(shapes[index(name)][EYES]).max() < 0.001, name
        if name.startswith(("eye", "brow")):
            assert np.abs(shapes[index(name)][MOUTH]).max() < 0.001, name


@pytest.mark.parametrize(
    ("name", "landmark", "axis", "sign"),
    [
        ("mouthSmileLeft", 291, 1, -1),
        ("mouthSmileLeft", 291, 0, +1),
        ("mouthFrownRight", 61, 1, +1),
        ("mouthStretchRight", 61, 0, -1),
        ("mouthPucker", 291, 0, -1),
        ("mouthPucker", 13, 2, -1),
        ("mouthFunnel", 14, 1, +1),
        ("mouthLeft", 13, 0, +1),
        ("mouthRight", 13, 0, -1),
        ("jawForward", 152, 2, -1),
        ("jawLeft", 152, 0, +1),
        ("mouthUpperUpLeft", 270, 1, -1),
        ("mouthLowerDownRight", 181, 1, +1),
        ("mouthRollUpper", 13, 2, +1),
        ("mouthShrugLower", 14, 1, -1),
        ("cheekPuff", 425, 2, -1),
        ("noseSneerLeft", 278, 1, -1),
        ("browInnerUp", 336, 1, -1),
        ("browDownRight", 107, 1, +1),
        ("browOuterUpLeft", 293, 1, -1),
        ("eyeWideLeft", 386, 1, -1),
        ("eyeSquintRight", 145, 1, -1),
        ("eyeLookUpLeft", 473, 1, -1),
        ("eyeLookDownRight", 468, 1, +1),
        ("eyeLookOutLeft", 473, 0, +1),
        ("eyeLookInLeft", 473, 0, -1),
        ("eyeLookOutRight", 468, 0, -1),
        ("eyeLookInRight", 468, 0, +1),
    ],
)
def test_shape_moves_the_way_its_name_states(shapes, name, landmark, axis, sign):
    assert sign * shapes[index(name)][landmark, axis] > 0.001


def test_left_and_right_mirror_each_other(shapes):
    mirror = mirror_indices()
    named = np.flatnonzero(mirror >= 0)
    for name in BLENDSHAPE_NAMES:
        if name.endswith("Left") and name not in ("jawLeft", "mouthLeft"):
            left, right = shapes[index(name)], shapes[index(name.replace("Left", "Right"))]
            difference = np.linalg.norm(left[named] * [-1, 1, 1] - right[mirror[named]], axis=1)
            assert difference.max() < 0.25 * np.linalg.norm(left, axis=1).max() + 0.0005, name


def test_shapes_are_smooth_outside_the_lips_and_lids(face, shapes):
    sharp = {*MOUTH, *EYES}
    edges = np.array([edge for edge in tessellation_edges() if not sharp & set(edge)])
    length = np.linalg.norm(face[edges[:, 0]] - face[edges[:, 1]], axis=1)
    for name in BLENDSHAPE_NAMES:
        step = np.linalg.norm(shapes[index(name)][edges[:, 0]] - shapes[index(name)][edges[:, 1]], axis=1)
        assert (step < 0.9 * length + 0.001).all(), name


def test_a_wider_mouth_moves_further(face):
    wide = face.copy()
    lips = list(set(MOUTH))
    wide[lips, 0] *= 1.3
    name = index("mouthSmileLeft")
    assert blendshape_basis.displacements(wide)[name][291, 0] > 1.2 * blendshape_basis.displacements(face)[name][291, 0]


def test_wrong_face_is_refused():
    with pytest.raises(ValueError, match="478"):
        blendshape_basis.displacements(np.zeros((468, 3)))
