"""Lock files: the exact packages of an environment, for every platform and Python version at once.

`locks/NAME.txt` is a requirements file that uv reads as it is: a pin a line, with its marker and the SHA-256 of every
wheel that may be chosen. Comments at its head hold what is downloaded for each platform and Python version and, for
Windows, the longest path that a package becomes from site-packages on. `python3 install lock` writes them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from . import platforms
from .errors import PackageError

FOLDER = Path(__file__).resolve().parent / "locks"

EXTRAS = {
    "triton": ("linux",),
    "ray": ("linux", "windows", "macos"),
    "opencolorio": ("linux", "windows", "macos"),
}
"""Packages that are not in the backend's environment, each tested in one of its own that has it, and the platforms of its wheels:
Triton, which torch's builds for CUDA bring along, and Ray and OpenColorIO, which a user may add."""

_MODULES = {"opencolorio": "PyOpenColorIO"}
"""What packages of `EXTRAS` are imported as, where that is not their name."""

PIN = re.compile(r"([a-z0-9.-]+)==(\S+)(?: ; ([^#]+?))?((?: --hash=sha256:[0-9a-f]{64})+)(?: # for \S+)?")
_FOR = re.compile(r" # for (\S+)$")
_SIZES = re.compile(
    r"# (?P<environment>\S+) (?P<platform>\w+) (?P<python>3\.\d+): (?P<packages>\d+) packages, (?P<bytes>\d+) bytes"
    r"(?:, longest path (?P<longest>\d+))?"
)


@dataclass(frozen=True)
class Lock:
    """An environment's pins, and what they come to on this platform with one Python version.

    Attributes:
        text: the pins, as uv reads them.
        packages: how many are installed.
        download_size: the sum of their wheels, bytes.
        longest_path: characters, from site-packages on; 0 on platforms without a limit.
    """

    text: str
    packages: int
    download_size: int
    longest_path: int

    @property
    def sha256(self) -> str:
        """Of the pins: sizes do not count."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def path_of(environment: str, folder: Path = FOLDER) -> Path:
    """The lock file of an environment; all Blender versions share one."""
    return folder / f"{environment.partition('-')[0]}.txt"


def with_extra(package: str) -> str:
    """The name of the backend's environment that has a package of `EXTRAS`."""
    return f"backend-{package}"


def module_of(package: str) -> str:
    """What a package of `EXTRAS` is imported as."""
    return _MODULES.get(package, package)


def only_for(line: str, environment: str) -> str:
    """A line of a lock file or its source that belongs to `environment` alone."""
    return f"{line} # for {environment}"


def belongs(line: str, environment: str) -> bool:
    """Whether a line of a lock file, or of its source, is for `environment`: one may name its environment, and each Blender
    version takes its own `bpy`."""
    if found := _FOR.search(line):
        return found[1] == environment
    return not line.startswith("bpy==") or line.startswith(f"bpy=={environment.partition('-')[2]}.")


def read(environment: str, python: tuple[int, int], folder: Path = FOLDER, platform: str | None = None) -> Lock:
    """The lock of `environment` ("backend", "blender-5.0") for a Python version, on this platform unless named.

    Raises:
        PackageError: there is none for that version, or a line of it is not a pin.
    """
    path = path_of(environment, folder)
    wanted = (environment, platform or platforms.name(), f"{python[0]}.{python[1]}")
    pins, sizes = [], None
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        found = _SIZES.fullmatch(line)
        if found and found.group("environment", "platform", "python") == wanted:
            sizes = found
        if not line or line.startswith("#") or not belongs(line, environment):
            continue
        pin = _FOR.sub("", line)
        if not PIN.fullmatch(pin):
            raise PackageError(f"{path} is damaged at line {number}: restore it (git checkout {path}).")
        pins.append(pin)
    if sizes is None:
        raise PackageError(
            f"Python {wanted[2]} is not supported by {path.name}: use a version that it lists (--python)."
        )
    return Lock("\n".join(pins) + "\n", int(sizes["packages"]), int(sizes["bytes"]), int(sizes["longest"] or 0))
