"""Numeric arrays out of a MATLAB file of level 5 (MathWorks, "MAT-File Format"): what `-v6` and `-v7` write.

SciPy's `loadmat` ends the process with a segmentation fault on some damaged files (1.17.1: a data type out of range); a
file that somebody was sent must not be able to do that to the backend. Only named, real, dense arrays are read; nothing
in a file is ever run.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x08
_START = 256
"""Bytes of an array that hold its class, shape and name: far more than it takes."""

_LONGEST = 1 << 31


class MatFileError(ValueError):
    """The file is damaged, or of another kind; the text says which."""


def read_mat_arrays(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Those of the arrays `names` that the file holds, in their MATLAB shape.

    Raises:
        MatFileError: the file is no MAT file of level 5, or is damaged up to the last array asked for.
        OSError: it cannot be read.
    """
    found: dict[str, np.ndarray] = {}
    with path.open("rb") as file:
        head = file.read(128)
        if len(head) < 128 or head[126:] not in (b"IM", b"MI"):
            raise MatFileError("it is no MATLAB file")
        order = "<" if head[126:] == b"IM" else ">"
        if struct.unpack(order + "H", head[124:126])[0] != 0x0100:
            raise MatFileError("it is a MATLAB 7.3 file, and only older kinds are read: save it with -v7")
        for start, rest in _matrices(file, order):
            name = _name(start, order)
            if name in names:
                found[name] = _array(start + rest(), order)
            if len(found) == len(names):
                break
    return found


def _matrices(file: BinaryIO, order: str) -> Iterator[tuple[bytes, Callable[[], bytes]]]:
    """The start of each array's bytes, and a function that gives the others."""
    while True:
        tag = file.read(8)
        if not tag:
            return
        if len(tag) < 8:
            raise MatFileError("it ends within an array")
        kind, length = struct.unpack(order + "II", tag)
        begin = file.tell()
        if kind == _MATRIX:
            start = file.read(min(_START, length))
            yield start, partial(_exactly, file, length - len(start))
        elif kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            start = _inflate(unpacker, _exactly(file, length), 8 + _START)
            if len(start) < 8:
                raise MatFileError("it ends within an array")
            inner, size = struct.unpack(order + "II", start[:8])
            # One byte more than there may be, so that the checksum behind them is looked at.
            yield start[8:] if inner == _MATRIX else b"", partial(_inflate, unpacker, None, size + 1)
        else:
            raise MatFileError("it holds something other than arrays")
        file.seek(begin + length)


def _exactly(file: BinaryIO, length: int) -> bytes:
    if length > _LONGEST:
        raise MatFileError("an array is too long")
    data = file.read(length)
    if len(data) < length:
        raise MatFileError("it ends within an array")
    return data


def _inflate(unpacker, packed: bytes | None, most: int) -> bytes:
    """At most `most` bytes; None goes on with what was left."""
    if most > _LONGEST:
        raise MatFileError("an array is too long")
    try:
        return unpacker.decompress(unpacker.unconsumed_tail if packed is None else packed, most)
    except zlib.error as error:
        raise MatFileError("an array does not unpack") from error


def _element(data: bytes, at: int, order: str) -> tuple[int, int, int, int]:
    """Kind, place and length of the element at `at`, and where the next one begins."""
    if at + 8 > len(data):
        raise MatFileError("it ends within an array")
    kind, length = struct.unpack_from(order + "II", data, at)
    if kind >> 16:  # small elements carry their length in the same word, and four bytes of data in the next
        return kind & 0xFFFF, at + 4, min(kind >> 16, 4), at + 8
    return kind, at + 8, length, at + 8 + -(-length // 8) * 8


def _name(start: bytes, order: str) -> str | None:
    """The array's name; None where it is no array of real numbers."""
    if len(start) < 16:
        return None
    _, place, length, at = _element(start, 0, order)
    if length != 8:
        return None
    flags = struct.unpack_from(order + "I", start, place)[0]
    if flags & 0xFF not in _NUMERIC_CLASSES or (flags >> 8) & _COMPLEX:
        return None
    at = _element(start, at, order)[3]
    _, place, length, _ = _element(start, at, order)
    return start[place : place + length].decode("latin-1")


def _array(data: bytes, order: str) -> np.ndarray:
    at = _element(data, 0, order)[3]
    _, place, length, at = _element(data, at, order)
    if length % 4 or place + length > len(data):
        raise MatFileError("an array's shape is damaged")
    shape = struct.unpack_from(f"{order}{length // 4}i", data, place)
    at = _element(data, at, order)[3]
    kind, place, length, _ = _element(data, at, order)
    if kind not in _NUMBERS:
        raise MatFileError("an array's kind of number is unknown")
    numbers = np.dtype(order + _NUMBERS[kind])
    count = 1
    for side in shape:
        count *= side
    if not shape or min(shape) < 0 or count * numbers.itemsize != length or place + length > len(data):
        raise MatFileError("an array's size and shape disagree")
    flat = np.frombuffer(data, numbers, count, place)
    return flat.reshape(shape, order="F").astype(numbers.newbyteorder("="))
