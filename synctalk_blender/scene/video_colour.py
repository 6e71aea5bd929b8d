"""Colour tags for MP4 and MOV videos that Blender writes without them, so that players show the colours that were rendered.

Measured (docs/scene.md): up to 4.3 every codec is coded with the matrix of BT.601, for any size, and not tagged, and
players take BT.709 for large images. From 4.5 on videos are BT.709, and tagged, but for the frames of ProRes. Boxes are those of
ISO/IEC 14496-12 and the QuickTime File Format; ProRes frame headers those of SMPTE RDD 36. No `bpy`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from .video_note import box, change_index, children

_BT709, _UNKNOWN, _BT601 = 1, 2, 6
_PRORES = (b"apcn", b"apch", b"apcs", b"apco", b"ap4h", b"ap4x")
_RGB = (b"rle ", b"png ", b"raw ", b"MPNG")
_ENTRY = 78
"""Bytes of a visual sample entry before the boxes within it."""
_WAY = (b"mdia", b"minf", b"stbl")


def tag_colours(path: Path) -> None:
    """Tag the video's video with the primaries and transfer of BT.709, and the matrix that Blender coded it with.

    Existing tags are kept. A video whose index is not its last box is left alone.
    """
    with open(path, "rb") as file:
        is_quicktime = file.read(12)[8:] == b"qt  "
    prores: list[dict[bytes, bytes]] = []

    def change(moov: bytes) -> bytes:
        return box(b"moov", _replaced(moov[8:], b"trak", lambda track: _tagged_track(track, is_quicktime, prores)))

    change_index(path, change)
    for tables in prores:
        _tag_frames(path, tables)


def _tagged_track(track: bytes, is_quicktime: bool, prores: list[dict[bytes, bytes]]) -> bytes:
    """A `trak` with tags, where it is of video; `prores` gets the sample tables of one in ProRes."""
    media = dict(children(track)).get(b"mdia", b"")
    if dict(children(media)).get(b"hdlr", b"")[8:12] != b"vide":
        return track

    def descend(body: bytes, way: tuple[bytes, ...]) -> bytes:
        if way:
            return _replaced(body, way[0], lambda inner: descend(inner, way[1:]))
        tables = dict(children(body))
        size, codec = struct.unpack_from(">I4s", tables[b"stsd"], 8)
        if codec in _PRORES:
            prores.append(tables)
        entry = box(codec, _tagged_description(codec, tables[b"stsd"][16 : 8 + size], is_quicktime))
        described = tables[b"stsd"][:8] + entry + tables[b"stsd"][8 + size :]
        return _replaced(body, b"stsd", lambda _: described)

    return descend(track, _WAY)


def _tagged_description(codec: bytes, description: bytes, is_quicktime: bool) -> bytes:
    """A sample entry's contents with a `colr` box; unchanged where it has one that says something, or is RGB."""
    boxes = list(children(description[_ENTRY:]))
    known = dict(boxes).get(b"colr", b"")
    is_known = len(known) >= 10 and struct.unpack_from(">HHH", known, 4) != (_UNKNOWN,) * 3
    if is_known or codec in _RGB:
        return description
    matrix = _BT709 if codec in _PRORES else _BT601
    kind, full_range = (b"nclc", b"") if is_quicktime else (b"nclx", b"\0")
    colour = kind + struct.pack(">HHH", _BT709, _BT709, matrix) + full_range
    kept = b"".join(box(name, body) for name, body in boxes if name != b"colr")
    return description[:_ENTRY] + kept + box(b"colr", colour)


def _replaced(body: bytes, kind: bytes, change: Callable[[bytes], bytes]) -> bytes:
    return b"".join(box(name, change(inner) if name == kind else inner) for name, inner in children(body))


def _tag_frames(path: Path, tables: dict[bytes, bytes]) -> None:
    """Tag each ProRes frame as well: decoders take the frame's word over the index's."""
    with open(path, "r+b") as file:
        for place in _frame_places(tables):
            file.seek(place)
            head = file.read(25)
            if head[4:8] == b"icpf" and set(head[22:25]) <= {0, _UNKNOWN}:
                file.seek(place + 22)
                file.write(bytes((_BT709, _BT709, _BT709)))


def _frame_places(tables: dict[bytes, bytes]) -> Iterator[int]:
    """Where in the file each frame begins."""
    same, count = struct.unpack_from(">II", tables[b"stsz"], 4)
    sizes = [same] * count if same else struct.unpack_from(f">{count}I", tables[b"stsz"], 12)
    name, code = (b"stco", "I") if b"stco" in tables else (b"co64", "Q")
    (chunks,) = struct.unpack_from(">I", tables[name], 4)
    starts = struct.unpack_from(f">{chunks}{code}", tables[name], 8)
    (runs,) = struct.unpack_from(">I", tables[b"stsc"], 4)
    in_chunk = [struct.unpack_from(">III", tables[b"stsc"], 8 + 12 * run)[:2] for run in range(runs)]
    frame = 0
    for number, start in enumerate(starts, 1):
        place = start
        for _ in range(next(per for first, per in reversed(in_chunk) if first <= number)):
            yield place
            place += sizes[frame]
            frame += 1
