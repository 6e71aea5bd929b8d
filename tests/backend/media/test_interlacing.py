"""Combs of interlaced frames go, whether or not the file is flagged; progressive frames stay."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from backend.media.decode import FrameReader, frames, probe
from backend.media.frame_pairs import PairMeter
from backend.workspace.subject import FrameCorrections

TFF, BFF = {"x264-params": "tff=1", "crf": "10"}, {"x264-params": "bff=1", "crf": "10"}


def bars(time: float) -> np.ndarray:
    """A patch that moves to the right before fine horizontal stripes, which are no combs."""
    image = np.full((128, 128, 3), 40, np.uint8)
    image[::2, :40] = 120
    left = 20 + round(6 * time) % 80
    image[30:100, left : left + 24] = 220
    return image


def woven(index: int, first: str = "top", scene=bars) -> np.ndarray:
    """A frame whose later field is half a frame later."""
    image, later = scene(index), scene(index + 0.5)
    start = 1 if first == "top" else 0
    image[start::2] = later[start::2]
    return image


def combs(image: np.ndarray) -> float:
    rows = image[40:90, 45:].astype(int)
    return float(np.abs(rows[2:] - 2 * rows[1:-1] + rows[:-2]).mean())


def measured(path: Path) -> PairMeter:
    meter = PairMeter(probe(path).duration_s)
    for _ in FrameReader(path, every=5, meter=meter):
        pass
    return meter


@pytest.mark.parametrize("order", ["top", "bottom"])
def test_combs_that_no_flag_reports_are_measured_and_go(tmp_path, clips, order):
    path = clips.make(tmp_path / "a.mp4", (woven(index, order) for index in range(60)))
    meter = measured(path)
    assert (meter.field_order, meter.unflagged) == (order, True)
    read = [image for _, image in FrameReader(path, corrections=FrameCorrections(0, order, True))]
    assert len(read) == 60
    assert combs(read[20]) < 0.1 * combs(woven(20, order))
    # The field that is kept was taken at the frame's own time.
    columns = np.flatnonzero(read[20][64, 45:, 0] > 130) + 45
    assert abs(int(columns.min()) - (20 + 6 * 20 % 80)) <= 1


def test_progressive_frames_before_interlaced_ones_stay_and_the_later_lose_their_combs(tmp_path, clips):
    first = clips.make(tmp_path / "p.ts", map(bars, range(25)))
    later = [index / 25 for index in range(25, 75)]
    second = clips.make(tmp_path / "i.ts", map(woven, range(25, 75)), times_s=later, options=TFF)
    path = tmp_path / "pi.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    reader = FrameReader(path)
    read = [image for _, image in reader]
    assert abs(len(read) - 75) <= 2, "the join may cost the reordered ones"
    assert min(reader.interlaced_s) == pytest.approx(1.0, abs=0.05)
    assert max(combs(image) for image in read[30:70]) < 0.15 * combs(woven(40))


def test_a_flag_with_the_wrong_field_order_is_overruled(tmp_path, clips):
    path = clips.make(tmp_path / "a.mp4", (woven(index, "top") for index in range(60)), options=BFF)
    meter = measured(path)
    assert (meter.field_order, meter.unflagged) == ("top", False)
    read = [image for _, image in FrameReader(path, corrections=FrameCorrections(0, "top"))]
    assert combs(read[20]) < 0.1 * combs(woven(20))


def test_progressive_clips_are_left_alone(tmp_path, clips, speaker_frames):
    generator = np.random.default_rng(0)

    def noisy(index: int) -> np.ndarray:
        return np.clip(bars(index) + generator.normal(0, 12, (128, 128, 3)), 0, 255).astype(np.uint8)

    def falling(index: int) -> np.ndarray:  # fine stripes that move by their own width
        return np.roll(bars(0), index, axis=0)

    for name, images in (
        ("bars", map(bars, range(60))),
        ("noise", map(noisy, range(60))),
        ("falling", map(falling, range(60))),
        ("flicker", (np.clip(bars(index) * (0.6 + 0.4 * (index % 2)), 0, 255).astype(np.uint8) for index in range(60))),
        ("speaker", speaker_frames),
    ):
        meter = measured(clips.make(tmp_path / f"{name}.mp4", images))
        assert (meter.field_order, meter.unflagged, meter.doubted_s) == ("", False, []), name


def test_a_clip_with_few_combs_is_only_doubted(tmp_path, clips):
    images = [woven(index) if 50 <= index < 60 else bars(index) for index in range(100)]
    meter = measured(clips.make(tmp_path / "a.mp4", images))
    assert meter.field_order == ""
    assert 1.9 < min(meter.doubted_s) <= max(meter.doubted_s) < 2.5


def test_real_clips_are_not_taken_for_interlaced(shared):
    for path in sorted((shared / "clips").glob("*8s*.mp4")):
        meter = measured(path)
        assert (meter.field_order, meter.doubted_s) == ("", []), path.name


def test_repeated_frames_are_counted(tmp_path, clips, speaker_frames):
    held = [speaker_frames[index * 12 // 25 * 2] for index in range(100)]
    assert measured(clips.make(tmp_path / "held.mp4", held)).repeated_share == pytest.approx(0.52, abs=0.06)
    pulled = [speaker_frames[index * 25 // 30] for index in range(100)]
    assert measured(clips.make(tmp_path / "pulled.mp4", pulled, fps=30)).repeated_share == 0.0, "25 in a file of 30"
    assert measured(clips.make(tmp_path / "lively.mp4", speaker_frames)).repeated_share < 0.1
    still = [*speaker_frames[:40], *[speaker_frames[40]] * 40, *speaker_frames[40:60]]
    assert measured(clips.make(tmp_path / "still.mp4", still)).repeated_share < 0.1, "a person who holds still"


def test_the_time_stamps_of_deinterlaced_frames_stay(tmp_path, clips):
    times = [index / 25 + (0.4 if index > 20 else 0) for index in range(40)]
    path = clips.make(tmp_path / "a.mkv", map(woven, range(40)), times_s=times, options=TFF)
    assert len(list(frames(path))) == 50
    rate = Fraction(30000, 1001)
    path = clips.make(tmp_path / "a.avi", map(woven, range(60)), fps=rate, codec="mpeg4", options={"flags": "+ildct"})
    assert len(list(frames(path))) == 60
