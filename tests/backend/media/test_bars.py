"""Bars around the image, black or blurred, are cut off for all who read the clip, and reported."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.media import stage
from backend.media.bars import BarMeter
from backend.media.footage import write_footage
from backend.progress import Reporter
from backend.workspace.images import read_image
from backend.workspace.store import Workspace
from backend.workspace.subject import FrameCorrections

BACKDROP = np.random.default_rng(3).integers(60, 200, (12, 24, 3), np.uint8)


def scene(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The speaker in front of a wall with detail."""
    wall = cv2.resize(BACKDROP, (width, height), interpolation=cv2.INTER_CUBIC)
    wall = np.clip(wall + np.random.default_rng(4).normal(0, 6, wall.shape), 0, 255).astype(np.uint8)
    left = (width - 256) // 2
    wall[height - 256 :, left : left + 256] = image
    return wall


def letterboxed(image: np.ndarray) -> np.ndarray:
    return cv2.copyMakeBorder(scene(image, 288, 512), 48, 48, 0, 0, cv2.BORDER_CONSTANT)


def with_blurred_sides(image: np.ndarray) -> np.ndarray:
    inner = scene(image, 400, 280)
    wide = cv2.blur(cv2.resize(inner, (712, 1016), interpolation=cv2.INTER_CUBIC)[308:708], (61, 61))
    wide[:, 216:496] = inner
    return wide


@pytest.mark.parametrize(
    ("make", "bars"), [(letterboxed, (0, 48)), (with_blurred_sides, (216, 0)), (lambda p: scene(p, 288, 512), (0, 0))]
)
def test_bars_are_measured(speaker_frames, make, bars):
    meter = BarMeter()
    for image in speaker_frames[::10]:
        meter.see(make(image))
    height, width = make(speaker_frames[0]).shape[:2]
    beside, above = meter.margins()
    assert bars[0] <= beside * width <= bars[0] + 3 * (bars[0] > 0)
    assert bars[1] <= above * height <= bars[1] + 3 * (bars[1] > 0)


def test_a_plain_wall_and_a_door_frame_are_no_bars(speaker_frames):
    plain, door = BarMeter(), BarMeter()
    for image in speaker_frames[::10]:
        canvas = np.empty((400, 800, 3), np.uint8)
        canvas[:] = np.median(image[:, [0, -1]], (0, 1))  # The speaker's own wall.
        canvas[100:356, 272:528] = image
        plain.see(canvas)
        framed = scene(image, 400, 800)
        framed[:, [200, 599]] = 30  # A line, with the wall's detail on both sides.
        door.see(framed)
    assert plain.margins() == door.margins() == (0.0, 0.0)


def process(root: Path, path: Path) -> tuple[Workspace, list[str]]:
    reporter = Reporter()
    workspace = Workspace.create(root)
    with workspace.locked():
        stage.run(workspace, reporter, video=path)
    return Workspace.open(root), [text.replace(str(path), "CLIP") for text in reporter.warnings]


def test_frames_crop_and_footage_are_those_of_the_image_without_bars(tmp_path, clips, speaker_frames):
    path = clips.make(tmp_path / "a.mp4", map(letterboxed, speaker_frames[:80]), audio=(clips.speech_like(3.2), 16000))
    workspace, warnings = process(tmp_path / "ws", path)
    beside, bar = workspace.subject.corrections.bars_px
    assert beside == 0
    assert 48 <= bar <= 51
    height = 384 - 2 * bar
    assert warnings == [
        f"CLIP has bars, {bar} pixels high above and below: they are cut off, and 512 x {height} pixels are used. If a "
        "larger original exists, use that."
    ]
    assert workspace.subject.source_size == (512, height)
    wanted = letterboxed(speaker_frames[10])[bar : bar + height]
    pattern = write_footage(workspace, Reporter())
    assert np.abs(read_image(Path(str(pattern) % 10)).astype(int) - wanted).mean() < 6
    crop = workspace.subject.crop
    x, y, size = round(crop.x), round(crop.y), round(crop.size)
    inside = wanted[max(y, 0) : y + size, max(x, 0) : x + size].astype(int)
    shown = workspace.read_frame(10)[max(-y, 0) :, max(-x, 0) :][: inside.shape[0], : inside.shape[1]]
    assert np.abs(shown - inside).mean() < 6
    assert workspace.read_frame(10).max(axis=(1, 2)).min() > 60, "no black rows"


def test_corrections_of_other_versions_are_read():
    assert FrameCorrections.of({"rotate_deg": 90, "later": 1}) == FrameCorrections(rotate_deg=90)
    assert FrameCorrections.of({"bars_px": [4, 0]}).bars_px == (4, 0)
