"""The comment in an MP4: there, in one piece, and nothing else changed."""

from __future__ import annotations

import struct

import pytest


@pytest.fixture(scope="module")
def video_note(import_part):
    return import_part("synctalk_blender.scene.video_note")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


HEAD = box(b"ftyp", b"isom") + box(b"mdat", b"pictures")
TRACK = box(b"trak", b"a track")


def test_a_comment_is_added_once_and_the_rest_stays(video_note, tmp_path):
    path = tmp_path / "video.mp4"
    title = box(b"\xa9nam", box(b"data", struct.pack(">II", 1, 0) + b"title"))
    listed = box(b"meta", bytes(4) + box(b"hdlr", bytes(25)) + box(b"ilst", title))
    path.write_bytes(HEAD + box(b"moov", TRACK + box(b"udta", listed)))
    assert video_note.add_comment(path, "first")
    assert video_note.add_comment(path, "Synthetic — ja")
    data = path.read_bytes()
    assert data.startswith(HEAD)
    assert TRACK in data
    assert title in data
    assert "Synthetic — ja".encode() in data
    assert b"first" not in data
    moov = data[len(HEAD) :]
    assert struct.unpack(">I", moov[:4])[0] == len(moov)


@pytest.mark.parametrize("data", [b"", b"no video at all", box(b"moov", TRACK) + HEAD])
def test_a_file_whose_index_is_not_last_is_left_alone(video_note, tmp_path, data):
    path = tmp_path / "video.mp4"
    path.write_bytes(data)
    assert not video_note.add_comment(path, "note")
    assert path.read_bytes() == data
