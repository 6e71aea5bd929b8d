"""The actor's studio in Blender: shape keys by ARKit's names, and a image that agrees with the pose it was given."""

from __future__ import annotations

import bpy
import numpy as np
import pytest

from backend.actor.studio.figure import CAMERA_TO_WORLD, Actor
from backend.actor.studio.stage import set_up
from backend.protocol import BLENDSHAPE_NAMES as NAMES

SIZE, FOCAL = 256, 256 * 80 / 36


@pytest.fixture
def staged():
    """A stand-in character: each part a small triangle, the head with all shapes moving its first vertex."""
    triangle = np.array([[0, -0.05, -0.1], [0.02, 0, -0.1], [-0.02, 0, -0.1]], np.float32)
    data = {}
    for part in ("head", "ears", "teeth", "tongue", "corners", "brows", "lashes", "sweater", "eye", "cornea"):
        data[part + ".vertices"] = triangle
        data[part + ".faces"] = np.array([[0, 1, 2]], np.int32)
        data[part + ".colours"] = np.full((3, 3), 0.5, np.float32)
    for name in (*NAMES, "eyeBlinkLeftMid", "eyeBlinkRightMid"):
        data["head.shape." + name] = np.array([[0.01, 0, 0], [0, 0, 0], [0, 0, 0]], np.float32)
    data["head.weight"] = np.ones(3, np.float32)
    data["head.rest"] = triangle
    data["eye.centres"] = np.array([[0.0315, -0.045, -0.072], [-0.0315, -0.045, -0.072]], np.float32)
    data["hair.paths"] = np.random.default_rng(0).normal(0, 0.01, (4, 8, 3)).astype(np.float32)
    data["hair.radii"] = np.full((4, 8), 1e-4, np.float32)
    data["hair.colours"] = np.full((4, 3), 0.1, np.float32)
    scene = set_up({"size": SIZE, "samples": 1, "threads": 1, "focal_px": FOCAL})
    return scene, Actor(data), triangle


def pose(yaw_deg: float, position) -> np.ndarray:
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    out = np.eye(4)
    out[:3, :3] = [[c, 0, -s], [0, 1, 0], [s, 0, c]]
    out[:3, 3] = position
    return out


def test_the_head_carries_the_52_arkit_shape_keys(staged) -> None:
    _, actor, _ = staged
    keys = [block.name for block in actor.head.data.shape_keys.key_blocks]
    assert set(NAMES) <= set(keys)


def test_blender_sees_each_vertex_where_pose_and_focal_length_put_it(staged) -> None:
    from bpy_extras.object_utils import world_to_camera_view

    scene, actor, triangle = staged
    values = np.zeros(52)
    values[NAMES.index("jawOpen")] = 0.5
    head = pose(10, (0.02, -0.01, 1.1))
    actor.pose(list(NAMES), values, head, np.eye(4), 30.0)
    graph = bpy.context.evaluated_depsgraph_get()
    seen = actor.head.evaluated_get(graph)
    moved = triangle + np.array([[0.005, 0, 0], [0, 0, 0], [0, 0, 0]])
    in_camera = moved @ head[:3, :3].T + head[:3, 3]
    expected = FOCAL * in_camera[:, :2] / in_camera[:, 2:] + SIZE / 2
    for vertex, pixel in zip(seen.data.vertices, expected, strict=True):
        u, v, depth = world_to_camera_view(scene, scene.camera, seen.matrix_world @ vertex.co)
        assert (u * SIZE, (1 - v) * SIZE) == pytest.approx(pixel, abs=0.02)
        assert depth > 0


def test_both_eyes_look_to_the_subject_s_left_when_the_left_looks_out_and_the_right_in(staged) -> None:
    _, actor, _ = staged
    values = np.zeros(52)
    values[NAMES.index("eyeLookOutLeft")] = values[NAMES.index("eyeLookInRight")] = 0.5
    actor.pose(list(NAMES), values, pose(0, (0, 0, 1)), np.eye(4), 30.0)
    for _, ball, _ in actor.eyes:
        # The eye's axis is -z of its own frame; the subject's left is +x, image right.
        axis = (CAMERA_TO_WORLD.inverted() @ ball.matrix_world).to_3x3().col[2]
        assert -axis.x == pytest.approx(np.sin(np.radians(15)), abs=1e-4)
