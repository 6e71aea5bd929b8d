"""Head-Sync on the embedded speaker, against its truth."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from backend.errors import Cancelled, FaceError, ModelError
from backend.evaluation.tracking.measures import pose_error, rotation_jitter_deg
from backend.head_sync import landmarks_stage, stage
from backend.head_sync.head_motion_tracker import expected_focal_px, track_head_motion
from backend.head_sync.landmarks_stage import Landmarks
from backend.progress import Reporter
from backend.workspace.files import read_arrays
from backend.workspace.store import Workspace

FRAMES = 150
"""Of the speaker's 250: enough turns and nods, and six seconds saved."""


@pytest.fixture(scope="module")
def marked(speaker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The speaker after `landmarks`."""
    root = Path(shutil.copytree(speaker, tmp_path_factory.mktemp("marked") / "speaker"))
    workspace = Workspace.open(root)
    workspace.subject.frames = FRAMES
    landmarks_stage.run(workspace, Reporter(), landmarker="mesh")
    return root


@pytest.fixture(scope="module")
def tracked(marked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The speaker after `head_sync`."""
    root = Path(shutil.copytree(marked, tmp_path_factory.mktemp("tracked") / "speaker"))
    stage.run(Workspace.open(root), Reporter())
    return root


def test_poses_agree_with_the_truth_and_shake_less_than_landmarks(tracked, sample):
    result = read_arrays(tracked / "head_sync.npz")
    truth = read_arrays(sample / "truth.npz")["head_to_camera"][:FRAMES]
    subject = Workspace.open(tracked).subject
    found = Landmarks.read(tracked / "landmarks.npz")
    expected = expected_focal_px(subject.size, subject.crop.size, subject.source_size)
    rough = track_head_motion(found.points_px, found.depth, found.detected, stage.principal_px(subject), expected)
    assert rotation_jitter_deg(result["head_to_camera"]) < 0.5 * rotation_jitter_deg(rough.poses)
    error = pose_error(result["head_to_camera"], truth)
    assert error.turn_deg.mean() < 0.7
    assert error.turn_deg.max() < 1.6
    assert error.place_percent.mean() < 0.4
    assert error.turn_deg.mean() < pose_error(rough.poses, truth).turn_deg.mean()


def test_arrays_are_as_documented(tracked):
    result, subject = read_arrays(tracked / "head_sync.npz"), Workspace.open(tracked).subject
    frames, count = subject.frames, len(result["points_head_m"])
    assert result["head_to_camera"].shape == (frames, 4, 4)
    assert result["face_head_m"].shape == (478, 3)
    assert result["points_px"].shape == (frames, count, 2)
    assert result["points_seen"].shape == (frames, count)
    assert result["reprojection_px"].shape == result["valid"].shape == (frames,)
    assert count > 50
    assert np.median(result["reprojection_px"]) < 1.5
    turns = result["head_to_camera"][:, :3, :3]
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9)


def test_a_second_run_has_nothing_to_do(tracked, monkeypatch):
    monkeypatch.setattr(stage, "_track", lambda *_: pytest.fail("tracked again"))
    stage.run(Workspace.open(tracked), Reporter())


def test_the_papers_adam_and_other_key_points_can_be_chosen(marked, tracked, tmp_path, sample):
    root = Path(shutil.copytree(marked, tmp_path / "speaker"))
    stage.run(Workspace.open(root), Reporter(), bundle_adjustment="adam", keypoints="flow-least")
    own, usual = (read_arrays(folder / "head_sync.npz")["head_to_camera"] for folder in (root, tracked))
    assert not np.allclose(own, usual)
    truth = read_arrays(sample / "truth.npz")["head_to_camera"][:FRAMES]
    assert pose_error(own, truth).turn_deg.mean() < 1.0
    # Another choice is another result: the stage is not taken for done.
    begun = read_arrays(root / "head_sync.npz")["head_to_camera"]
    stage.run(Workspace.open(root), Reporter())
    assert not np.allclose(read_arrays(root / "head_sync.npz")["head_to_camera"], begun)


def test_a_face_model_that_is_not_there_is_one_sentence(marked, tmp_path):
    root = Path(shutil.copytree(marked, tmp_path / "speaker"))
    with pytest.raises(ModelError, match=r"bfm\.mat"):
        stage.run(Workspace.open(root), Reporter(), face_model=tmp_path / "bfm.mat")


def test_cancelling_leaves_no_result_behind(marked, tmp_path):
    root = Path(shutil.copytree(marked, tmp_path / "speaker"))
    events = []
    reporter = Reporter(on_progress=events.append, cancelled=lambda: len(events) > 3, interval_s=0)
    with pytest.raises(Cancelled):
        stage.run(Workspace.open(root), reporter)
    assert not (root / "head_sync.npz").exists()
    assert Workspace.open(root).stage_state("head_sync") == "partial"


def test_too_few_frames_with_a_face_are_refused(marked, tmp_path):
    root = Path(shutil.copytree(marked, tmp_path / "speaker"))
    found = Landmarks.read(root / "landmarks.npz")
    found.detected[5:] = False
    found.write(root / "landmarks.npz")
    with pytest.raises(FaceError, match="seen in only 5 of 150 frames"):
        stage.run(Workspace.open(root), Reporter())


def test_the_optical_axis_is_the_centre_of_the_source(tracked):
    subject = Workspace.open(tracked).subject
    subject.source_size, subject.size = (1920, 1080), 512
    subject.crop = type(subject.crop)(860, 440, 400)
    np.testing.assert_allclose(stage.principal_px(subject), [128, 128])
