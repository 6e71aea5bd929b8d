"""The stage `media`: what it writes, that it resumes after a kill, and that other input starts it again."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from backend.errors import Cancelled
from backend.media import stage
from backend.media.decode import frames
from backend.media.encodings import LOGC4
from backend.progress import Reporter
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop

pytestmark = pytest.mark.long

PROCESS = """
import os, signal, sys
from backend.media import stage
from backend.progress import Reporter
from backend.workspace.store import Workspace
left = int(sys.argv[3])
def on_progress(event):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
workspace = Workspace.create(sys.argv[1])
with workspace.locked():
    stage.run(workspace, Reporter(on_progress, interval_s=0), video=sys.argv[2])
"""


def process(
    root: Path, video: Path, reporter: Reporter | None = None, size: int = 512, colour: str | None = None
) -> Workspace:
    workspace = Workspace.create(root)
    with workspace.locked():
        stage.run(workspace, reporter or Reporter(), video=video, size=size, colour=colour)
    return workspace


def digests(workspace: Workspace) -> list[str]:
    paths = [workspace.frame_path(index) for index in range(workspace.subject.frames)]
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in [*paths, workspace.audio_path]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory, clips, speaker_frames) -> Path:
    """4 s, 256 x 256, 25 fps, a face and audio."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return clips.make(path, speaker_frames, audio=(clips.speech_like(4.0), 16000))


@pytest.fixture(scope="module")
def done(tmp_path_factory, clip) -> Workspace:
    return process(tmp_path_factory.mktemp("done") / "ws", clip)


def test_frames_audio_and_subject_are_written(done, clip):
    subject = done.subject
    assert (subject.frames, subject.size, subject.source_size) == (100, 256, (256, 256))
    assert subject.crop == Crop(0, 0, 256), "a head that fills its image keeps it, pixel by pixel"
    assert subject.source == str(clip)
    assert len(list((done.root / "frames").iterdir())) == 100
    for index, (_, image) in enumerate(frames(clip)):
        if index % 20 == 0:
            assert np.abs(done.read_frame(index).astype(int) - image).mean() < 2
    samples, rate = soundfile.read(done.audio_path)
    assert (len(samples), rate) == (64000, 16000)
    assert Workspace.open(done.root).stage_state("media") == "done"


def test_a_finished_stage_does_nothing_again(done, clip):
    before = done.frame_path(0).stat().st_mtime_ns
    events = []
    process(done.root, clip, Reporter(events.append))
    assert done.frame_path(0).stat().st_mtime_ns == before
    assert events == []


def test_a_frame_that_was_deleted_is_made_again(tmp_path, clip, done):
    workspace = process(tmp_path / "ws", clip)
    workspace.frame_path(60).unlink()
    kept = workspace.frame_path(59).stat().st_mtime_ns
    assert digests(process(tmp_path / "ws", clip)) == digests(done)
    assert workspace.frame_path(59).stat().st_mtime_ns == kept


@pytest.mark.parametrize("moment", [3, 30, 70])
def test_a_killed_run_is_finished_by_the_next(tmp_path, clip, done, root, moment):
    run = [sys.executable, "-c", PROCESS, str(tmp_path / "ws"), str(clip)]
    assert subprocess.run([*run, str(moment)], cwd=root, capture_output=True, check=False).returncode != 0
    half = Workspace.open(tmp_path / "ws")
    written = sorted((half.root / "frames").glob("0*.jpg")) if (half.root / "frames").exists() else []
    assert half.stage_state("media") != "done"
    stamps = {path: path.stat().st_mtime_ns for path in written}
    finished = process(tmp_path / "ws", clip)
    assert digests(finished) == digests(done)
    assert finished.subject == Workspace.open(finished.root).subject
    full = list(range(len(written)))
    if [int(path.stem) for path in written] == full:
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items()), (
            "what was done is not done again"
        )


@pytest.mark.slow
def test_twenty_kills_at_random_moments_change_nothing(tmp_path, clip, done, root):
    generator = np.random.default_rng(0)
    run = [sys.executable, "-c", PROCESS, str(tmp_path / "ws"), str(clip)]
    for _ in range(20):
        moment = str(generator.integers(1, 120))
        subprocess.run([*run, moment], cwd=root, capture_output=True, check=False)
        if generator.random() < 0.3:
            assert digests(process(tmp_path / "ws", clip)) == digests(done)
            shutil.rmtree(tmp_path / "ws")
    assert digests(process(tmp_path / "ws", clip)) == digests(done)


def test_a_cancelled_run_is_finished_by_the_next(tmp_path, clip, done):
    events = []
    reporter = Reporter(events.append, cancelled=lambda: len(events) > 60, interval_s=0)
    with pytest.raises(Cancelled, match="Cancelled during media: run the same command again"):
        process(tmp_path / "ws", clip, reporter)
    assert Workspace.open(tmp_path / "ws").stage_state("media") == "partial"
    assert digests(process(tmp_path / "ws", clip)) == digests(done)


def test_progress_rises_to_its_total(tmp_path, clip):
    events = []
    process(tmp_path / "ws", clip, Reporter(events.append, interval_s=0))
    assert {event.stage for event in events} == {"media"}
    counts = [event.done for event in events]
    assert counts == sorted(counts)
    assert counts[-1] == events[-1].total


def test_another_size_begins_again(tmp_path, clip):
    assert process(tmp_path / "ws", clip).subject.size == 256
    workspace = process(tmp_path / "ws", clip, size=128)
    assert workspace.subject.size == 128
    assert workspace.read_frame(99).shape == (128, 128, 3)


def test_a_shorter_clip_leaves_no_frames_of_the_longer(tmp_path, clip, clips, speaker_frames):
    process(tmp_path / "ws", clip)
    short = clips.make(tmp_path / "short.mp4", speaker_frames[:80], audio=(clips.speech_like(3.2), 16000))
    workspace = process(tmp_path / "ws", short)
    assert workspace.subject.frames == 80
    assert len(list((workspace.root / "frames").iterdir())) == 80


def test_a_clip_that_is_gone_after_its_frames_were_made_is_not_missed(tmp_path, clips, speaker_frames):
    path = clips.make(tmp_path / "clip.mp4", speaker_frames[:80], audio=(clips.speech_like(3.2), 16000))
    process(tmp_path / "ws", path)
    path.unlink()
    reported = []
    process(tmp_path / "ws", path, Reporter(on_log=lambda level, text: reported.append(text)))
    assert "is missing: its frames" in reported[0]


def test_a_small_head_is_cropped_and_its_place_kept(tmp_path, clips, speaker_frames):
    def placed(image: np.ndarray) -> np.ndarray:
        canvas = np.full((480, 854, 3), (90, 110, 130), np.uint8)
        canvas[180:436, 500:756] = image
        return canvas

    path = clips.make(tmp_path / "wide.mp4", map(placed, speaker_frames[:80]), audio=(clips.speech_like(3.2), 16000))
    workspace = process(tmp_path / "ws", path)
    crop, size = workspace.subject.crop, workspace.subject.size
    assert workspace.subject.source_size == (854, 480)
    assert crop.size == size <= 400, "cut out pixel by pixel"
    assert size % 16 == 0
    # The head of the pasted image, hair to chin, lies inside.
    assert 500 - 80 <= crop.x <= 580
    assert crop.x + crop.size >= 700
    x, y = round(crop.x), round(crop.y)
    shown = workspace.read_frame(10).astype(int)
    wanted = placed(speaker_frames[10])[y : y + size, x : x + size]
    assert np.abs(shown - wanted).mean() < 4


def test_beyond_the_images_edge_the_edge_is_repeated():
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    shown = stage.working_frame(image, Crop(-2, 1, 6), 6)
    assert np.array_equal(shown[0, :3], np.repeat(image[1, :1], 3, 0))
    assert np.array_equal(shown[5, 2:], np.stack([image[3, 0], image[3, 1], image[3, 2], image[3, 3]]))


def test_a_log_clip_is_worked_on_as_it_is_meant_and_later_runs_remember_it(tmp_path, clips, speaker_frames, done):
    """A clip without a tag, as a camera writes LogC4: named once, its working frames are those of the ordinary clip."""
    log = [LOGC4.from_working(frame.astype(np.float32) / 255) for frame in speaker_frames]
    path = clips.make(
        tmp_path / "log.mkv",
        [np.rint(255 * frame).astype(np.uint8) for frame in log],
        codec="ffv1",
        pix_fmt="bgr0",
        audio=(clips.speech_like(4.0), 16000),
        audio_codec="pcm_s16le",
    )
    workspace = process(tmp_path / "ws", path, colour="logc4")
    assert workspace.subject.corrections.colour == "logc4"
    apart = np.abs(workspace.read_frame(10).astype(int) - speaker_frames[10])
    assert apart.mean() < 3, "but for what 8 bits of a log curve lose"
    written = digests(workspace)
    assert process(tmp_path / "ws", path).subject.corrections.colour == "logc4"
    assert digests(workspace) == written
    contrast = workspace.read_frame(10).std()
    plain = process(tmp_path / "ws", path, colour="auto")
    assert plain.subject.corrections.colour == ""
    assert plain.read_frame(10).std() < 0.7 * contrast, "a log curve is flat"
