"""Hair by its own network: where it hangs, whatever colour it has, and what a file that is no network says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.errors import ModelError
from backend.portrait_sync.frame import head_region
from backend.portrait_sync.learn import learn_clip
from backend.portrait_sync.segmenter import HairSegmenter

from .conftest import NECK, Scene


def test_hair_of_the_necks_colour_is_whole_down_to_the_chin_with_the_network(scene: Scene) -> None:
    """A curtain of hair on either side of the neck, of the neck's own colour, which colour tables cannot tell apart."""
    size = scene.frames.shape[1]
    curtains = []
    frames = scene.frames.copy()
    for index, points in enumerate(scene.landmarks):
        x, y = points[168]
        beside = np.abs(np.arange(size)[None] - x)
        rows = np.arange(size)[:, None]
        curtain = (
            (beside > 0.19 * size) & (beside < 0.25 * size) & (rows > y - 0.1 * size) & (rows < y + 0.35 * size)
        ).astype(np.float32)
        frames[index][curtain > 0] = NECK
        curtains.append(curtain)
    answers = {frame.tobytes(): number for number, frame in enumerate(frames)}

    def person(frame: np.ndarray) -> np.ndarray:
        number = answers[frame.tobytes()]
        return np.maximum(scene.probability[number], cv2.resize(curtains[number], (256, 256)))

    def hair(frame: np.ndarray) -> np.ndarray:
        return curtains[answers[frame.tobytes()]]

    usable = np.ones(len(frames), bool)
    shares = {}
    for name, network in (("colours", None), ("network", hair)):
        model = learn_clip(lambda i: frames[i], person, scene.landmarks, usable, segment_hair=network)
        region = cv2.resize(head_region(frames[3], model, scene.landmarks[3], None)[0], (size, size))
        chin = int(scene.landmarks[3][152][1])
        middle = curtains[3].astype(bool) & (np.arange(size)[:, None] < chin - 0.05 * size)
        shares[name] = float(region[middle].mean())
    assert shares["network"] > 0.9
    assert shares["network"] >= shares["colours"]


def test_a_file_that_is_no_network_is_named(tmp_path) -> None:
    path = tmp_path / "hair_segmentation.tflite"
    path.write_bytes(b"no network")
    with pytest.raises(ModelError, match=r"hair_segmentation\.tflite cannot be read as a network"):
        HairSegmenter(path)


def test_the_network_finds_the_hair_of_the_embedded_speaker(speaker_frames) -> None:
    """Where its model was fetched."""
    segment = HairSegmenter.installed()
    if segment is None:
        pytest.skip("the model hair_segmentation was not fetched")
    frame = next(iter(speaker_frames))
    hair = segment(frame)
    assert hair.shape == (512, 512) and 0.01 < float((hair > 0.5).mean()) < 0.6
    assert float(hair[-60:].mean()) < 0.1, "not on the shoulders"
