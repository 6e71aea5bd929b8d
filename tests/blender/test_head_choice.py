"""“Head” in the Composite panel: what the head is drawn with, everywhere, and in the poses that it was fitted with."""

from __future__ import annotations

import json
import struct

import bpy
import numpy as np
import pytest

from . import head_backend
from . import synthetic_workspace as synthetic
from .scene_kit import as_png, premultiplied

SHIFT_M = 0.1
"""How much further away the twin's poses are than the tracked ones."""


@pytest.fixture
def root(kit, root):
    """A tracked workspace whose head has a twin."""
    poses = np.stack([synthetic.pose(frame) for frame in range(kit.opened(root).subject.frames)])
    poses[:, 2, 3] += SHIFT_M
    key = kit.opened(root).head_track().head_sync
    state = json.dumps({"step": 400, "focal_px": kit.opened(root).head_track().focal_px, "head_sync": key})
    entry = {"dtype": "F64", "shape": poses.shape, "data_offsets": [0, poses.nbytes]}
    header = json.dumps({"__metadata__": {"state": state}, "poses": entry}).encode()
    (root / "checkpoints").mkdir(exist_ok=True)
    content = struct.pack("<Q", len(header)) + header + poses.tobytes()
    (root / "checkpoints" / "gaussians_0000400.safetensors").write_bytes(content)
    kit.scene.synctalk.workspace = str(root)
    return root


@pytest.fixture
def rig(kit, client, root):
    found = kit.part("work.track").import_tracking(kit.scene)[0]
    kit.scene.render.engine = "SYNCTALK"
    kit.scene.render.dither_intensity = 0.0
    return found


def depth_m(kit, rig, frame=5):
    return kit.read(rig, frame).head_to_camera[2, 3]


def test_a_scene_draws_what_fits_best_until_the_artist_chooses(kit, root):
    settings = kit.scene.synctalk
    assert settings.head == "auto"
    items = settings.bl_rna.properties["head"].enum_items
    assert [(item.identifier, item.name) for item in items] == [
        ("auto", "Automatic"),
        ("gaussians", "Gaussians"),
        ("field", "Field"),
    ]
    assert all(item.description for item in items)


def test_the_choice_is_saved_with_the_file_and_a_file_without_one_opens_with_the_best(kit, root, tmp_path):
    for chosen in ("auto", "field"):
        kit.scene.synctalk.head = chosen
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / f"{chosen}.blend"), check_existing=False)
    for chosen in ("auto", "field"):
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / f"{chosen}.blend"))
        assert kit.scene.synctalk.head == chosen


def test_renders_draw_the_chosen_head(kit, rig):
    def head(kind):
        kit.scene.synctalk.head = kind
        return premultiplied(kit.render(5))

    assert np.abs(head("auto") - head("gaussians")).max() == 0
    camera = {"width": 96, "height": 96, "focal_px": 192.0, "principal_px": (96 * 0.52, 96 * 0.49)}
    found = head("field")
    posed = kit.read(rig, 5)
    params = camera | {
        "head_to_camera": posed.head_to_camera.ravel(),
        "blendshapes": posed.blendshapes,
        "head": "field",
    }
    assert (np.abs(found - as_png(head_backend.draw(params))).max(-1) > 2 / 255).sum() == 0


def test_another_head_moves_in_its_own_poses(kit, rig, root):
    tracked = synthetic.pose(4)[2, 3]
    assert depth_m(kit, rig) == pytest.approx(tracked + SHIFT_M, abs=1e-4)
    kit.scene.synctalk.head = "field"
    assert depth_m(kit, rig) == pytest.approx(tracked, abs=1e-4)
    kit.scene.synctalk.head = "gaussians"
    assert depth_m(kit, rig) == pytest.approx(tracked + SHIFT_M, abs=1e-4)


def test_a_head_that_the_artist_moves_keeps_the_edit_when_another_is_chosen(kit, rig, root):
    rig.control.location.x = 0.25
    before = kit.read(rig, 5).head_to_camera[:3, 3]
    kit.scene.synctalk.head = "field"
    moved = kit.read(rig, 5).head_to_camera[:3, 3] - before
    assert np.abs(moved - [0, 0, -SHIFT_M]).max() < 1e-3


def test_the_head_that_was_chosen_is_measured_and_baked(kit, rig, root, tmp_path):
    jobs = kit.part("jobs")
    kit.scene.synctalk.head = "field"
    jobs.run(kit.part("work.train").measure_job(kit.scene), lambda job: None)
    assert json.loads((root / "measure.json").read_text()) == {"workspace": str(root), "head": "field"}
    with pytest.raises(kit.part("client.errors").BackendError, match="baked"):  # this backend writes no frames
        jobs.run(kit.part("work.composite").bake_job(kit.scene, tmp_path / "baked"), lambda job: None)
    assert json.loads((root / "render.json").read_text())["head"] == "field"
