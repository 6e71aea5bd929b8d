"""The webcam: the tracker against the synthetic speaker's truth, and a video file in the camera's place."""

from __future__ import annotations

import time

import numpy as np
import pytest

from backend.capture.live.face_tracker import FaceTracker
from backend.capture.live.source import open_source
from backend.errors import CaptureError
from backend.head_sync.landmarks import open_landmarker
from backend.media.decode import frames
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.poses import rotation_log

pytestmark = pytest.mark.long

CALIBRATED = 75


def opened(name, camera=0):
    return open_source(name, None, "127.0.0.1", camera)


@pytest.fixture(scope="module")
def tracked(sample):
    """Live faces of the speaker's frames after the calibration, and the truth of the same frames."""
    landmarker, seen, found = open_landmarker("mesh"), [], []
    for _, image in frames(sample / "speaker.mp4"):
        (face,) = landmarker.detect(np.ascontiguousarray(image))
        seen.append(face)
    landmarker.close()
    tracker = FaceTracker(image.shape[1], image.shape[0])
    tracker.calibrate(seen[:CALIBRATED])
    found = [tracker.face(face) for face in seen[CALIBRATED:]]
    with np.load(sample / "truth.npz") as truth:
        return found, {name: truth[name][CALIBRATED:] for name in ("blendshapes", "head_to_camera")}


@pytest.mark.parametrize(("name", "least"), [("jawOpen", 0.85), ("eyeBlinkLeft", 0.8), ("mouthPucker", 0.7)])
def test_a_shape_follows_the_speakers(tracked, name, least):
    found, truth = tracked
    k = BLENDSHAPE_NAMES.index(name)
    values = np.array([face.blendshapes[k] for face in found])
    assert np.corrcoef(values, truth["blendshapes"][:, k])[0, 1] > least


def test_the_head_turns_as_the_speakers(tracked):
    found, truth = tracked
    ours = np.array([face.head_turn for face in found])
    theirs = truth["head_to_camera"][:, :3, :3]
    about = [np.degrees(rotation_log(np.einsum("ji,njk->nik", turns[0], turns))) for turns in (ours, theirs)]
    error = about[0] - about[1]
    assert np.sqrt(((error - error.mean(0)) ** 2).mean(0)).max() < 1.6
    for axis in (1, 2):
        assert np.corrcoef(about[0][:, axis], about[1][:, axis])[0, 1] > 0.98


def test_the_tongue_is_not_claimed(tracked):
    found, _ = tracked
    assert not found[0].present[BLENDSHAPE_NAMES.index("tongueOut")]


def test_a_video_in_the_cameras_place_runs_at_its_own_rate_and_ends(sample):
    source = opened(sample / "speaker.mp4")
    source.start()
    try:
        began, notes = time.monotonic(), set()
        while "ended" not in source.inbox.state().note:
            assert time.monotonic() - began < 120, source.inbox.state()
            notes.add(source.inbox.state().note.split(":")[0])
            time.sleep(0.02)
        assert "Finding your face" in notes
        assert time.monotonic() - began > 9  # it lasts 10 s; what nobody was in time for is left out
        assert source.inbox.newest.face.head_turn is not None
    finally:
        source.close()


def test_what_is_no_camera_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(CaptureError, match="There is no video"):
        opened(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(CaptureError, match="cannot be opened: convert it"):
        opened(tmp_path / "text.mp4")
    with pytest.raises(CaptureError, match="Camera 98 cannot be opened"):
        opened("webcam", 98)
