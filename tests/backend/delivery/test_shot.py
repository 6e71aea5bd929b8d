"""A shot of either head: frames with the neck in them composite to the video's own image; a switch leaves the neck alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.delivery.footage import resized
from backend.delivery.shot import Shot
from backend.evaluation.reenactment import self_reenactment
from backend.portrait_sync.blend import over
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.training.checkpoints import load_for_rendering
from backend.workspace.images import read_image
from backend.workspace.poses import turned
from backend.workspace.store import Workspace

SIZE, FRAMES = 96, 2


def shot_of(root, kind, yaw_deg=0.0, fixed_neck=False, rendered_hair=False):
    """The footage's first frames, the head turned in all of them."""
    workspace = Workspace.open(root)
    head = load_for_rendering(workspace, Reporter(), kind)
    footage = workspace.footage_animation(workspace.head_track(head=head.kind))
    poses = np.stack([turned(pose, yaw_deg, 0.0) for pose in footage.head_to_camera[:FRAMES]])
    animation = replace(
        footage,
        blendshapes=footage.blendshapes[:FRAMES],
        head_to_camera=poses,
        plate_frame=footage.plate_frame[:FRAMES],
    )
    return Shot.of(workspace, head, animation, SIZE, fixed_neck, rendered_hair)


def frames_of(shot, out):
    """The frames that were written, (N, H, W, 4) float32 in [0, 1], premultiplied."""
    shot.write_frames(out, Reporter())
    straight = np.stack([read_image(out / f"{index:06d}.png", channels=4) for index in range(FRAMES)]).astype(
        np.float32
    )
    straight[..., :3] *= straight[..., 3:] / 255
    return straight / 255


@pytest.mark.parametrize("kind", ["field", "gaussians"])
def test_frames_of_a_turned_head_have_its_neck_and_composite_to_the_videos_image(made_up_twin, tmp_path, kind):
    shot = shot_of(made_up_twin, kind, 10.0)
    frames = frames_of(shot, tmp_path / "frames")
    alone = frames_of(shot_of(made_up_twin, kind, 10.0, fixed_neck=True), tmp_path / "alone")
    for index, frame in enumerate(frames):
        rgba = (
            shot.head.renderer().render(shot.camera, shot.animation.head_to_camera[index], shot.conditions[index]).rgba
        )
        np.testing.assert_allclose(alone[index], rgba, atol=1.01 / 255)
        plate = resized(shot.workspace.read_plate(index), (SIZE, SIZE))
        with shot._with_footage(rgba, index) as shown:
            composite = over(shown, plate)
        assert (frame[..., 3] > alone[index][..., 3] + 0.5).any(), "there is a neck"
        assert np.abs(over(frame, plate).astype(int) - composite).max() <= 2


@pytest.mark.parametrize("kind", ["field", "gaussians"])
def test_frames_of_the_footages_own_motion_have_its_hair_and_are_else_those_of_the_head_alone(
    made_up_twin, tmp_path, kind
):
    rendered = frames_of(shot_of(made_up_twin, kind, rendered_hair=True), tmp_path / "rendered")
    fixed = frames_of(shot_of(made_up_twin, kind, fixed_neck=True, rendered_hair=True), tmp_path / "alone")
    np.testing.assert_array_equal(rendered, fixed)
    workspace = Workspace.open(made_up_twin)
    for index, frame in enumerate(frames_of(shot_of(made_up_twin, kind), tmp_path / "frames")):
        truth, plate = (resized(read(index), (SIZE, SIZE)) for read in (workspace.read_frame, workspace.read_plate))
        hair = resized(workspace.read_matte(index)[..., 1].copy(), (SIZE, SIZE)) > 250
        apart = [np.abs(over(rgba, plate).astype(int) - truth)[hair].mean() for rgba in (frame, rendered[index])]
        assert hair.any() and apart[0] < 0.25 * apart[1]


def test_frames_without_a_neck_are_no_part_of_a_shot_with_one(trained, tmp_path):
    out = tmp_path / "frames"
    alone = frames_of(shot_of(trained, "field", 10.0, fixed_neck=True), out)
    assert not np.array_equal(frames_of(shot_of(trained, "field", 10.0), out), alone)


def test_evaluated_frames_have_a_neck_where_the_jaw_is_not_the_footages(trained):
    workspace = Workspace.open(trained)
    blendshapes = workspace.head_track().blendshapes.copy()
    blendshapes[:, BLENDSHAPE_NAMES.index("jawOpen")] = 0.6
    given = workspace, SIZE, Reporter(), np.arange(1)
    still, follows = (
        next(self_reenactment(*given, blendshapes, "field", fixed_neck=fixed_neck)).predicted.astype(int)
        for fixed_neck in (True, False)
    )
    assert np.abs(still - follows).max() > 4
