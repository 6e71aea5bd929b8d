"""The paper's generator: the rendered face in the original frame, whose hair and surroundings stay, with neck below a higher jaw."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.portrait_sync.frame import ClipModel
from backend.portrait_sync.head_region import FACE_OVAL, face_frame, fill_polygon
from backend.portrait_sync.paper_blend import neck_colour, paper_blend
from backend.portrait_sync.placed_head import PlacedHead
from backend.portrait_sync.portrait import PaperGenerator
from backend.workspace.camera import Camera
from backend.workspace.face_mesh import FaceMesh
from backend.workspace.head_track import HeadTrack
from tests.backend.portrait_sync.conftest import NECK, Scene

SIDE = 256
FACE = (60, 90, 220)
"""A colour that the scene has nowhere: what of the face is rendered shows."""


def rendered(landmarks: np.ndarray) -> np.ndarray:
    """A head of one colour, (S, S, 4), that ends a little below the jaw of these landmarks."""
    axes = face_frame(landmarks)
    oval = landmarks[list(FACE_OVAL)]
    away = oval - oval.mean(0)
    alpha = fill_polygon(oval + 0.04 * axes.height * away / np.linalg.norm(away, axis=1)[:, None], (SIDE, SIDE), 1.0)
    return np.concatenate([alpha[..., None] * np.float32(FACE) / 255, alpha[..., None]], 2).astype(np.float32)


@pytest.fixture(scope="module")
def open_and_shut(scene: Scene) -> tuple[int, np.ndarray, np.ndarray]:
    """The frame with the widest mouth, its landmarks, and the same with the jaw up."""
    chin = [points[152, 1] - points[168, 1] for points in scene.landmarks]
    index = int(np.argmax(chin))
    shut = scene.landmarks[index].astype(np.float64)
    centre, radius = shut[10, 0], shut[152, 1] - scene.landmarks[index, 168, 1]
    jaw = shut[:, 1] > shut[10, 1] + 0.5 * (shut[152, 1] - shut[10, 1])
    closed = shut.copy()
    closed[jaw, 1] -= 0.03 * SIDE * np.clip(1 - np.abs(shut[jaw, 0] - centre) / radius, 0, 1)
    return index, scene.landmarks[index].astype(np.float64), closed


def test_outside_of_the_feathered_mask_every_bit_is_the_frames(scene: Scene, open_and_shut):
    index, source, shut = open_and_shut
    frame = scene.frames[index]
    for rendered_px in (source, shut):
        found = paper_blend(rendered(rendered_px), frame, rendered_px, source, np.float32(NECK))
        np.testing.assert_array_equal(found.image[~found.mask], frame[~found.mask])
        assert 0.1 < found.mask.mean() < 0.4
        hair = (np.arange(SIDE)[:, None] < source[10, 1] - 0.1 * face_frame(source).height) & (scene.head[index] > 0.5)
        assert hair.sum() > 80 and not found.mask[hair].any(), "hair above the face is the frame's own"


def test_inside_the_face_is_the_rendered_one_and_its_border_is_a_ramp(scene: Scene, open_and_shut):
    index, source, _ = open_and_shut
    found = paper_blend(rendered(source), scene.frames[index], source, source, np.float32(NECK))
    inside = cv2.erode(fill_polygon(source[list(FACE_OVAL)], (SIDE, SIDE), 1.0), np.ones((25, 25))) > 0.99
    assert np.abs(found.image[inside].astype(int) - FACE).max() <= 1
    row = int(source[168, 1])
    blue = found.image[row, : int(source[168, 0]), 2].astype(float)
    assert np.abs(np.diff(cv2.GaussianBlur(blue[None], (0, 0), 1.0)[0])).max() < 40, "no step from cheek to ear"


def test_below_a_shut_mouth_over_an_open_one_is_neck_and_no_chin(scene: Scene, open_and_shut):
    index, source, shut = open_and_shut
    frame = scene.frames[index]
    image, bare = (
        paper_blend(rendered(shut), frame, shut, given, np.float32(NECK)).image.astype(int) for given in (source, None)
    )
    column, height = round(source[152, 0]), face_frame(source).height
    gap = slice(round(shut[152, 1] + 0.05 * height), round(source[152, 1] + 0.02 * height))
    assert gap.stop - gap.start >= 3, "the jaw hangs visibly lower"
    assert np.abs(image[gap, column] - NECK).max() <= 6
    assert np.abs(bare[gap, column] - NECK).mean() > 20, "without it the frame's chin shows"
    red = image[round(shut[152, 1]) - 8 : gap.stop, column - 6 : column + 7, 0]
    lighter_than_both = red > max(NECK[0], FACE[0]) + 8
    assert not lighter_than_both.any(), "nowhere between face and neck is there skin of the frame's chin"


def test_a_head_that_does_what_the_frame_does_has_no_gap(scene: Scene, open_and_shut):
    index, source, _ = open_and_shut
    frame = scene.frames[index]
    green, none = (
        paper_blend(rendered(source), frame, source, given, np.float32((0, 255, 0))) for given in (source, None)
    )
    np.testing.assert_array_equal(green.image, none.image)


def test_the_necks_colour_is_what_is_visible_of_it_or_the_clips(scene: Scene, model: ClipModel):
    points = scene.landmarks[0].astype(np.float64)
    assert np.abs(neck_colour(scene.frames[0], points, model.neck) - NECK).max() < 8
    collar = scene.frames[0].copy()
    collar[int(points[152, 1]) :] = (240, 240, 240)
    np.testing.assert_array_equal(neck_colour(collar, points, model.neck), model.neck.colour)


def test_a_face_beyond_the_image_changes_nothing(scene: Scene):
    points = scene.landmarks[0].astype(np.float64) + 3 * SIDE
    found = paper_blend(rendered(scene.landmarks[0]), scene.frames[0], points, None, np.float32(NECK))
    assert not found.mask.any()
    np.testing.assert_array_equal(found.image, scene.frames[0])


def test_the_rendered_landmarks_are_the_frames_moved_as_the_mesh_moves(scene: Scene, model: ClipModel):
    """With the frame's own pose and expression they are its own, whatever the mesh's errors are."""
    count = len(scene.frames)
    camera, pose = Camera(SIDE, SIDE, 500.0, (128.0, 128.0)), np.eye(4)
    pose[2, 3] = 0.8
    keys = np.zeros((52, 478, 3))
    keys[0, 152, 1] = 0.02
    vertices = np.random.default_rng(0).normal(0, 0.05, (478, 3))
    mesh = FaceMesh(vertices, np.array([[0, 1, 2]]), keys)
    blendshapes = np.zeros((count, 52), np.float32)
    blendshapes[:, 0] = 1
    track = HeadTrack(camera, np.tile(pose, (count, 1, 1)), np.ones(count, bool), scene.landmarks, blendshapes)

    class Clip:
        def frame(self, index: int) -> np.ndarray:
            return scene.frames[index]

        def plate(self, index: int) -> np.ndarray:
            raise AssertionError("the paper's uses none")

        background = plate

        def cover(self, index: int) -> np.ndarray | None:
            return None

        def to_image(self, points_px: np.ndarray) -> np.ndarray:
            return points_px

    paper = PaperGenerator(Clip(), track, mesh, model.neck)

    def placed(value: float) -> PlacedHead:
        shapes = np.zeros(52, np.float32)
        shapes[0] = value
        return PlacedHead(rendered(scene.landmarks[3]), 3, camera, pose, shapes)

    same, source = paper.landmarks_px(placed(1.0))
    np.testing.assert_allclose(same, source, atol=1e-9)
    np.testing.assert_allclose(source, scene.landmarks[3], atol=3.0)  # steadied over time
    shut, _ = paper.landmarks_px(placed(0.0))
    assert shut[152, 1] - source[152, 1] == pytest.approx(-500 * 0.02 / (0.8 + vertices[152, 2]), rel=1e-6)
    image = paper.compose(placed(1.0))
    assert image.shape == (SIDE, SIDE, 3) and image.dtype == np.uint8
