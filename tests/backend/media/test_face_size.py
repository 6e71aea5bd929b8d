"""A face that is small in the working frame is reported with its size, and the advice holds when it is followed."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.media import stage
from backend.media.checks import Survey
from backend.media.crop import choose_crop
from backend.media.decode import ClipInfo
from backend.media.face_size import report_face_size
from backend.media.faces import Face
from backend.progress import Reporter
from backend.workspace.store import Workspace


def look_of(centres: np.ndarray, tall: float, top: float = 200.0) -> Survey:
    faces = [[Face(float(x) - tall / 2, top, tall, tall, 0.95)] for x in centres]
    return Survey([index / 5 for index in range(len(faces))], faces, len(faces) / 5)


def warning(survey: Survey, width: int, height: int, limit: int) -> tuple[str, float]:
    """What is reported, and the face's height in the working frame."""
    info = ClipInfo(Path("a.mp4"), width, height, Fraction(25), 25.0, survey.end_s, 0.0, "h264", True)
    crop, side = choose_crop(survey.boxes, width, height, limit)
    reporter = Reporter()
    report_face_size(info, survey, crop, side, reporter)
    tall = survey.faces[0][0].height
    return (reporter.warnings or [""])[0], tall * side / crop.size


def test_a_person_who_stays_is_not_mentioned():
    assert warning(look_of(np.full(50, 640.0), 170), 1280, 720, 512)[0] == ""
    assert warning(look_of(640 + 60 * np.sin(np.arange(50)), 170), 1280, 720, 512)[0] == "", "who sways"


def test_a_person_who_walks_across_is_reported_and_the_larger_size_helps():
    survey = look_of(np.linspace(200, 1080, 50), 170)
    text, face = warning(survey, 1280, 720, 512)
    assert text.startswith(
        f"The face in a.mp4 is only {face:.0f} of the working frame's 512 pixels tall: the person moves over "
    )
    size, promised = re.search(r"process with --size (\d+) for a face of (\d+) pixels", text).groups()
    assert "cut the clip" not in text, "no part is long enough"
    after, reached = warning(survey, 1280, 720, int(size))
    assert after == ""
    assert reached == pytest.approx(int(promised), abs=1)
    assert reached > 1.5 * face


def test_the_part_in_which_the_person_stays_is_named():
    centres = np.concatenate([np.linspace(200, 1000, 20), np.full(25, 1000.0)])
    text, face = warning(look_of(centres, 170), 1280, 720, 512)
    start, end, promised = re.search(
        r"cut the clip to ([\d.]+) s to ([\d.]+) s for a face of (\d+) pixels", text
    ).groups()
    assert 2.0 <= float(start) <= 4.0
    assert float(end) == pytest.approx(8.8)
    part = look_of(centres[round(float(start) * 5) :], 170)
    after, reached = warning(part, 1280, 720, 512)
    assert after == ""
    assert reached == pytest.approx(int(promised), abs=2)
    assert reached > 1.5 * face


def test_a_far_person_is_reported_to_come_closer():
    text, _ = warning(look_of(np.full(50, 640.0), 60), 1280, 720, 512)
    assert text == (
        "The face in a.mp4 is only 60 of the working frame's 144 pixels tall. Lips and eyes will lack detail: record closer."
    )


def test_the_stage_reports_a_walk(tmp_path, clips, speaker_frames):
    def walking(index: int) -> np.ndarray:
        canvas = np.full((256, 960, 3), (90, 110, 130), np.uint8)
        left = 8 * index
        canvas[:, left : left + 256] = cv2.resize(speaker_frames[index], (256, 256))
        return canvas

    path = clips.make(tmp_path / "a.mp4", map(walking, range(80)), audio=(clips.speech_like(3.2), 16000))
    reporter = Reporter()
    workspace = Workspace.create(tmp_path / "ws")
    with workspace.locked():
        stage.run(workspace, reporter, video=path)
    assert any("the person moves over" in text for text in reporter.warnings)
