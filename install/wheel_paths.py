"""How long the paths of an installation are, and whether the system takes them; known before anything is downloaded.

Windows takes paths of 259 characters, unless long paths are turned on. The longest path inside each wheel is in the lock.
"""

from __future__ import annotations

import io
import re
import urllib.request
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePath

from .errors import PathError

WINDOWS_LIMIT = 259
"""Characters of a path on Windows: MAX_PATH is 260 and counts the terminating NUL."""

_SITE_PACKAGES = len("\\Lib\\site-packages\\")
_CACHED = len("/__pycache__/") - 1 + len(".cpython-311.pyc") - len(".py")
_WHILE_WRITTEN = len(".140234567890123")
"""Python writes a compiled module beside its place first, under its name and a number."""

_PIPS_OWN = 100
"""No path of pip and of `venv` itself, in site-packages, is longer (pip 25: 83)."""


def longest_installed(names: Iterable[str]) -> int:
    """The longest path, from site-packages on, that a wheel with these members becomes, compiled modules included."""
    longest = 0
    for name in names:
        # Scripts and data land higher up; counting them from site-packages on is long enough.
        path = re.sub(r"^[^/]+\.data/[^/]+/", "", name)
        longest = max(longest, len(path) + (_CACHED + _WHILE_WRITTEN if path.endswith(".py") else 0))
    return longest


def longest_path(folder: PurePath, inside: Iterable[int]) -> int:
    """Characters of the longest path that an environment in `folder` holds, on Windows.

    Args:
        inside: the longest path of each wheel, from site-packages on.
    """
    return len(str(folder)) + _SITE_PACKAGES + max(_PIPS_OWN, *inside)


def check(folder: PurePath, inside: Iterable[int]) -> None:
    """Raise `PathError` where an environment in `folder` does not fit Windows' limit."""
    over = longest_path(folder, inside) - WINDOWS_LIMIT
    if over > 0:
        raise PathError(
            f"{folder} is {over} characters too long: Windows takes paths of {WINDOWS_LIMIT}, and the packages' own reach "
            f"{WINDOWS_LIMIT + over} in it. Choose a folder of at most {len(str(folder)) - over} characters (the add-on's "
            "preferences; --root in a terminal), or turn on long paths in Windows, and try again."
        )


def check_letters(folder: PurePath) -> None:
    """Raise `PathError` where `folder` has letters beyond ASCII, for a Windows whose code page is not UTF-8."""
    if not str(folder).isascii():
        raise PathError(
            f"{folder} has letters that MediaPipe cannot open on Windows: choose a folder of plain letters A to Z, such as "
            "C:\\SyncTalk (the add-on's preferences; --root in a terminal), and try again."
        )


def members(url: str) -> list[str]:
    """The names of a wheel's files at `url`, of which only the directory at its end is downloaded where that can be."""
    with zipfile.ZipFile(io.BufferedReader(_Remote(url), 1 << 16)) as wheel:
        return wheel.namelist()


def members_of(path: Path) -> list[str]:
    """The names of a wheel's files on disk."""
    with zipfile.ZipFile(path) as wheel:
        return wheel.namelist()


class _Remote(io.RawIOBase):
    """A file on a web server, read in parts."""

    def __init__(self, url: str) -> None:
        self._url, self._at = url, 0
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
            self._size = int(answer.headers["Content-Length"])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def readinto(self, buffer) -> int:
        first, beyond = self._at, min(self._at + len(buffer), self._size)
        if first >= beyond:
            return 0
        request = urllib.request.Request(self._url, headers={"Range": f"bytes={first}-{beyond - 1}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            if answer.status != 206:  # a server that knows no ranges sends the whole file
                answer.read(first)
            data = answer.read(beyond - first)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
