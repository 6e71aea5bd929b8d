"""What is reported of a clip's frames, in the words a user reads."""

from __future__ import annotations

import numpy as np
import pytest

from backend.errors import Cancelled
from backend.media import stage
from backend.progress import Reporter
from backend.workspace.store import Workspace


def warnings_of(tmp_path, path, size: int = 512) -> list[str]:
    reporter = Reporter()
    workspace = Workspace.create(tmp_path / "ws")
    with workspace.locked():
        stage.run(workspace, reporter, video=path, size=size)
    return [text.replace(f"{tmp_path}/", "") for text in reporter.warnings]


def test_a_low_frame_rate_is_reported_with_what_it_costs(tmp_path, clips, speaker_frames):
    path = clips.make(tmp_path / "a.mp4", speaker_frames[::2], fps=12, audio=(clips.speech_like(4.1), 16000))
    assert warnings_of(tmp_path, path) == [
        "a.mp4 has 12 frames a second, and 23.976 to 60 are kept: it is processed at 24, each frame showing the image "
        "nearest in time.",
        "a.mp4 has only 12 different frames a second: fast lip motion is lost. Record at 25 frames a second or "
        "more, in good light.",
    ]


def test_repeated_frames_of_a_clip_that_states_25_are_reported(tmp_path, clips, speaker_frames):
    held = [speaker_frames[index * 12 // 25 * 2] for index in range(100)]
    (warning,) = warnings_of(tmp_path, clips.make(tmp_path / "a.mp4", held, audio=(clips.speech_like(4.0), 16000)))
    assert "different frames a second, though it states 25: " in warning
    assert 11.5 < float(warning.split("has only ")[1].split(" ")[0]) < 13.5


def test_a_clip_of_just_enough_frames_is_not_reported(tmp_path, clips, speaker_frames):
    path = clips.make(tmp_path / "a.mkv", speaker_frames[:79], fps=20, audio=(clips.speech_like(4.0), 16000))
    (warning,) = warnings_of(tmp_path, path)
    assert "a.mkv has 20 frames a second, and 23.976 to 60 are kept: it is processed at 23.976" in warning


@pytest.mark.parametrize("suffix", [".avi", ".mkv"])
def test_frames_that_a_recorder_dropped_count_as_missing(tmp_path, clips, speaker_frames, suffix):
    kept = [index for index in range(100) if index % 2 == 0 or index % 10 == 1]
    path = clips.make(
        tmp_path / f"a{suffix}",
        [speaker_frames[index] for index in kept],
        times_s=[index / 25 for index in kept],
        codec="mjpeg",
        pix_fmt="yuvj420p",
        audio=(clips.speech_like(4.0), 16000),
        audio_codec="pcm_s16le",
    )
    (warning,) = warnings_of(tmp_path, path)
    assert 14.8 < float(warning.split("has only ")[1].split(" ")[0]) < 15.4
    assert "fast lip motion is lost" in warning


def test_interlaced_clips_are_reported_and_read_without_combs(tmp_path, clips, speaker_frames):
    def woven(index: int) -> np.ndarray:
        # A head that moves by 12 pixels from field to field: across.
        image, later = (np.roll(speaker_frames[index], 12 * (2 * index + field) % 60, axis=1) for field in (0, 1))
        image[1::2] = later[1::2]
        return image

    def combs(image: np.ndarray) -> float:
        rows = image.astype(int)
        return float(np.abs(rows[2:] - 2 * rows[1:-1] + rows[:-2]).mean())

    path = clips.make(tmp_path / "a.mp4", map(woven, range(100)), audio=(clips.speech_like(4.0), 16000))
    assert warnings_of(tmp_path, path) == [
        "a.mp4 is interlaced without a flag: all its frames are deinterlaced, upper field first; record progressive "
        "video for sharper frames."
    ]
    workspace = Workspace.open(tmp_path / "ws")
    assert combs(workspace.read_frame(50)) < 0.4 * combs(woven(50))


def test_a_very_dark_face_is_reported(tmp_path, clips, speaker_frames):
    dark = [(image * 0.16).astype(np.uint8) for image in speaker_frames[:80]]
    (warning,) = warnings_of(tmp_path, clips.make(tmp_path / "a.mp4", dark, audio=(clips.speech_like(3.2), 16000)))
    assert warning.startswith("The face in a.mp4 is very dark (2")
    assert warning.endswith("light it better, or brighten the original footage.")


def test_what_was_reported_of_a_clip_is_kept_when_a_run_is_cancelled_and_resumed(tmp_path, clips, speaker_frames):
    path = clips.make(tmp_path / "a.mp4", speaker_frames[::2], fps=12, audio=(clips.speech_like(4.1), 16000))
    events = []
    workspace = Workspace.create(tmp_path / "ws")
    with pytest.raises(Cancelled), workspace.locked():
        reporter = Reporter(events.append, cancelled=lambda: len(events) > 60, interval_s=0)
        stage.run(workspace, reporter, video=path)
    assert warnings_of(tmp_path, path) == [], "the clip is not surveyed again"
    _, kept = Workspace.open(tmp_path / "ws").subject.stages["media"]["warnings"]
    assert "different frames a second" in kept
