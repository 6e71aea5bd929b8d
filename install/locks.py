"""Lock files: the exact packages of an environment, for one platform and one Python version.

`locks/<environment>-<platform>-<python>.txt` is a requirements file that pip reads as it is, every wheel with its
SHA-256; the comment behind each line is the wheel's size in bytes, so that a download can be announced beforehand, and, for
Windows, the longest path that it becomes from site-packages on (`wheel_paths`).
`python3 install lock` writes them from `locks/<environment>.in`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from . import platforms
from .errors import PackageError

FOLDER = Path(__file__).resolve().parent / "locks"

_LINE = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+)(?: --hash=sha256:[0-9a-f]{64})*(?:\s+# (?P<size>\d+)(?: (?P<longest>\d+))?)?$"
)


@dataclass(frozen=True)
class LockedPackage:
    """One package of a lock.

    Attributes:
        name: as pip normalises it.
        size: of its wheel, bytes.
        longest_path: characters of the longest path that its wheel becomes, from site-packages on; 0 where the lock does
            not say, for the platform has no limit.
    """

    name: str
    version: str
    size: int
    longest_path: int = 0


@dataclass(frozen=True)
class Lock:
    """A lock file that was read: its packages, and the SHA-256 of its text."""

    path: Path
    packages: tuple[LockedPackage, ...]
    sha256: str

    @property
    def download_size(self) -> int:
        """The sum of the wheels, in bytes."""
        return sum(package.size for package in self.packages)


def normalised(name: str) -> str:
    """A package's name as package indexes compare it (PEP 503): `scikit_image` becomes `scikit-image`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_path(environment: str, python: tuple[int, int], folder: Path = FOLDER) -> Path:
    """Where the lock of `environment` ("backend", "blender-5.0") for this platform and Python version is."""
    return folder / f"{environment}-{platforms.name()}-{python[0]}.{python[1]}.txt"


def read(path: Path) -> Lock:
    """Read a lock file.

    Raises:
        PackageError: there is none, or a line of it is not a locked package.
    """
    try:
        # Git may check the file out with other line ends; the lock is the same.
        text = path.read_bytes().replace(b"\r\n", b"\n")
    except FileNotFoundError:
        raise PackageError(
            f"There is no lock file {path.name}: take a Python version that {path.parent} has one for."
        ) from None
    packages = []
    for number, line in enumerate(text.decode("utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.match(line)
        if match is None:
            raise PackageError(f"{path} line {number} is not a locked package: check the file out again.")
        size, longest = int(match["size"] or 0), int(match["longest"] or 0)
        packages.append(LockedPackage(normalised(match["name"]), match["version"], size, longest))
    return Lock(path, tuple(packages), hashlib.sha256(text).hexdigest())
