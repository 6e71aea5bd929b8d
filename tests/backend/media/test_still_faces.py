"""A face on a poster is no second person: it never moves."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.errors import FaceError
from backend.media import stage
from backend.progress import Reporter
from backend.workspace.store import Workspace


def beside(image: np.ndarray, other: np.ndarray, side: int) -> np.ndarray:
    """The speaker_frames at the left, the other face at the right."""
    canvas = np.full((256, 512, 3), (90, 110, 130), np.uint8)
    canvas[:, :256] = image
    canvas[20 : 20 + side, 280 : 280 + side] = cv2.resize(other, (side, side), interpolation=cv2.INTER_AREA)
    return canvas


def closer(image: np.ndarray) -> np.ndarray:
    """The speaker by 4/3 larger, (256, 256, 3)."""
    return cv2.resize(image[32:224, 32:224], (256, 256), interpolation=cv2.INTER_CUBIC)


def process(root: Path, path: Path) -> tuple[Workspace, list[str]]:
    reporter = Reporter()
    workspace = Workspace.create(root)
    with workspace.locked():
        stage.run(workspace, reporter, video=path)
    return workspace, [text.replace(str(path), "CLIP") for text in reporter.warnings]


@pytest.fixture
def audio(clips) -> tuple[np.ndarray, int]:
    return clips.speech_like(3.2), 16000


def test_a_poster_in_the_background_is_reported_and_the_person_followed(tmp_path, clips, speaker_frames, audio):
    portrait = speaker_frames[60][55:191, 60:196]  # close: in so small an image the detector wants a face that fills it
    images = (beside(closer(image), portrait, 92) for image in speaker_frames[:80])
    workspace, warnings = process(tmp_path / "ws", clips.make(tmp_path / "a.mp4", images, audio=audio))
    assert warnings[0].startswith("A still face (a poster?) is in the background of CLIP at ")
    crop = workspace.subject.crop
    assert crop.x < 100, "around the person"


def test_a_poster_as_large_as_the_person_is_refused(tmp_path, clips, speaker_frames, audio):
    images = (beside(image, speaker_frames[0], 230) for image in speaker_frames[:80])
    path = clips.make(tmp_path / "a.mp4", images, audio=audio)
    with pytest.raises(FaceError, match=r"A still face \(a poster\?\) in .* is as large as the person: crop"):
        process(tmp_path / "ws", path)


def test_a_second_person_who_moves_is_refused(tmp_path, clips, speaker_frames, audio):
    images = (beside(image, speaker_frames[-1 - index], 150) for index, image in enumerate(speaker_frames[:80]))
    path = clips.make(tmp_path / "a.mp4", images, audio=audio)
    with pytest.raises(FaceError, match="Two faces are seen"):
        process(tmp_path / "ws", path)
