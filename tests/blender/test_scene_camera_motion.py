"""A clip whose camera moves: the scene's camera moves with it, the room stays, and the head is rendered as before."""

from __future__ import annotations

import numpy as np
import pytest

from . import synthetic_workspace as synthetic

FRAMES, SIZE = 12, 96


def turned(frame: int) -> np.ndarray:
    """(3, 3) the camera at `frame` against that of frame 0: it turns right and up and rolls."""
    y, x, z = np.radians([1.5 * frame, 0.4 * frame, 0.3 * frame])
    cx, sx, cy, sy, cz, sz = np.cos(x), np.sin(x), np.cos(y), np.sin(y), np.cos(z), np.sin(z)
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    return about_y @ about_x @ np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])


def write_path(root, zoom=lambda frame: 1.0) -> None:
    """`camera_motion.npz` of that camera with the workspace's lens times `zoom`: K R K⁻¹ of places."""
    x, y = 0.52, 0.49
    lens = np.array([[2.0, 0, x], [0, 2.0, y], [0, 0, 1]])
    transforms = []
    for frame in range(FRAMES):
        zoomed = np.array([[2.0 * zoom(frame), 0, x], [0, 2.0 * zoom(frame), y], [0, 0, 1]])
        transform = lens @ turned(frame) @ np.linalg.inv(zoomed)
        transforms.append(transform / transform[2, 2])
    np.savez(
        root / "camera_motion.npz",
        to_reference=np.stack(transforms), residual_px=np.full(FRAMES, 0.1), mosaic_origin=np.zeros(2), mosaic_scale=float(SIZE),
    )  # fmt: skip


@pytest.fixture
def panned(kit):
    root = kit.workspace()
    write_path(root)
    return root


def camera_at(kit, rig, frame: int) -> np.ndarray:
    import bpy

    kit.scene.frame_set(frame)
    return np.array(rig.camera.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world, np.float64)


def seen_at(kit, rig, frame: int, place) -> np.ndarray:
    """Where the camera sees a place of the room, in [0, 1]."""
    import bpy
    from bpy_extras.object_utils import world_to_camera_view
    from mathutils import Vector

    kit.scene.frame_set(frame)
    bpy.context.view_layer.update()
    return np.array(world_to_camera_view(kit.scene, rig.camera, Vector(place)))[:2]


def test_the_head_is_seen_as_it_was_tracked(kit, panned):
    rig = kit.import_tracking(panned)
    for frame in range(FRAMES):
        read = kit.read(rig, frame + 1)
        np.testing.assert_allclose(read.head_to_camera, synthetic.pose(frame), atol=2e-6)


def test_what_is_in_the_room_moves_through_the_image_as_the_background_does(kit, panned):
    rig = kit.import_tracking(panned)
    for place in ((0.2, 3.0, 1.7), (-0.4, 40.0, 1.2)):
        first = seen_at(kit, rig, 1, place)
        for frame in (4, 11):
            ray = np.array([(first[0] - 0.52) / 2, (1 - first[1] - 0.49) / 2, 1.0])
            ray = turned(frame).T @ ray
            expected = 0.52 + 2 * ray[0] / ray[2], 1 - (0.49 + 2 * ray[1] / ray[2])
            np.testing.assert_allclose(seen_at(kit, rig, frame + 1, place), expected, atol=1e-3)


def test_a_render_is_the_same_with_a_moving_camera_and_a_still_one(kit, client, panned):
    rig = kit.import_tracking(panned)
    kit.scene.render.engine = "SYNCTALK"
    moving = [kit.render(frame) for frame in (6, 12)]
    rig.collection[kit.part("scene.rig").CAMERA_MOVES] = False
    kit.import_tracking(panned)
    for one, frame in zip(moving, (6, 12), strict=True):
        assert one[..., 3].max() > 0.5, "the head is in it"
        assert np.abs(one - kit.render(frame)).max() <= 1 / 255 + 1e-6


def test_the_choice_stills_the_camera_and_takes_its_keys_away(kit, panned):
    rig = kit.import_tracking(panned)
    assert not np.allclose(camera_at(kit, rig, 1), camera_at(kit, rig, 12), atol=1e-2)
    rig.collection[kit.part("scene.rig").CAMERA_MOVES] = False
    kit.import_tracking(panned)
    standing = kit.part("scene.coordinates").camera_to_world()
    for frame in (1, 12):
        np.testing.assert_allclose(camera_at(kit, rig, frame), standing, atol=1e-6)
        np.testing.assert_allclose(kit.read(rig, frame).head_to_camera, synthetic.pose(frame - 1), atol=2e-6)


def test_the_artists_place_of_the_camera_is_kept(kit, panned):
    rig = kit.import_tracking(panned)
    tracked = camera_at(kit, rig, 8)
    rig.camera.location.x += 0.5
    before = camera_at(kit, rig, 8)
    kit.import_tracking(panned)
    np.testing.assert_allclose(camera_at(kit, rig, 8), before, atol=1e-6)
    assert before[0, 3] - tracked[0, 3] == pytest.approx(0.5, abs=1e-5)


def test_the_camera_follows_footage_that_runs_back_under_longer_speech(kit, panned):
    rig = kit.import_tracking(panned)
    ahead = camera_at(kit, rig, 10)
    kit.import_speech(panned)
    np.testing.assert_allclose(camera_at(kit, rig, 15), ahead, atol=1e-6)  # frame 14 shows 9 again


def test_a_zoom_moves_the_camera_so_that_the_head_keeps_its_place(kit):
    root = kit.workspace()
    write_path(root, lambda frame: 1 + 0.2 * frame / (FRAMES - 1))
    with np.load(root / "tracking.npz") as data:
        arrays = dict(data)
    for frame in range(FRAMES):  # as the tracker sees a head that is zoomed in on
        arrays["head_to_camera"][frame, :3, 3] /= 1 + 0.2 * frame / (FRAMES - 1)
    np.savez(root / "tracking.npz", **arrays)
    rig = kit.import_tracking(root)
    camera = [camera_at(kit, rig, frame) for frame in (1, 12)]
    assert np.linalg.norm(camera[1][:3, 3] - camera[0][:3, 3]) == pytest.approx(1.0 - 1 / 1.2, abs=0.02)
    for frame in (1, 12):
        pose = kit.read(rig, frame).head_to_camera
        np.testing.assert_allclose(pose, arrays["head_to_camera"][frame - 1], atol=2e-6)


def test_a_still_camera_has_no_keys_and_no_choice(kit, rig):
    assert rig.camera.animation_data is None
    assert kit.part("scene.rig").CAMERA_MOVES not in rig.collection
