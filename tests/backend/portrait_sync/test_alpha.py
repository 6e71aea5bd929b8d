"""Of a clip with its own alpha the matte is that alpha; a camera that moves is reported."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.portrait_sync import stage
from backend.portrait_sync.moving_camera.camera_motion import camera_motion
from backend.progress import Reporter
from backend.workspace.images import write_image
from backend.workspace.store import Workspace
from backend.workspace.subject import ALPHA_BACKGROUND
from tests.backend.made_up_track import make_track


@pytest.fixture
def cut_out(scene, tmp_path: Path) -> Workspace:
    """The drawn clip over grey with its true matte as alpha, as the earlier stages leave it."""
    workspace = Workspace.create(tmp_path / "subject")
    subject, count = workspace.subject, len(scene.frames)
    subject.frames, subject.size, subject.alpha = count, scene.frames.shape[1], True
    for name in ("media", "face_sync"):
        subject.stages[name] = {"state": "done", "key": name}
    workspace.save()
    for index, (frame, person) in enumerate(zip(scene.frames, scene.person, strict=True)):
        share = person[..., None]
        # Of the drawn frame I = aF + (1 - a)B with B known: over grey it is I + (1 - a)(G - B).
        grey = frame + (1 - share) * (ALPHA_BACKGROUND - scene.background.astype(np.float32))
        write_image(workspace.frame_path(index), np.clip(np.rint(grey), 0, 255).astype(np.uint8))
        write_image(workspace.alpha_path(index), np.rint(255 * share).astype(np.uint8))
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, 2, 3] = 0.8
    landmarks = scene.landmarks.astype(np.float32)
    make_track(count, size=subject.size, head_to_camera=poses, landmarks_px=landmarks).write(
        workspace.tracking_path, 25.0
    )
    return workspace


def test_the_clips_alpha_is_the_persons_matte(cut_out, scene):
    stage.run(cut_out, Reporter())
    for index in (0, 5):
        mattes = cut_out.read_matte(index).astype(int)
        truth = np.rint(255 * scene.person[index]).astype(int)
        assert np.abs(mattes[..., 3] - truth).max() <= 1, "person"
        assert (mattes[..., 0] <= truth + 1).all(), "the head is a part of it"
        assert np.abs(mattes[..., 0] / 255 - scene.head[index]).mean() < 0.02
        plate = cut_out.read_plate(index).astype(int)
        assert np.abs(plate[truth == 0] - ALPHA_BACKGROUND).max() <= 24, "JPEG rings beside the person"
        assert np.abs(plate[truth == 0] - ALPHA_BACKGROUND).mean() < 1


def test_the_background_of_a_clip_with_alpha_is_the_grey_it_was_composited_over(cut_out):
    stage.run(cut_out, Reporter())
    from backend.workspace.images import read_image

    assert (read_image(cut_out.background_path) == ALPHA_BACKGROUND).all()


def sway(scene, by_px: float) -> np.ndarray:
    """The clip as a swaying camera shows it."""
    moved = []
    for index, frame in enumerate(scene.frames):
        shift = np.float32([[1, 0, by_px * np.sin(0.9 * index)], [0, 1, by_px * np.cos(0.7 * index)]])
        moved.append(cv2.warpAffine(frame, shift, frame.shape[1::-1], borderMode=cv2.BORDER_REFLECT))
    return np.stack(moved)


def test_a_camera_that_moves_is_measured_and_one_that_stands_is_not(scene):
    probabilities = list(scene.probability)
    assert camera_motion(scene.frames, probabilities) == 0.0
    side = scene.frames.shape[1]
    assert camera_motion(sway(scene, 4.0), probabilities) * side == pytest.approx(8.0, abs=1.5)


def test_a_background_without_detail_shows_no_motion(scene):
    generator = np.random.default_rng(0)
    plain = [generator.normal(120, 2, frame.shape).clip(0, 255).astype(np.uint8) for frame in scene.frames]
    assert camera_motion(np.stack(plain), list(scene.probability)) == 0.0


def test_real_clips_from_a_tripod_are_not_taken_for_handheld(shared):
    from backend.media.decode import frames
    from backend.portrait_sync.segmenter import PersonSegmenter

    segment = PersonSegmenter()
    for name in ("presenter-7s-30fps-700px", "speech-en-8s-long-hair", "speech-en-8s-lively", "speech-en-8s-close"):
        images = [image for _, image in frames(shared / "clips" / f"{name}.mp4")][::4]
        assert camera_motion(np.stack(images), [segment(image) for image in images]) == 0.0, name
