"""What cannot become a head is refused in one sentence: what is wrong, where, and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.errors import AudioError, FaceError, MediaError, StorageError, SyncTalkError, WorkspaceError
from backend.media import stage
from backend.media.audio import read_audio
from backend.media.checks import Survey, check_clip
from backend.media.decode import ClipInfo
from backend.media.faces import Face
from backend.progress import Reporter
from backend.workspace.store import Workspace

pytestmark = pytest.mark.long

EMPTY = np.full((256, 256, 3), (90, 110, 130), np.uint8)


def process(root: Path, video: Path) -> list[str]:
    """Run the stage; the warnings it gave."""
    warnings: list[str] = []
    workspace = Workspace.create(root)
    with workspace.locked():
        reporter = Reporter(on_log=lambda level, text: warnings.append(text) if level == "warning" else None)
        stage.run(workspace, reporter, video=video)
    return warnings


def refused(kind: type[SyncTalkError], root: Path, video: Path) -> str:
    """The one sentence with which the stage refuses a clip."""
    with pytest.raises(kind) as caught:
        process(root, video)
    assert type(caught.value) is kind
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert not any((root / "frames").glob("*")) if root.exists() else True
    return text.replace(f"{video.parent}{os.sep}", "")


@pytest.fixture
def audio(clips):
    return clips.speech_like(4.0), 16000


def test_no_face_at_all(tmp_path, clips, audio):
    noise = [np.random.default_rng(index).integers(0, 255, (256, 256, 3), np.uint8) for index in range(4)]
    path = clips.make(tmp_path / "a.mp4", (noise[index % 4] for index in range(80)), audio=audio)
    assert refused(FaceError, tmp_path / "ws", path) == (
        "No face is seen in a.mp4: give a clip in which one person faces the camera, upright and in good light."
    )


def test_two_faces(tmp_path, clips, speaker_frames, audio):
    def both(index: int) -> np.ndarray:
        other = EMPTY if index < 40 else cv2.flip(cv2.resize(speaker_frames[index], (160, 160)), 1)
        canvas = np.full((256, 416, 3), (90, 110, 130), np.uint8)
        canvas[:, :256] = speaker_frames[index]
        canvas[40:200, 256:] = other[:160, :160]
        return canvas

    path = clips.make(tmp_path / "a.mp4", map(both, range(100)), audio=audio)
    text = refused(FaceError, tmp_path / "ws", path)
    frame = int(text.split("(frame ")[1].split(")")[0])
    assert 40 <= frame <= 75, "the other appears in frame 40; once a second the image is searched thoroughly"
    assert text == (
        f"Two faces are seen in a.mp4 from {frame / 25:.1f} s (frame {frame}): crop or cut the clip to one person."
    )


def test_a_small_face_in_the_background_is_only_reported(tmp_path, clips, speaker_frames, audio):
    def both(image: np.ndarray) -> np.ndarray:
        canvas = np.full((512, 832, 3), (90, 110, 130), np.uint8)
        canvas[:, :512] = cv2.resize(image, (512, 512))
        canvas[40:152, 640:752] = cv2.resize(image, (112, 112), interpolation=cv2.INTER_AREA)
        return canvas

    path = clips.make(tmp_path / "a.mp4", map(both, speaker_frames[:80]), audio=audio)
    (warning,) = process(tmp_path / "ws", path)
    assert "A small face is seen in the background" in warning
    assert float(warning.split(" at ")[1].split(" s:")[0]) <= 1.0


def test_a_face_that_leaves_is_reported_with_its_times(tmp_path, clips, speaker_frames):
    images = [*speaker_frames[:50], *[EMPTY] * 50, *speaker_frames[50:]]
    path = clips.make(tmp_path / "a.mp4", images, audio=(clips.speech_like(6.0), 16000))
    (warning,) = process(tmp_path / "ws", path)
    assert warning.replace(f"{tmp_path}{os.sep}", "") == (
        "No face is seen from 2.0 s to 4.0 s of a.mp4 (frames 50 to 99): these frames are left out of training."
    )


def test_a_face_that_is_mostly_away(tmp_path, clips, speaker_frames, audio):
    path = clips.make(tmp_path / "a.mp4", [*[EMPTY] * 60, *speaker_frames[:40]], audio=audio)
    assert refused(FaceError, tmp_path / "ws", path) == (
        "A face is seen in only 40% of a.mp4, first at 2.4 s: cut the clip to the part in which the person faces the "
        "camera."
    )


def test_a_face_that_is_too_small(tmp_path):
    info = ClipInfo(tmp_path / "a.mp4", 1920, 1080, Fraction(25), 25.0, 4.0, 0.0, "h264", True)
    survey = Survey([index / 5 for index in range(20)], [[Face(900, 500, 30, 30, 0.9)]] * 20, 4.0, [])
    with pytest.raises(FaceError, match=r"is only 30 pixels tall: give a clip in which it has at least 48 pixels"):
        check_clip(info, survey, Reporter())


def test_no_audio_track(tmp_path, clips, speaker_frames):
    path = clips.make(tmp_path / "a.mp4", speaker_frames[:80])
    assert refused(AudioError, tmp_path / "ws", path) == (
        "a.mp4 has no audio: SyncTalk trains the lips on speech, so give a clip with audio."
    )


def test_silent_audio(tmp_path, clips, speaker_frames):
    path = clips.make(tmp_path / "a.mp4", speaker_frames[:80], audio=(np.zeros(51200, np.float32), 16000))
    assert refused(AudioError, tmp_path / "ws", path) == (
        "a.mp4 is silent (no signal at all): give a clip in which the person speaks."
    )


def test_no_image_track(tmp_path, shared):
    assert "has no video track" in refused(MediaError, tmp_path / "ws", shared / "speech" / "en-13s.wav")


def test_an_empty_file(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"")
    assert (
        refused(MediaError, tmp_path / "ws", path)
        == "a.mp4 is empty (0 bytes): copy it again from where it was recorded."
    )


def test_a_missing_file_and_a_folder(tmp_path):
    assert refused(MediaError, tmp_path / "ws", tmp_path / "a.mp4") == "a.mp4 does not exist: check the path."
    (tmp_path / "b.mp4").mkdir()
    assert "b.mp4 is a folder" in refused(MediaError, tmp_path / "ws", tmp_path / "b.mp4")


@pytest.mark.parametrize("text", ["Dear editor,\nthe clip follows – später.\n", "x", "ä" * 5000])
def test_a_renamed_text_file(tmp_path, text):
    path = tmp_path / "a.mp4"
    path.write_text(text, encoding="utf-8")
    assert refused(MediaError, tmp_path / "ws", path) == (
        "a.mp4 is a text file, not a video or audio file, despite its name: choose a video or audio file."
    )


def test_a_file_of_rubbish(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(np.random.default_rng(0).integers(0, 255, 5000, np.uint8).tobytes())
    assert "a.mp4 is not a readable video or audio file" in refused(MediaError, tmp_path / "ws", path)


def test_a_file_cut_off_before_its_index(tmp_path, clips, speaker_frames, audio):
    path = clips.make(tmp_path / "a.mp4", speaker_frames, audio=audio)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refused(MediaError, tmp_path / "ws", path) == (
        "a.mp4 is cut off: its index (moov) is missing, probably after an interrupted recording or copy. Copy it "
        "again from where it was recorded, or record it again."
    )


def test_a_file_cut_off_after_its_index(tmp_path, clips, speaker_frames, audio):
    from backend.media.encode import VideoWriter

    path = tmp_path / "a.mp4"
    with VideoWriter(path, 256, 256, audio=audio) as video:  # with its index in front
        for image in speaker_frames:
            video.write(image)
    path.write_bytes(path.read_bytes()[: round(path.stat().st_size * 0.6)])
    text = refused(MediaError, tmp_path / "ws", path)
    assert text.startswith("a.mp4 is cut off: it should last 4.0 s but its video ends at ")
    assert 1.0 < float(text.split("ends at ")[1].split(" s")[0]) < 3.5
    assert text.endswith("Copy it again, or export the readable part as a new clip.")


def test_damage_in_the_middle_is_reported(tmp_path, clips, speaker_frames, audio):
    path = clips.make(tmp_path / "a.mkv", speaker_frames, audio=audio, options={"g": "10", "crf": "10"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(1).integers(0, 255, 3000, np.uint8).tobytes()
    path.write_bytes(data)
    try:
        warnings = process(tmp_path / "ws", path)
    except MediaError as error:
        assert "cut off" in str(error)
    else:
        assert len(list((tmp_path / "ws" / "frames").iterdir())) >= 98
        assert all("damaged near" in warning for warning in warnings)


def test_a_one_second_clip(tmp_path, clips, speaker_frames):
    path = clips.make(tmp_path / "a.mp4", speaker_frames[:25], audio=(clips.speech_like(1.0), 16000))
    assert refused(MediaError, tmp_path / "ws", path) == (
        "a.mp4 lasts 1.0 s: give at least 3 s of speech, better a minute or more."
    )


def test_a_photograph(tmp_path, speaker_frames):
    cv2.imwrite(str(tmp_path / "a.png"), speaker_frames[0])
    assert "a.png is a single image, not a video" in refused(MediaError, tmp_path / "ws", tmp_path / "a.png")


def test_a_clip_that_is_refused_costs_nothing_that_was_there(tmp_path, clips, speaker_frames, audio):
    good = clips.make(tmp_path / "a.mp4", speaker_frames, audio=audio)
    process(tmp_path / "ws", good)
    before = (tmp_path / "ws" / "subject.json").read_bytes()
    bad = clips.make(tmp_path / "b.mp4", [EMPTY] * 80, audio=audio)
    with pytest.raises(FaceError):
        process(tmp_path / "ws", bad)
    assert (tmp_path / "ws" / "subject.json").read_bytes() == before
    assert len(list((tmp_path / "ws" / "frames").iterdir())) == 100
    assert len(read_audio(tmp_path / "ws" / "audio.wav")) == 64000


def test_a_workspace_of_a_newer_format(tmp_path, clips):
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "subject.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(
        WorkspaceError, match=r"was made by a newer SyncTalk \(workspace format 99, this one reads up to 2\)"
    ):
        process(tmp_path / "ws", tmp_path / "a.mp4")


@pytest.fixture
def mount(tmp_path):
    """Mount something on a new folder; where that is not allowed, the test skips."""
    mounted: list[Path] = []

    def do(*options: str) -> Path:
        folder = tmp_path / f"mount{len(mounted)}"
        folder.mkdir()
        if (
            not sys.platform.startswith("linux")
            or subprocess.run(["mount", *options, str(folder)], capture_output=True, check=False).returncode
        ):
            pytest.skip("needs the right to mount a file system")
        mounted.append(folder)
        return folder

    yield do
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=False)


def test_a_full_disk(tmp_path, clips, speaker_frames, audio, mount):
    path = clips.make(tmp_path / "a.mp4", speaker_frames, audio=audio)
    disk = mount("-t", "tmpfs", "-o", "size=1m", "none")
    with pytest.raises(StorageError) as caught:
        process(disk / "ws", path)
    assert str(caught.value).startswith(f"The disk is full while writing {disk / 'ws' / 'frames'}")
    assert str(caught.value).endswith(": free some space and run the same command again.")
    assert not list(disk.rglob(".*.tmp-*")), "no half file stays"
    # With room again, the next run resumes.
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    kept = (disk / "ws" / "frames" / "000000.jpg").stat().st_mtime_ns
    process(disk / "ws", path)
    assert len(list((disk / "ws" / "frames").iterdir())) == 100
    assert (disk / "ws" / "frames" / "000000.jpg").stat().st_mtime_ns == kept


def test_a_read_only_workspace(tmp_path, clips, speaker_frames, audio, mount):
    path = clips.make(tmp_path / "a.mp4", speaker_frames, audio=audio)
    disk = mount("-t", "tmpfs", "-o", "size=64m", "none")
    Workspace.create(disk / "ws")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StorageError, match=r"cannot be written to \(read-only\): choose another folder"):
        process(disk / "ws", path)
    with pytest.raises(StorageError, match=r"cannot be written to \(read-only\): choose another folder"):
        process(disk / "new", path)
