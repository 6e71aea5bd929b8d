"""The strip shows the moments at which the real lips are widest and shut."""

from types import SimpleNamespace

import numpy as np
import pytest

from backend.evaluation.evaluate import FramePair
from backend.evaluation.strip import MOMENTS, keeping, moments, strip, strip_image

FRAMES = 100


@pytest.fixture
def found():
    """Lips that open and shut every 20 frames; the first frame has no face."""
    opening = 6 + 6 * np.sin(2 * np.pi * np.arange(FRAMES) / 20)
    points = np.zeros((FRAMES, 478, 2), np.float32)
    points[:] = np.random.default_rng(0).uniform(100, 156, (478, 2))
    points[:, 33], points[:, 263] = (90, 80), (170, 80)
    for upper, lower in ((13, 14), (82, 87), (312, 317), (81, 178), (311, 402)):
        points[:, upper] = (128, 130)
        points[:, lower] = np.stack([np.full(FRAMES, 128), 130 + opening], 1)
    points[0] = np.nan
    return SimpleNamespace(fps=25.0, index=np.arange(1000, 1000 + FRAMES), landmarks_truth=points)


def test_vowels_and_closures_are_found_in_order(found):
    kinds = moments(found)
    assert list(kinds) == sorted(kinds)
    assert len(kinds) <= MOMENTS
    wide = [index for index, kind in kinds.items() if kind == "open"]
    shut = [index for index, kind in kinds.items() if kind == "shut"]
    assert all((index - 1000) % 20 == 5 for index in wide)
    assert all((index - 1000) % 20 == 15 for index in shut)


def test_only_what_is_shown_is_kept(found):
    images = np.random.default_rng(1).integers(0, 255, (FRAMES, 256, 256, 3), np.uint8)
    pairs = [FramePair(index, 255 - image, image) for index, image in zip(found.index, images, strict=True)]
    kinds, kept = moments(found), {}
    assert [pair.index for pair in keeping(pairs, kinds, kept)] == found.index.tolist()
    assert set(kept) == set(kinds)
    shown = strip(found, kinds, kept)
    assert [moment.kind for moment in shown] == list(kinds.values())
    assert shown[0].time_s == pytest.approx(next(iter(kinds)) / 25)
    assert np.abs(shown[0].truth.astype(int) + shown[0].predicted - 255).max() <= 2, "cut at the same place"
    sheet = strip_image(shown)
    assert sheet.shape[1] == 180 * -(-len(shown) // 2)


def test_lips_that_stand_still_give_no_strip(found):
    found.landmarks_truth[:] = found.landmarks_truth[50]
    assert moments(found) == {}
    found.landmarks_truth[:] = np.nan
    assert moments(found) == {}
    assert strip(found, {}, {}) == []
