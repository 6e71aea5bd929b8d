"""The full source frames for Blender: made only where the working frame is a part of them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.errors import MediaError
from backend.media.decode import frames
from backend.media.footage import write_footage
from backend.progress import Reporter
from backend.workspace.images import read_image
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop, Subject


@pytest.fixture
def cropped(tmp_path, clips) -> Workspace:
    """A workspace whose working frame is a part of a clip of 40 numbered images."""
    clip = clips.make(tmp_path / "clip.mp4", map(clips.numbered, range(40)), fps=30)
    subject = Subject(
        source=str(clip),
        source_sha256="a",
        source_size=(64, 64),
        rate=Fraction(30),
        frames=40,
        size=32,
        crop=Crop(8, 8, 32),
    )
    subject.stages["media"] = {"state": "done", "key": ""}
    return Workspace(tmp_path / "ws", subject)


def test_the_full_frame_is_the_working_frames_own(cropped):
    cropped.subject.size, cropped.subject.crop = 64, Crop(0, 0, 64)
    assert write_footage(cropped, Reporter()) == cropped.root / "frames" / "%06d.jpg"
    assert not (cropped.root / "footage").exists()


def test_every_working_frame_has_its_source_image(cropped, clips):
    pattern = write_footage(cropped, Reporter())
    shown = [clips.number_of(read_image(pattern.with_name(f"{index:06d}.jpg"))) for index in range(40)]
    assert shown == [clips.number_of(image) for _, image in frames(cropped.subject.source)]


def test_it_resumes_where_it_was_stopped(cropped):
    pattern = write_footage(cropped, Reporter())
    full = [pattern.with_name(f"{index:06d}.jpg").read_bytes() for index in range(40)]
    for index in range(20, 40):
        pattern.with_name(f"{index:06d}.jpg").unlink()
    kept = pattern.with_name("000019.jpg").stat().st_mtime_ns
    write_footage(cropped, Reporter())
    assert [pattern.with_name(f"{index:06d}.jpg").read_bytes() for index in range(40)] == full
    assert pattern.with_name("000019.jpg").stat().st_mtime_ns == kept


def test_another_clip_begins_again(cropped, tmp_path, clips):
    write_footage(cropped, Reporter())
    other = clips.make(tmp_path / "other.mp4", (clips.numbered(index + 100) for index in range(40)), fps=30)
    cropped.subject.source, cropped.subject.source_sha256 = str(other), "b"
    pattern = write_footage(cropped, Reporter())
    assert clips.number_of(read_image(pattern.with_name("000000.jpg"))) == 100


def test_a_clip_that_is_gone_or_shorter_is_reported(cropped, tmp_path, clips):
    cropped.subject.frames = 60
    with pytest.raises(MediaError, match=r"clip\.mp4 ends at frame 40, but 60 were tracked: process it again"):
        write_footage(cropped, Reporter())
    (tmp_path / "clip.mp4").unlink()
    with pytest.raises(MediaError, match=r"clip\.mp4 is missing: restore it"):
        write_footage(cropped, Reporter())
    assert np.all(read_image(cropped.root / "footage" / "000000.jpg").shape == (64, 64, 3))
