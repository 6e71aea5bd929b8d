"""The surface that hair turns on: it meets the face, falls back to what hangs beside the neck, and never folds."""

from __future__ import annotations

import numpy as np
import pytest

from backend.delivery.neck_motion import Edges, JawMotion
from backend.portrait_sync.body_layer import BodyLayer
from backend.portrait_sync.hair_surface import FALLS_M, HairSurface, hanging_beside
from backend.portrait_sync.head_region import FACE_OVAL, JAW, NOSE_BRIDGE
from backend.workspace.camera import Camera
from backend.workspace.face_mesh import FaceMesh
from tests.backend.delivery.made_up_person import turned

CAMERA = Camera(256, 256, 570.0, (128.0, 128.0))
POSE = np.eye(4)
POSE[:3, 3] = [0.0, 0.02, 0.75]
FRONT_M, TOP_M, CHIN_M, SIDE_M = -0.11, -0.098, 0.076, 0.08
CORNERS_M = -0.03
FACE_PX = (CHIN_M - TOP_M) * CAMERA.focal_px / POSE[2, 3]


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    """A face as wide, high and deep as a person's: its sides lie 8 cm behind its middle, its chin and forehead 1 cm."""
    vertices = np.tile([0.0, 0.0, FRONT_M], (478, 1))
    chin = FACE_OVAL.index(152)
    for position, index in enumerate(FACE_OVAL):
        angle = (chin - position) * 2 * np.pi / len(FACE_OVAL)
        x, y = SIDE_M * np.sin(angle), np.cos(angle)
        deep = (FRONT_M + 0.08 * (x / SIDE_M) ** 2, FRONT_M + 0.01)
        vertices[index] = x, y * (CHIN_M if y > 0 else -TOP_M), max(deep)
    vertices[[JAW[0], JAW[-1]], 2] = CORNERS_M
    vertices[NOSE_BRIDGE] = 0.0, -0.045, FRONT_M
    return FaceMesh(vertices, np.array([[0, 1, 2]]), np.zeros((52, 478, 3)))


@pytest.fixture(scope="module")
def surface(mesh) -> HairSurface:
    return HairSurface.of(mesh)


def seen_at(surface: HairSurface, points_px: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """(n, 2) where the footage, in `POSE`, has what is seen at places of the head in another pose."""
    return np.stack([surface.places(*point[:, None], (CAMERA, pose), (CAMERA, POSE))[0, 0] for point in points_px])


TURNS = [(0, 10, 0), (0, -10, 0), (10, 0, 0), (-10, 0, 0), (0, 0, 10), (7, 7, 0)]


def test_a_head_that_is_not_moved_is_the_image(surface):
    x, y = np.linspace(0.5, 255.5, 9), np.linspace(0.5, 255.5, 7)
    places = surface.places(x, y, (CAMERA, POSE), (CAMERA, POSE))
    np.testing.assert_allclose(places[..., 0], np.broadcast_to(x, (7, 9)), atol=1e-6)
    np.testing.assert_allclose(places[..., 1], np.broadcast_to(y[:, None], (7, 9)), atol=1e-6)


@pytest.mark.parametrize("degrees", TURNS)
def test_hair_stays_at_the_rim_of_the_face(surface, mesh, degrees):
    rim = mesh.vertices_m[[10, 109, 338, 67, 297, 103, 332]]
    pose = turned(POSE, degrees)
    there = seen_at(surface, CAMERA.project(pose, rim)[0], pose)
    assert np.abs(there - CAMERA.project(POSE, rim)[0]).max() < 1.0


@pytest.mark.parametrize("degrees", TURNS)
@pytest.mark.parametrize("cm", [(0, 0, 0), (3, 0, 0), (0, 3, 0)])
def test_hair_of_the_head_meets_the_hair_that_hangs_below_the_jaw(surface, mesh, degrees, cm):
    """Both are moved by themselves: at the height of the jaw's corners they must be moved alike, or the strands break there."""
    hanging = hanging_beside(mesh)
    pose = turned(POSE, degrees, cm)
    jaw = np.concatenate([mesh.vertices_m[list(JAW)], hanging])
    motion = JawMotion.between((CAMERA, POSE, jaw), (CAMERA, pose, jaw))
    assert motion is not None
    nothing = np.zeros((256, 256, 4), np.uint8)
    layer = BodyLayer(0, 0, nothing, nothing, np.zeros((64, 64), np.float32), FACE_PX)
    for x, y in motion.jaw_px[len(JAW) :][np.abs(hanging[:, 0]) > SIDE_M + 0.025]:
        body = [x, y] + motion.displacement(np.array([x]), np.array([y]), layer, Edges(256, False, False, False))[0, 0]
        hair = surface.places(np.array([x]), np.array([y]), (CAMERA, pose), (CAMERA, POSE))[0, 0]
        assert np.hypot(*(hair - body)) < 0.7


@pytest.mark.parametrize("degrees", [(0, 14, 0), (0, -14, 0), (14, 0, 0), (-14, 0, 0), (10, 10, 0)])
def test_it_never_folds(surface, degrees):
    """Each strand is seen once: places follow each other as in the footage."""
    at = np.arange(0.5, 256, 2)
    places = surface.places(at, at, (CAMERA, turned(POSE, degrees)), (CAMERA, POSE))
    down, across = np.gradient(places, axis=(0, 1))
    area = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    assert area.min() > 0


def test_it_falls_back_above_the_face_and_not_beyond_the_jaws_corners(surface, mesh):
    above = surface._at(np.zeros(3, np.float32), np.float32(TOP_M - np.array([0.01, 0.04, FALLS_M[1] + 0.02])))
    assert (np.diff(above) > 0.002).all()
    assert abs(above[-1] - surface.rim_m) < 0.002
    assert surface.rim_m == pytest.approx(CORNERS_M)
    assert surface.depth_m.max() < surface.rim_m + 0.01
