"""A person who lies in the frame, for the rotation flag is lost or wrong, is turned upright for all who read the clip."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.media import stage
from backend.media.decode import FrameReader, probe
from backend.media.footage import write_footage
from backend.media.orientation import find_rotation
from backend.progress import Reporter
from backend.workspace.images import read_image
from backend.workspace.store import Workspace
from backend.workspace.subject import FrameCorrections


def process(root: Path, video: Path) -> tuple[Workspace, list[str]]:
    reporter = Reporter()
    workspace = Workspace.create(root)
    with workspace.locked():
        stage.run(workspace, reporter, video=video)
    return Workspace.open(root), reporter.warnings


def turned(image: np.ndarray, degrees: int) -> np.ndarray:
    """Turned counterclockwise."""
    return np.ascontiguousarray(np.rot90(image, degrees // 90))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_face_shows_which_way_is_up(speaker_frames, degrees):
    images = [(index / 1.0, turned(image, degrees)) for index, image in enumerate(speaker_frames[::10])]
    assert find_rotation(images) == degrees


def test_a_head_that_leans_is_no_reason_to_turn(speaker_frames):
    matrix = cv2.getRotationMatrix2D((128, 128), 30, 1.0)
    leaning = [(index, cv2.warpAffine(image, matrix, (256, 256))) for index, image in enumerate(speaker_frames[::10])]
    assert find_rotation(leaning) == 0


def test_without_a_face_nothing_is_turned():
    noise = np.random.default_rng(0).integers(0, 255, (8, 128, 128, 3), np.uint8)
    assert find_rotation(enumerate(noise)) == 0


def test_no_more_is_read_of_an_upright_clip_than_needed(speaker_frames):
    read = []

    def images():
        for index, image in enumerate(speaker_frames):
            read.append(index)
            yield float(index), image

    assert find_rotation(images()) == 0
    assert len(read) == 3


@pytest.mark.parametrize("degrees", [90, 180, 270])
@pytest.mark.parametrize("flag", [0, 90])
def test_corrected_frames_are_upright_on_top_of_the_files_own_rotation(tmp_path, clips, degrees, flag):
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:32, :48] = 220  # top left
    upright[:32, 48:] = (200, 30, 30)  # top right
    stored = turned(turned(upright, degrees), -flag % 360)
    path = clips.make(tmp_path / "a.mp4", [stored] * 5, rotation=(flag, False, False))
    corrections = FrameCorrections(rotate_deg=degrees)
    shown = next(iter(FrameReader(path, corrections=corrections)))[1]
    info = probe(path, corrections)
    assert (info.width, info.height) == (96, 64) == shown.shape[1::-1]
    assert np.abs(shown.astype(int) - upright).mean() < 6


def test_a_lying_person_is_turned_in_frames_and_footage_and_it_is_reported(tmp_path, clips, speaker_frames):
    def placed(image: np.ndarray) -> np.ndarray:
        canvas = np.full((320, 480, 3), (90, 110, 130), np.uint8)
        canvas[40:296, 200:456] = image
        return canvas

    stored = [turned(placed(image), 90) for image in speaker_frames[:80]]
    path = clips.make(tmp_path / "a.mp4", stored, audio=(clips.speech_like(3.2), 16000))
    workspace, warnings = process(tmp_path / "ws", path)
    assert warnings == [
        f"The rotation flag of {path} is wrong or missing: all frames were rotated by 90 degrees clockwise."
    ]
    subject = workspace.subject
    assert subject.source_size == (480, 320), "as it is shown"
    crop = subject.crop
    x, y, size = round(crop.x), round(crop.y), round(crop.size)
    wanted = placed(speaker_frames[10])
    inside = wanted[max(y, 0) : y + size, max(x, 0) : x + size].astype(int)
    assert np.abs(workspace.read_frame(10)[max(-y, 0) :, max(-x, 0) :][: len(inside)] - inside).mean() < 6
    pattern = write_footage(workspace, Reporter())
    assert np.abs(read_image(Path(str(pattern) % 10)).astype(int) - wanted).mean() < 6


def test_a_wrong_rotation_flag_is_corrected(tmp_path, clips, speaker_frames):
    path = clips.make(
        tmp_path / "a.mp4", speaker_frames[:80], rotation=(90, False, False), audio=(clips.speech_like(3.2), 16000)
    )
    workspace, warnings = process(tmp_path / "ws", path)
    assert "rotation flag" in warnings[0]
    assert np.abs(workspace.read_frame(10).astype(int) - speaker_frames[10]).mean() < 4


def test_a_workspace_from_before_corrections_opens(tmp_path):
    workspace = Workspace.create(tmp_path / "ws")
    value = json.loads((workspace.root / "subject.json").read_text())
    del value["corrections"]
    (workspace.root / "subject.json").write_text(json.dumps(value))
    assert Workspace.open(workspace.root).subject.corrections == FrameCorrections()
