"""The container of binary glTF 2.0: a header, the JSON, and one binary part (specification, section 4). No `bpy` here."""

from __future__ import annotations

import json
import struct
from typing import Any

_MAGIC, _JSON, _BINARY = b"glTF", b"JSON", b"BIN\0"


def pack(tree: dict[str, Any], content: bytes | bytearray) -> bytes:
    """The file of a JSON tree and the binary part; both are padded to four bytes, as the specification has it."""
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 4)
    content = bytes(content) + b"\0" * (-len(content) % 4)
    chunks = struct.pack("<I4s", len(text), _JSON) + text + struct.pack("<I4s", len(content), _BINARY) + content
    return struct.pack("<4sII", _MAGIC, 2, 12 + len(chunks)) + chunks


def unpack(data: bytes) -> tuple[dict[str, Any], bytearray]:
    """The JSON tree and the binary part of a file.

    Raises:
        ValueError: it is no binary glTF 2.0.
    """
    if len(data) < 20 or struct.unpack_from("<4sI", data) != (_MAGIC, 2):
        raise ValueError("no binary glTF 2.0")
    length, kind = struct.unpack_from("<I4s", data, 12)
    if kind != _JSON:
        raise ValueError("the first part is not JSON")
    return json.loads(data[20 : 20 + length]), bytearray(data[28 + length :])
