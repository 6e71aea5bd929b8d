"""Neck, collar and hair follow the head: what the add-on asks for, so that they follow the footage that lies beneath."""

from __future__ import annotations

import json

import bpy
import numpy as np
import pytest

from . import synthetic_workspace as synthetic


@pytest.fixture
def speaking(kit, root):
    """The head in the scene, its footage there and back again."""
    found = kit.import_tracking(root)
    kit.import_speech(root)
    kit.scene.render.engine = "SYNCTALK"
    return found


def beneath(kit, frame):
    kit.scene.frame_set(frame)
    return kit.part("engine").wanted_frame(bpy.context.evaluated_depsgraph_get()).beneath


def test_the_neck_is_that_of_the_footages_frame_beneath(kit, speaking):
    for frame in (1, 5, 12, 13, 17, 20):
        assert beneath(kit, frame).frame == synthetic.there_and_back(frame - 1, 12)


def test_it_follows_the_footage_where_the_artist_has_moved_that(kit, rig):
    kit.scene.render.engine = "SYNCTALK"
    user = next(item.image_user for item in rig.camera.data.background_images if item.image["synctalk_role"] == "plate")
    user.frame_start += 2
    assert [beneath(kit, frame).frame for frame in (1, 3, 8)] == [0, 0, 5]


def test_its_place_is_that_of_the_footage_in_the_composite(kit, speaking):
    scene = kit.scene
    width, height = kit.opened(kit.part("scene.rig").require_rig(scene).workspace).subject.frame_size
    whole = beneath(kit, 3)
    assert (whole.x, whole.y, whole.scale) == pytest.approx((0, 0, 1))
    scene.render.resolution_percentage = 50
    assert beneath(kit, 3).scale == pytest.approx(0.5)
    scene.render.resolution_percentage = 100
    scene.render.resolution_y = height + 40
    assert (beneath(kit, 3).y, beneath(kit, 3).scale) == pytest.approx((20, 1)), "the middles meet"
    scene.render.resolution_y = height
    scene.render.use_border = scene.render.use_crop_to_border = True
    scene.render.border_min_x, scene.render.border_max_x = 0.25, 0.75
    scene.render.border_min_y, scene.render.border_max_y = 0.25, 0.75
    assert (beneath(kit, 3).x, beneath(kit, 3).y) == pytest.approx((-width / 4, -height / 4))


def test_a_smaller_preview_has_the_footage_smaller(kit, speaking):
    kit.scene.frame_set(3)
    full = kit.part("engine").wanted_frame(bpy.context.evaluated_depsgraph_get())
    half = full.resized(0.5)
    assert half.beneath.scale == pytest.approx(full.beneath.scale / 2)
    assert half.pinhole.focal_px == pytest.approx(full.pinhole.focal_px / 2)
    assert not half.is_same_as(full)


def test_the_head_is_alone_where_the_artist_wants_it_or_the_footage_is_not_what_is_seen(kit, speaking):
    assert beneath(kit, 3) is not None
    kit.scene.synctalk.neck_follows = False
    assert (beneath(kit, 3).neck, beneath(kit, 3).hair) == (False, True)
    kit.scene.synctalk.footage_hair = False
    assert beneath(kit, 3) is None
    kit.scene.synctalk.neck_follows = True
    assert (beneath(kit, 3).neck, beneath(kit, 3).hair) == (True, False)
    lens = bpy.data.objects.new("lens", bpy.data.cameras.new("lens"))
    lens.matrix_world = speaking.camera.matrix_world
    kit.scene.collection.objects.link(lens)
    kit.scene.camera = lens
    assert beneath(kit, 3) is None, "through another camera the head has no place in the footage"
    kit.scene.camera = speaking.camera
    speaking.camera.data.background_images.clear()
    assert beneath(kit, 3) is None


def test_a_request_names_the_footage_and_one_without_it_is_as_before(kit, speaking, monkeypatch):
    live_frame = kit.part("live_frame")
    kit.scene.frame_set(15)
    frame = kit.part("engine").wanted_frame(bpy.context.evaluated_depsgraph_get())
    asked = []

    class Backend:
        def submit(self, method, params):
            asked.append(params)

    live_frame.FrameRequest(Backend(), frame)
    kit.scene.synctalk.neck_follows = kit.scene.synctalk.footage_hair = False
    live_frame.FrameRequest(Backend(), kit.part("engine").wanted_frame(bpy.context.evaluated_depsgraph_get()))
    assert asked[0]["footage_frame"] == synthetic.there_and_back(14, 12)
    np.testing.assert_allclose(asked[0]["footage_px"], [0, 0, 1])
    assert (asked[0]["fixed_neck"], asked[0]["rendered_hair"]) == (False, False)
    assert not [name for name in asked[1] if name.startswith(("footage", "fixed", "rendered"))]


@pytest.mark.parametrize("follows", [True, False])
def test_baked_frames_have_the_neck_and_the_hair_that_were_chosen(kit, client, speaking, root, tmp_path, follows):
    kit.scene.synctalk.workspace = str(root)
    kit.scene.synctalk.neck_follows, kit.scene.synctalk.footage_hair = follows, not follows
    jobs = kit.part("jobs")
    with pytest.raises(kit.part("client.errors").BackendError, match="baked"):  # this backend writes no frames
        jobs.run(kit.part("work.composite").bake_job(kit.scene, tmp_path / "baked"), lambda job: None)
    asked = json.loads((root / "render.json").read_text())
    assert (asked["fixed_neck"], asked["rendered_hair"]) == (not follows, follows)
