"""A comment in the metadata of an MP4 video. Blender's own note does not reach MP4 files, whose tags are a fixed set.

Boxes are those of ISO/IEC 14496-12; the comment is the item `©cmt` of `moov/udta/meta/ilst`, which players show. No `bpy`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

_COMMENT = b"\xa9cmt"


def add_comment(path: Path, text: str) -> bool:
    """Write `text` as the video's comment; whether it could be."""
    return change_index(path, lambda moov: _with_comment(moov, text))


def change_index(path: Path, change: Callable[[bytes], bytes]) -> bool:
    """Replace the video's index (`moov`) by what `change` makes of it; whether it could be.

    It can be where the index is the last box, as in the videos that Blender writes: there it grows without anything having to
    move. The index is replaced in one write at the end of the file.
    """
    with open(path, "r+b") as file:
        found = list(_top_boxes(file))
        if not found or found[-1][0] != b"moov" or found[-1][2] > 1 << 26:
            return False
        _, start, size = found[-1]
        file.seek(start)
        moov = file.read(size)
        changed = change(moov)
        if changed != moov:
            file.seek(start)
            file.write(changed)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
    return True


def _top_boxes(file) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and size of each box of the file."""
    end = file.seek(0, os.SEEK_END)
    start = 0
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        elif size == 0:
            size = end - start
        if size < 8 or start + size > end:
            return
        yield kind, start, size
        start += size


def _with_comment(moov: bytes, text: str) -> bytes:
    data = box(b"data", struct.pack(">II", 1, 0) + text.encode())  # 1: UTF-8
    items = {kind: body for kind, body in children(_descend(moov)) if kind != _COMMENT}
    listed = box(b"ilst", b"".join(box(kind, body) for kind, body in items.items()) + box(_COMMENT, data))
    handler = box(b"hdlr", struct.pack(">IIIIIIB", 0, 0, 0x6D646972, 0x6170706C, 0, 0, 0))  # mdir, appl
    user_data = box(b"udta", box(b"meta", struct.pack(">I", 0) + handler + listed))
    rest = [(kind, body) for kind, body in children(moov[8:]) if kind != b"udta"]
    return box(b"moov", b"".join(box(kind, body) for kind, body in rest) + user_data)


def _descend(moov: bytes) -> bytes:
    """The contents of `moov/udta/meta/ilst`, empty when there is none."""
    body = moov[8:]
    for kind in (b"udta", b"meta", b"ilst"):
        body = dict(children(body)).get(kind, b"")
        if kind == b"meta":
            body = body[4:]  # version and flags
    return body


def children(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 0
    while start + 8 <= len(body):
        size, kind = struct.unpack_from(">I4s", body, start)
        if size < 8:
            return
        yield kind, body[start + 8 : start + size]
        start += size


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body
