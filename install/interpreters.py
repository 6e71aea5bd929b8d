"""Find a Python that can hold an environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import PythonError
from .process import child_environment

_PROBE = """
import importlib.util, json, struct, sys, sysconfig
long_paths = all_letters = True
if sys.platform == "win32":
    # The registry's LongPathsEnabled and this executable's manifest both have to agree; Windows 10 and newer say so.
    import ctypes
    asked = getattr(ctypes.windll.ntdll, "RtlAreLongPathsEnabled", None)
    long_paths = bool(asked and asked() & 0xFF)
    all_letters = ctypes.windll.kernel32.GetACP() == 65001  # UTF-8 for programs that open files by narrow strings
print(json.dumps({
    "version": list(sys.version_info[:3]), "executable": sys.executable, "implementation": sys.implementation.name,
    "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")), "bits": struct.calcsize("P") * 8,
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")), "long_paths": long_paths,
    "all_letters": all_letters,
    "store": "WindowsApps" in sys.base_prefix,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """What a Python said of itself.

    Attributes:
        standard: the build that packages have wheels for, and not the Microsoft Store's: what that one writes to the
            user's folder for data goes to another place, where Blender does not see it.
        long_paths: whether it takes paths beyond Windows' limit of 260; true elsewhere.
        all_letters: whether its packages open paths with any letters, also those that open files by narrow strings of
            UTF-8, as MediaPipe does; true outside Windows, and there where the system's code page is UTF-8.
    """

    executable: Path
    version: tuple[int, int, int]
    has_venv: bool
    standard: bool
    long_paths: bool = True
    all_letters: bool = True

    def suits(self, versions: Sequence[tuple[int, int]]) -> bool:
        """Whether packages exist for it: a standard 64-bit CPython of one of `versions`."""
        return self.standard and self.version[:2] in versions

    def __str__(self) -> str:
        return f"Python {'.'.join(map(str, self.version))} ({self.executable})"


def find(
    versions: Sequence[tuple[int, int]],
    *,
    preferred: Path | None = None,
    purpose: str,
    best: Sequence[tuple[int, int]] = (),
) -> Path:
    """The executable of a Python of one of `versions` that can make virtual environments.

    Args:
        versions: (major, minor) pairs.
        preferred: the only one to be considered, if given. Else the running Python is, then those on the system.
        purpose: what it is for, as it stands in the error: "the SyncTalk backend".
        best: those of `versions` to look for first, before the running Python is taken.

    Raises:
        PythonError: there is none; the sentence says which to install, and how.
    """
    if best and preferred is None:
        for candidate in _candidates(best):
            found = probe(candidate)
            if found is not None and found.suits(best) and found.has_venv:
                return found.executable
    without_venv: Interpreter | None = None
    unsuitable: Interpreter | None = None
    for candidate in [preferred] if preferred else _candidates(versions):
        found = probe(candidate)
        if found is None:
            continue
        if not found.suits(versions):
            unsuitable = unsuitable or found
        elif not found.has_venv:
            without_venv = without_venv or found
        else:
            return found.executable
    raise PythonError(_advice(versions, preferred, purpose, without_venv, unsuitable))


def probe(executable: str | Path) -> Interpreter | None:
    """Ask `executable` what it is; None when it is no Python or does not run."""
    try:
        done = subprocess.run(
            [str(executable), "-I", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            env=child_environment(),
            check=True,
        )
        said = json.loads(done.stdout.decode("utf-8").strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    standard = said["implementation"] == "cpython" and said["bits"] == 64
    standard = standard and not said["free_threaded"] and not said.get("store")
    major, minor, micro = said["version"]
    return Interpreter(
        Path(said["executable"]),
        (major, minor, micro),
        said["venv"],
        standard,
        said.get("long_paths", True),
        said.get("all_letters", True),
    )


def _candidates(versions: Sequence[tuple[int, int]]) -> Iterator[str | Path]:
    """Paths worth a probe, the likeliest first; a path may repeat, or be no Python."""
    if sys.executable:
        yield sys.executable
    # 3.11 first: Blender's own version, and the one most packages are tried on.
    ordered = sorted(versions, key=lambda version: (version != (3, 11), version))
    for major, minor in ordered:
        for name in (f"python{major}.{minor}", f"python{major}.{minor}.exe"):
            on_path = shutil.which(name)
            if on_path:
                yield on_path
    for name in ("python3", "python"):
        on_path = shutil.which(name)
        if on_path:
            yield on_path
    home = Path.home()
    for major, minor in ordered:
        dotted = f"{major}.{minor}"
        if sys.platform == "win32":
            local = Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local"))
            programs = Path(os.environ.get("PROGRAMFILES", "C:/Program Files"))
            yield local / f"Programs/Python/Python{major}{minor}/python.exe"
            yield programs / f"Python{major}{minor}/python.exe"
            yield from sorted((local / "uv/python").glob(f"cpython-{dotted}.*/python.exe"), reverse=True)
        else:
            yield from (
                Path(f"{folder}/python{dotted}") for folder in ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin")
            )
            yield Path(f"/Library/Frameworks/Python.framework/Versions/{dotted}/bin/python{dotted}")
            yield from sorted((home / ".pyenv/versions").glob(f"{dotted}.*/bin/python{dotted}"), reverse=True)
            yield from sorted(
                (home / ".local/share/uv/python").glob(f"cpython-{dotted}.*/bin/python{dotted}"), reverse=True
            )


def _advice(
    versions: Sequence[tuple[int, int]],
    preferred: Path | None,
    purpose: str,
    without_venv: Interpreter | None,
    unsuitable: Interpreter | None,
) -> str:
    wanted = _in_words(versions)
    if without_venv is not None:
        major, minor = without_venv.version[:2]
        return (
            f"{without_venv} cannot make virtual environments: install its venv module "
            f"(Debian, Ubuntu: `sudo apt-get install python{major}.{minor}-venv`) and try again."
        )
    if preferred is not None and unsuitable is not None:
        return f"{unsuitable} does not suit {purpose}, which needs {wanted} (64-bit CPython): choose another one."
    if preferred is not None:
        return f"{preferred} is not a Python that runs: choose another one; {purpose} needs {wanted}."
    newest = ".".join(map(str, versions[-1]))
    met = f"; {unsuitable} does not suit" if unsuitable is not None else ""
    return (
        f"{purpose[0].upper()}{purpose[1:]} needs {wanted}, and none was found{met}: install Python {newest} from "
        "python.org or your system's packages and try again."
    )


def _in_words(versions: Sequence[tuple[int, int]]) -> str:
    first, last = ".".join(map(str, versions[0])), ".".join(map(str, versions[-1]))
    return f"Python {first}" if first == last else f"Python {first} to {last}"
