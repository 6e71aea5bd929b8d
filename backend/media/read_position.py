"""Which file is being read, and where in it: for the sentence when reading fails, or ends the process that reads."""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

_SIZE = 4096
_HEAD = struct.Struct("<dI")

_path, _time_s = "", math.nan
_shared: mmap.mmap | None = None


def reading(path: str, time_s: float = math.nan) -> None:
    """Note that `path` is being read near `time_s`; costs a microsecond."""
    global _path, _time_s
    if _shared is not None:
        if path != _path:
            name = path.encode("utf-8", "surrogateescape")[: _SIZE - _HEAD.size]
            _shared[_HEAD.size : _HEAD.size + len(name)] = name
            _HEAD.pack_into(_shared, 0, time_s, len(name))
        else:
            struct.pack_into("<d", _shared, 0, time_s)
    _path, _time_s = path, time_s


def near(path: str) -> str:
    """`` near 12.3 s`` when that is known of the file, else empty."""
    return _in_words(_time_s) if path == _path else ""


def create_shared(file: Path) -> None:
    """Make the file through which a process shares its position with another."""
    file.write_bytes(_HEAD.pack(math.nan, 0).ljust(_SIZE, b"\0"))


def share_in(file: Path) -> None:
    """From now on keep the position in `file` as well, made by `create_shared`: it is there when this process is not."""
    global _shared
    with open(file, "r+b") as opened:
        _shared = mmap.mmap(opened.fileno(), _SIZE)


def shared_position(file: Path) -> tuple[str, str]:
    """The other process's last file (empty when it had none), and `near` of it."""
    data = file.read_bytes()
    time_s, length = _HEAD.unpack_from(data)
    return data[_HEAD.size : _HEAD.size + length].decode("utf-8", "surrogateescape"), _in_words(time_s)


def _in_words(time_s: float) -> str:
    return f" near {max(time_s, 0):.1f} s" if math.isfinite(time_s) else ""
