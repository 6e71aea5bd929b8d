"""A clip's stored frames come in any order, each the one that its number names."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from backend.errors import MediaError
from backend.media import stored
from backend.media.samples import RGB8
from backend.media.stored import Wanted, read_stored, stored_frames
from backend.workspace.subject import AS_STORED

RATE = Fraction(25)


@pytest.fixture(scope="module")
def clip(tmp_path_factory, clips):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return clips.make(path, [clips.numbered(number) for number in range(150)], options={"crf": "10", "g": "30"})


@pytest.mark.parametrize("held_bytes", [1, 10 * 3 * 64 * 64, 2**28])
def test_frames_come_in_any_order(clip, clips, monkeypatch, held_bytes):
    """Forwards, backwards, held, and with jumps, whatever number of frames fits into memory."""
    monkeypatch.setattr(stored, "_HELD_BYTES", held_bytes)
    plan = [0, 1, 2, 2, 2, 3, 140, 139, 138, 137, 20, 21, 149, 149, 5, *range(60, 40, -1), *range(40, 60)]
    found = [np.dstack(planes) for planes in stored_frames(clip, AS_STORED, RATE, Wanted(RGB8, (64, 64)), plan)]
    assert [clips.number_of(image) for image in found] == plan


def test_frames_are_held_where_they_come_again_and_read_on_where_they_do_not(clip, monkeypatch):
    """Each is decoded when it is asked for: a clip that is played forwards holds none."""
    read, opened = [], []
    delivered, iterated = stored._StoredFrame.delivered, stored._StoredReader.__iter__
    monkeypatch.setattr(stored._StoredFrame, "delivered", lambda self, *of: read.append(1) or delivered(self, *of))
    monkeypatch.setattr(stored._StoredReader, "__iter__", lambda self: opened.append(1) or iterated(self))
    monkeypatch.setattr(stored, "_HELD_BYTES", 10 * 3 * 64 * 64)
    plan = [*range(20), *range(18, -1, -1)]
    frames = stored_frames(clip, AS_STORED, RATE, Wanted(RGB8, (64, 64)), plan)
    for count in range(1, 21):
        next(frames)
        assert len(read) == count
    assert len(opened) == 1
    assert len(list(frames)) == 19
    assert len(read) == 20 + 14, "five are held, the others read again"
    assert len(opened) == 3, "ten, then four"


def test_a_clip_that_has_become_shorter_is_reported(clip):
    with pytest.raises(MediaError, match="ends at frame 150, before frame 200: process it again"):
        list(stored_frames(clip, AS_STORED, RATE, Wanted(RGB8, (64, 64)), [0, 200]))


def test_what_is_not_tagged_is_stated_as_it_is_meant(clip, clips, tmp_path):
    found = read_stored(clip, AS_STORED)
    assert (found.samples.matrix, found.primaries, found.transfer) == (6, 6, 6), "BT.601 below 720 lines"
    tall = clips.make(tmp_path / "tall.mp4", [np.full((720, 960, 3), 90, np.uint8)] * 2)
    found = read_stored(tall, AS_STORED)
    assert (found.samples.matrix, found.primaries, found.transfer) == (1, 1, 1)
