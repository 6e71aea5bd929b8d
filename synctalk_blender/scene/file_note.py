"""A note in the metadata of TIFF, WebP and AVI files that Blender has written, which leaves it out of these. No `bpy` here.

TIFF: the tag ImageDescription (TIFF 6.0). WebP: an XMP packet (RFC 9649, section 2.7.1.5). AVI: ICMT in a LIST INFO, where
FFmpeg leaves room for tags before the frames. MP4 videos are `video_note`'s.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

_LARGEST_IMAGE = 1 << 30


def add_note(path: Path, text: str) -> bool:
    """Write `text` into the file's metadata; whether its format and the file have a place for it.

    Images are replaced as a whole, by a finished file. An AVI is changed in place, where its padding was, in one write.
    """
    with open(path, "rb") as file:
        start = file.read(12)
    if start[:4] == b"RIFF" and start[8:] == b"AVI ":
        return _note_avi(path, text)
    change = _with_tiff_note if start[:4] in (b"II*\0", b"MM\0*") else None
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        change = _with_webp_note
    if change is None or path.stat().st_size > _LARGEST_IMAGE:
        return False
    data = change(path.read_bytes(), text)
    if data is None:
        return False
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return True


# -- TIFF ---------------------------------------------------------------------------------------------------------------

_IMAGE_DESCRIPTION, _ASCII = 270, 2


def _with_tiff_note(data: bytes, text: str) -> bytes | None:
    """The first directory again at the end, with the description in it; the old one stays as unused bytes."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    entries = [data[start + 2 + 12 * i : start + 14 + 12 * i] for i in range(count)]
    (following,) = struct.unpack_from(f"{order}I", data, start + 2 + 12 * count)
    value = text.encode("utf-8") + b"\0"
    data += bytes(len(data) % 2)
    entries = [entry for entry in entries if struct.unpack(f"{order}H", entry[:2])[0] != _IMAGE_DESCRIPTION]
    entries.append(struct.pack(f"{order}HHII", _IMAGE_DESCRIPTION, _ASCII, len(value), len(data)))
    entries.sort(key=lambda entry: struct.unpack(f"{order}H", entry[:2])[0])
    data += value + bytes(len(value) % 2)
    directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries) + struct.pack(f"{order}I", following)
    return data[:4] + struct.pack(f"{order}I", len(data)) + data[8:] + directory


# -- WebP ---------------------------------------------------------------------------------------------------------------

_ALPHA, _XMP = 0x10, 0x04
_PACKET = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description><rdf:Alt>'
    '<rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt></dc:description></rdf:Description></rdf:RDF></x:xmpmeta>'
)


def _with_webp_note(data: bytes, text: str) -> bytes | None:
    chunks = [(kind, body) for kind, body in _chunks(data, 12) if kind != b"XMP "]
    if not chunks:
        return None
    if chunks[0][0] != b"VP8X":
        header = _extended_header(*chunks[0])
        if header is None:
            return None
        chunks.insert(0, (b"VP8X", header))
    extended = bytearray(chunks[0][1])
    extended[0] |= _XMP
    chunks[0] = b"VP8X", bytes(extended)
    chunks.append((b"XMP ", _PACKET.format(escape(text)).encode("utf-8")))
    body = b"WEBP" + b"".join(_chunk(kind, content) for kind, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended_header(kind: bytes, body: bytes) -> bytes | None:
    """The contents of the VP8X chunk of a file that has a simple one; None when that is damaged."""
    if kind == b"VP8L" and body[:1] == b"\x2f":
        (bits,) = struct.unpack_from("<I", body, 1)
        width, height, flags = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, _ALPHA if bits >> 28 & 1 else 0
    elif kind == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", body, 6))
        flags = 0
    else:
        return None
    return bytes((flags, 0, 0, 0)) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


# -- AVI ----------------------------------------------------------------------------------------------------------------


def _note_avi(path: Path, text: str) -> bool:
    value = text.encode("utf-8") + b"\0"
    listed = _chunk(b"LIST", b"INFO" + _chunk(b"ICMT", value))
    with open(path, "r+b") as file:
        head = file.read(1 << 20)
        start = 12
        for kind, body in _chunks(head, 12):
            if kind == b"LIST" and body[:4] == b"movi":
                return False
            if kind == b"LIST" and body[:4] == b"INFO" and value in body:
                return True
            room = len(body) - len(listed) - 8
            if kind == b"JUNK" and room >= 0:
                file.seek(start)
                file.write(listed + struct.pack("<4sI", b"JUNK", len(body) - len(listed)))
                return True
            start += 8 + len(body) + len(body) % 2
    return False


def _chunks(data: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    while start + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, start)
        yield kind, data[start + 8 : start + 8 + size]
        start += 8 + size + size % 2


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
