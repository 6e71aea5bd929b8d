"""At the end of ten minutes lips and audio are as far apart as at the start, at every frame rate."""

from __future__ import annotations

import shutil
from fractions import Fraction

import av
import numpy as np
import pytest

from backend.face_sync.speak import speak
from backend.media.audio import read_audio, write_wav
from backend.media.audio_rates import DELIVERY_RATE
from backend.media.encode import VideoWriter
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.frame_rate import as_text
from backend.workspace.store import Workspace

SECONDS = 600
RATES = [
    pytest.param(
        Fraction(rate), marks=pytest.mark.long if rate == "30000/1001" else pytest.mark.slow, id=as_text(Fraction(rate))
    )
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001")
]
APART_S = 0.02


@pytest.mark.parametrize("rate", RATES)
def test_images_and_audio_of_a_video_stay_together(tmp_path, clips, rate):
    count = round(SECONDS * rate)
    shown = [50, count // 2, count - 60]
    audio = clips.clicks([float(frame / rate) for frame in shown], SECONDS, DELIVERY_RATE)
    path = tmp_path / "a.mp4"
    with VideoWriter(path, 64, 48, rate, (audio, DELIVERY_RATE), preset="ultrafast") as video:
        black, white = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
        for frame in range(count):
            video.write(white if frame in shown else black)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.frames) == (rate, count)
        seen = [
            float(frame.pts * frame.time_base) for frame in container.decode(video=0) if frame.to_ndarray()[0, 0] > 100
        ]
    heard = clips.click_times(read_audio(path, DELIVERY_RATE), DELIVERY_RATE)
    np.testing.assert_allclose(seen, [float(frame / rate) for frame in shown], atol=1e-4)
    np.testing.assert_allclose(heard, seen, atol=0.003)


@pytest.mark.parametrize("rate", RATES)
def test_lips_follow_the_audio_to_the_end(tmp_path, sample, processed_once, rate):
    root = tmp_path / "speaker"
    shutil.copytree(processed_once, root)
    workspace = Workspace.open(root)
    workspace.subject.rate = rate
    early_s, late_s = 2.0, 589.013
    words = read_audio(sample / "drive.wav", DELIVERY_RATE)
    audio = np.random.default_rng(0).normal(0, 1e-4, SECONDS * DELIVERY_RATE).astype(np.float32)
    for start_s in (early_s, late_s):
        first = round(start_s * DELIVERY_RATE)
        audio[first : first + len(words)] += words
    write_wav(tmp_path / "a.wav", [audio], DELIVERY_RATE)
    animation = workspace.animation(speak(workspace, tmp_path / "a.wav", tmp_path / "spoken"))
    assert (animation.rate, animation.frames) == (rate, int(np.ceil(SECONDS * rate)))
    jaw = animation.blendshapes[:, BLENDSHAPE_NAMES.index("jawOpen")]
    time_s = np.arange(animation.frames) / float(rate)

    def said(from_s: float) -> np.ndarray:
        return np.interp(from_s + np.arange(0, len(words) / DELIVERY_RATE, 0.001), time_s, jaw)

    shifts_s = np.arange(-0.1, 0.1, 0.002)
    likeness = [np.corrcoef(said(early_s), said(late_s + shift_s))[0, 1] for shift_s in shifts_s]
    assert max(likeness) > 0.9
    assert abs(shifts_s[int(np.argmax(likeness))]) < APART_S
