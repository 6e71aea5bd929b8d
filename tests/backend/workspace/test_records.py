"""The records of a workspace: written and read back, newest track first, damage reported in a sentence."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from backend.errors import WorkspaceError
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.animation import Animation
from backend.workspace.camera import Camera
from backend.workspace.face_mesh import FaceMesh
from backend.workspace.files import read_arrays, write_arrays
from backend.workspace.head_track import HeadTrack
from backend.workspace.pose_track import PoseTrack
from backend.workspace.poses import rotation_exp
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop
from tests.backend.made_up_track import make_track, write_checkpoint

FRAMES = 5


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.create(tmp_path / "anna")
    subject = made.subject
    subject.frames, subject.size, subject.crop, subject.source_size = FRAMES, 100, Crop(10, 20, 50), (101, 90)
    subject.stages["head_sync"] = {"state": "done", "key": "tracked once"}
    made.save()
    make_track(FRAMES, size=100).write(made.tracking_path, 25.0)
    return made


def test_a_track_is_read_as_it_was_written(workspace):
    written = make_track(FRAMES, size=100, head_sync="tracked at first")
    written.write(workspace.tracking_path, 25.0)
    read = workspace.head_track()
    for item in fields(HeadTrack):
        one, other = getattr(written, item.name), getattr(read, item.name)
        same = one == other if item.name in ("camera", "head_sync") else np.allclose(one, other, equal_nan=True)
        assert same, item.name


def test_a_track_of_an_earlier_version_has_no_points_and_no_cuts(workspace):
    arrays = read_arrays(workspace.tracking_path)
    earlier = {
        name: value for name, value in arrays.items() if name not in ("cuts", "face_head_m") and "points" not in name
    }
    write_arrays(workspace.tracking_path, **earlier)
    track = workspace.head_track()
    assert not track.cuts.any()
    assert track.points_seen.shape == (FRAMES, 0)
    assert track.face_head_m.shape == (0, 3)


def test_blendshapes_are_found_by_name(workspace):
    arrays = read_arrays(workspace.tracking_path)
    arrays["blendshape_names"], arrays["blendshapes"] = arrays["blendshape_names"][::-1], arrays["blendshapes"][:, ::-1]
    write_arrays(workspace.tracking_path, **arrays)
    np.testing.assert_array_equal(workspace.head_track().blendshapes, make_track(FRAMES, size=100).blendshapes)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"blendshape_names": np.array(["jawOpen"] * 52)}, "lacks the blendshape"),
        ({"focal_px": np.nan}, "focal length of nan"),
        ({"landmarks_px": np.zeros((FRAMES, 68, 2))}, r"does not fit together \(landmarks_px"),
        ({"points_head_m": np.full((3, 3), np.nan)}, "does not fit together"),
    ],
)
def test_a_track_that_does_not_fit_is_refused(workspace, changed, words):
    write_arrays(workspace.tracking_path, **(read_arrays(workspace.tracking_path) | changed))
    with pytest.raises(WorkspaceError, match=words):
        workspace.head_track()


def test_the_track_is_the_newest_checkpoint_s(workspace):
    tracked = workspace.head_track()
    for step, shift in ((100, 0.1), (200, 0.2)):
        write_checkpoint(workspace, step, tracked.head_to_camera + shift, 500.0 + step, head_sync="tracked once")
    refined = workspace.head_track()
    assert refined.camera == replace(tracked.camera, focal_px=700.0)
    np.testing.assert_array_equal(refined.head_to_camera, tracked.head_to_camera + 0.2)
    np.testing.assert_array_equal(refined.landmarks_px, tracked.landmarks_px)
    assert workspace.head_track(refined=False).camera == tracked.camera


def test_a_checkpoint_that_is_cut_off_is_passed_over(workspace):
    tracked = workspace.head_track()
    write_checkpoint(workspace, 100, tracked.head_to_camera, 600.0)
    newest = write_checkpoint(workspace, 200, tracked.head_to_camera, 700.0)
    newest.write_bytes(newest.read_bytes()[:-1])
    assert workspace.head_track().camera.focal_px == 600.0
    newest.write_bytes(b"")
    assert workspace.head_track().camera.focal_px == 600.0


@pytest.mark.parametrize(
    ("frames", "head_sync"), [(FRAMES, "tracked again"), (FRAMES - 1, "tracked once"), (FRAMES - 1, "")]
)
def test_a_checkpoint_of_another_tracking_is_not_taken(workspace, frames, head_sync):
    poses = workspace.head_track().head_to_camera[:frames]
    write_checkpoint(workspace, 100, poses, 600.0, head_sync=head_sync)
    assert workspace.head_track().camera.focal_px == 500.0


def turned(poses: np.ndarray, degrees: float) -> np.ndarray:
    """Poses of a head that is turned to the side."""
    poses = poses.copy()
    poses[:, :3, :3] = rotation_exp(np.array([[0, np.radians(degrees), 0]])) @ poses[:, :3, :3]
    return poses


@pytest.mark.parametrize(
    ("degrees", "focal_px", "is_taken"),
    [(1.0, 600.0, True), (5.0, 600.0, False), (1.0, 1000.0, False), (1.0, 250.0, False), (1.0, np.nan, False)],
)
def test_a_checkpoint_of_an_earlier_version_drives_the_head_of_its_own_clip_alone(
    workspace, degrees, focal_px, is_taken
):
    tracked = workspace.head_track()
    poses = turned(tracked.head_to_camera, degrees)
    write_checkpoint(workspace, 100, poses, focal_px, head_sync=None)
    found = workspace.head_track()
    np.testing.assert_array_equal(found.head_to_camera, poses if is_taken else tracked.head_to_camera)
    assert found.camera.focal_px == (focal_px if is_taken else tracked.camera.focal_px)


def test_a_checkpoint_of_an_earlier_version_needs_no_frame_without_a_face(workspace):
    track = make_track(FRAMES, size=100, valid=np.arange(FRAMES) != 2)
    track.write(workspace.tracking_path, 25.0)
    poses = track.head_to_camera.copy()
    poses[2] = np.nan
    write_checkpoint(workspace, 100, poses, 600.0, head_sync=None)
    assert workspace.head_track().camera.focal_px == 600.0
    make_track(FRAMES, size=100, valid=np.zeros(FRAMES, bool)).write(workspace.tracking_path, 25.0)
    assert workspace.head_track().camera.focal_px == 500.0


def test_a_track_keeps_its_refined_poses_while_the_head_is_tracked_again(workspace):
    """Cancelled after `head_sync` began, a run leaves the track of before: its own key counts, not the stage's."""
    make_track(FRAMES, size=100, head_sync="tracked once").write(workspace.tracking_path, 25.0)
    write_checkpoint(workspace, 100, workspace.head_track().head_to_camera, 900.0, head_sync="tracked once")
    workspace.stage_begins("head_sync", "tracked again")
    assert workspace.head_track().camera.focal_px == 900.0
    make_track(FRAMES, size=100, head_sync="tracked again").write(workspace.tracking_path, 25.0)
    assert workspace.head_track().camera.focal_px == 500.0


def test_the_tracker_s_poses_are_read_as_they_were_written_with_their_camera(workspace):
    track = make_track(FRAMES, size=100)
    written = PoseTrack(
        track.camera, track.head_to_camera, track.valid, np.arange(FRAMES) == 3, track.face_head_m, np.ones((7, 3)),
        track.points_head_m, track.points_px, track.points_seen, track.reprojection_px, (450.0, 560.0),
    )  # fmt: skip
    written.write(workspace.pose_track_path)
    read = workspace.pose_track()
    for item in fields(PoseTrack):
        np.testing.assert_equal(getattr(read, item.name), getattr(written, item.name), item.name)
    arrays = read_arrays(workspace.pose_track_path)
    write_arrays(workspace.pose_track_path, **{name: value for name, value in arrays.items() if name != "valid"})
    with pytest.raises(WorkspaceError, match=r"head_sync\.npz is incomplete \('valid'\)"):
        workspace.pose_track()


def test_an_animation_is_read_as_it_was_written_and_follows_a_newer_track(workspace):
    track = workspace.head_track()
    plate = np.array([2, 3, 4, 3])
    animation = Animation(
        track.blendshapes[:4], track.head_to_camera[plate], track.camera, plate, Fraction(30000, 1001), None, 40.0
    )
    path = workspace.renders / "take" / "animation.npz"
    replace(animation, audio=Path("elsewhere/take.wav")).write(path)
    read = workspace.animation(path)
    assert (read.audio, read.audio_offset_ms, read.rate) == (path.parent / "take.wav", 40.0, Fraction(30000, 1001))
    assert read.is_on_track(track)
    write_checkpoint(workspace, 100, track.head_to_camera + 0.1, 600.0)
    refined = workspace.head_track()
    assert not read.is_on_track(refined)
    assert read.on_track(refined).camera.focal_px == 600.0
    np.testing.assert_array_equal(read.on_track(refined).head_to_camera, track.head_to_camera[plate] + 0.1)


def test_a_face_mesh_is_read_by_the_names_of_its_shapes(tmp_path):
    rng = np.random.default_rng(0)
    mesh = FaceMesh(rng.normal(size=(4, 3)), np.array([[0, 1, 2]]), rng.normal(size=(52, 4, 3)))
    mesh.write(tmp_path / "face_mesh.npz")
    arrays = read_arrays(tmp_path / "face_mesh.npz")
    write_arrays(
        tmp_path / "face_mesh.npz",
        **(arrays | {"shape_keys": arrays["shape_keys"][:0:-1], "shape_key_names": np.array(BLENDSHAPE_NAMES[:0:-1])}),
    )
    read = FaceMesh.read(tmp_path / "face_mesh.npz")
    np.testing.assert_allclose(read.shape_keys[1:], mesh.shape_keys[1:], atol=1e-6)
    assert not read.shape_keys[0].any()


def test_the_camera_of_the_working_frame_in_the_source_and_back(workspace):
    subject = workspace.subject
    camera = Camera(100, 100, 300.0, (51.0, 48.0))
    source = camera.to_source(subject)
    assert source == Camera(101, 90, 150.0, (10 + 25.5, 20 + 24.0))
    assert source.to_working(subject) == camera
    assert source.cropped(0, 0, *subject.frame_size) == Camera(100, 90, 150.0, source.principal_px)
    assert camera.resized(0.255) == Camera(26, 26, 76.5, (51 * 0.255, 48 * 0.255))
