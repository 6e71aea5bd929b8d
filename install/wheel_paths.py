"""Whether the paths of an installation suit Windows, checked before any download.

Windows takes paths of 259 characters, unless long paths are turned on. How far packages reach is in the lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath

from .errors import PathError

WINDOWS_LIMIT = 259
"""Characters of a path on Windows: MAX_PATH is 260 and counts the terminating NUL."""

_SITE_PACKAGES = len("\\Lib\\site-packages\\")
_COMPILED = len("/__pycache__/") - 1 + len(".cpython-311.pyc") - len(".py") + len(".140234567890123")
"""What Python adds to a module's path: it writes a compiled one beside its place first, under its name and a number."""


def longest_installed(names: Iterable[str]) -> int:
    """The longest path, from site-packages on, that these files of a wheel become, compiled modules included."""
    # Scripts and data land higher up; counting them from site-packages on is long enough.
    paths = [re.sub(r"^[^/]+\.data/[^/]+/", "", name) for name in names]
    return max((len(path) + (_COMPILED if path.endswith(".py") else 0) for path in paths), default=0)


def check(folder: PurePath, inside: Iterable[int]) -> None:
    """Raise `PathError` where packages whose longest paths, from site-packages on, are `inside` do not fit in `folder`."""
    over = len(str(folder)) + _SITE_PACKAGES + max(inside) - WINDOWS_LIMIT
    if over > 0:
        raise PathError(
            f"{folder} is {over} characters too long: Windows allows paths of {WINDOWS_LIMIT}, and the "
            f"packages need {WINDOWS_LIMIT + over}. Choose a folder of at most {len(str(folder)) - over} "
            "characters (in the add-on's preferences, or --root in a terminal), or turn on long paths in "
            "Windows, and try again."
        )


def check_letters(folder: PurePath) -> None:
    """Raise `PathError` where `folder` has letters beyond ASCII, for a Windows whose code page is not UTF-8."""
    if not str(folder).isascii():
        raise PathError(
            f"{folder} has letters that MediaPipe cannot open on Windows: choose a folder with only the "
            "letters A to Z, such as C:\\SyncTalk (in the add-on's preferences, or --root in a terminal), "
            "and try again."
        )
