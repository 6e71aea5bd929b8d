"""Text of a file, whatever program wrote it."""

from __future__ import annotations

import codecs
from pathlib import Path

from ...errors import CaptureError

MAX_BYTES = 512 * 1024 * 1024
"""Two hours of a Live Link take at 60 frames a second; a larger file is something else."""

_BOMS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Longest first where one begins another."""


def read_text(path: Path) -> str:
    """The text, less its byte order mark; UTF-8 unless that mark states another, or Latin-1 where it is not UTF-8.

    Raises:
        CaptureError: it cannot be opened, is empty, too large, or is no text.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CaptureError(f"{path} is larger than {MAX_BYTES >> 20} MB: export a shorter take.")
        data = path.read_bytes()
    except OSError as error:
        raise CaptureError(f"{path} cannot be read ({error.strerror}): check the path and its permissions.") from error
    for mark, encoding in _BOMS.items():
        if data.startswith(mark):
            text = data[len(mark) :].decode(encoding, "replace")
            break
    else:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    if "\0" in text:
        raise CaptureError(
            f"{path} is no text: give a Live Link Face CSV, Audio2Face JSON, USD, BVH, or CSV or JSON of ARKit's names."
        )
    if not text.strip():
        raise CaptureError(f"{path} is empty: export the take again.")
    return text
