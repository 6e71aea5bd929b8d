"""Videos keep colour and the time of audio, carry the mark, and are complete or absent."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from backend.errors import MediaError
from backend.media.audio import read_audio
from backend.media.decode import frames
from backend.media.encode import VideoWriter
from backend.protocol import SYNTHETIC_MARK

COLOURS = np.array(
    [
        [190, 140, 115],
        [230, 40, 40],
        [40, 200, 40],
        [40, 40, 220],
        [250, 250, 250],
        [5, 5, 5],
        [128, 128, 128],
        [30, 90, 160],
    ],
    np.uint8,
)


def patches(width: int = 128, height: int = 64) -> np.ndarray:
    return cv2.resize(COLOURS.reshape(2, 4, 3), (width, height), interpolation=cv2.INTER_NEAREST)


def test_colours_survive_the_round_trip(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 128, 64, crf=6) as video:
        for _ in range(5):
            video.write(patches())
    shown = np.array([image for _, image in frames(tmp_path / "a.mp4")]).astype(int)
    # Away from the patches' borders, where 4:2:0 shares colour between neighbours.
    inside = shown.reshape(5, 2, 32, 4, 32, 3)[:, :, 8:-8, :, 8:-8]
    assert np.abs(inside - COLOURS.reshape(2, 4, 3).astype(int)[:, None, :, None]).max() <= 3


def test_the_video_says_which_colours_it_has(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 64, 64) as video:
        video.write(np.full((64, 64, 3), 90, np.uint8))
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc) == (1, 1, 1, 1)


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 96000])
def test_audio_and_image_stay_together(tmp_path, clips, rate):
    # A white image and a tone at the same moments, the last near the end.
    moments = [0.2, 1.0, 1.92]
    audio = clips.clicks(moments, 2.0, rate)
    with VideoWriter(tmp_path / "a.mp4", 64, 64, audio=(audio, rate)) as video:
        for index in range(50):
            video.write(np.full((64, 64, 3), 240 if index / 25 in moments else 10, np.uint8))
    flashes = [time_s for time_s, image in frames(tmp_path / "a.mp4") if image.mean() > 120]
    assert flashes == moments
    assert np.allclose(clips.click_times(read_audio(tmp_path / "a.mp4")), moments, atol=0.004)


def test_audio_longer_or_shorter_than_the_video_is_kept(tmp_path, clips):
    for seconds in (0.4, 3.0):
        with VideoWriter(tmp_path / "a.mp4", 64, 64, audio=(clips.speech_like(seconds), 16000)) as video:
            for _ in range(25):
                video.write(np.zeros((64, 64, 3), np.uint8))
        assert len(list(frames(tmp_path / "a.mp4"))) == 25
        assert len(read_audio(tmp_path / "a.mp4")) / 16000 == pytest.approx(seconds, abs=0.13)


def test_audio_that_comes_in_blocks_is_the_same(tmp_path, clips):
    """Of any length, a second after the other, and none before it is due: minutes of audio are never held."""
    audio, read = clips.clicks([0.2, 1.0, 2.6], 3.0, 48000), []

    def blocks():
        for part in np.split(audio, [7, 30000, 48000, 100000]):
            read.append(len(part))
            yield part

    with VideoWriter(tmp_path / "a.mp4", 64, 64, audio=(blocks(), 48000)) as video:
        video.write(np.zeros((64, 64, 3), np.uint8))
        assert sum(read) <= 30000, "the first frame needs 40 ms"
        for _ in range(74):
            video.write(np.zeros((64, 64, 3), np.uint8))
    with VideoWriter(tmp_path / "b.mp4", 64, 64, audio=(audio, 48000)) as video:
        for _ in range(75):
            video.write(np.zeros((64, 64, 3), np.uint8))
    assert np.array_equal(read_audio(tmp_path / "a.mp4"), read_audio(tmp_path / "b.mp4"))


def test_odd_sizes_are_made_even_by_their_edge(tmp_path):
    ramp = np.broadcast_to(np.linspace(30, 220, 95).astype(np.uint8)[None, :, None], (63, 95, 3))
    with VideoWriter(tmp_path / "a.mp4", 95, 63) as video:
        video.write(ramp)
    shown = next(iter(frames(tmp_path / "a.mp4")))[1].astype(int)
    assert shown.shape == (64, 96, 3)
    assert np.abs(shown[:63, :95] - ramp).mean() < 3


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_videos_are_marked_as_synthetic(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with VideoWriter(path, 64, 64, metadata={"title": "Speech"}) as video:
        video.write(np.zeros((64, 64, 3), np.uint8))
    with av.open(str(path)) as container:
        metadata = {name.lower(): value for name, value in container.metadata.items()}
    assert metadata["comment"] == SYNTHETIC_MARK
    assert metadata["title"] == "Speech"


def test_a_video_is_complete_or_not_there(tmp_path):
    path = tmp_path / "a.mp4"
    with pytest.raises(RuntimeError, match="stopped"), VideoWriter(path, 64, 64) as video:
        video.write(np.zeros((64, 64, 3), np.uint8))
        raise RuntimeError("stopped")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MediaError, match="would have no frames"), VideoWriter(path, 64, 64):
        pass
    assert list(tmp_path.iterdir()) == []
    with VideoWriter(path, 64, 64) as video:
        video.write(np.full((64, 64, 3), 77, np.uint8))
    before = path.read_bytes()
    with pytest.raises(RuntimeError), VideoWriter(path, 64, 64):
        raise RuntimeError("stopped")
    assert path.read_bytes() == before, "the video that was there before stays"


def test_names_and_sizes_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(MediaError, match=r"is not a video file name: use \.mp4"):
        VideoWriter(tmp_path / "a.txt", 64, 64)
    with pytest.raises(MediaError, match=r"10000 x 64 pixels cannot be written"):
        VideoWriter(tmp_path / "a.mp4", 10000, 64)
