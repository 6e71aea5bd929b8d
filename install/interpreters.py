"""Find a Python that can hold an environment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import PythonError
from .process import call

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
    """What a Python reports of itself.

    Attributes:
        standard: the build that packages have wheels for, not the Microsoft Store's, which redirects its data folder to
            a place Blender does not see.
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
        purpose: what it is for, in the error: "the SyncTalk backend".
        best: those of `versions` to look for first, before the running Python is taken.

    Raises:
        PythonError: there is none; the sentence says which to install, and how.
    """
    if best and preferred is None:
        with suppress(PythonError):
            return find(best, purpose=purpose)
    found = map(probe, [preferred] if preferred else _candidates(versions))
    met: list[Interpreter] = []
    for interpreter in filter(None, found):
        if interpreter.suits(versions) and interpreter.has_venv:
            return interpreter.executable
        met.append(interpreter)
    raise PythonError(_advice(versions, preferred, purpose, met))


def probe(executable: str | Path) -> Interpreter | None:
    """Ask `executable` what it is; None when it is no Python or does not run."""
    try:
        command = [executable, "-I", "-c", _PROBE]
        done = call(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True)
        found = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    standard = found["implementation"] == "cpython" and found["bits"] == 64
    standard = standard and not found["free_threaded"] and not found.get("store")
    major, minor, micro = found["version"]
    path, flags = Path(found["executable"]), [found.get(name, True) for name in ("venv", "long_paths", "all_letters")]
    return Interpreter(path, (major, minor, micro), flags[0], standard, *flags[1:])


def _candidates(versions: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Paths worth a probe, the likeliest first; a path may repeat, or be no Python."""
    if sys.executable:
        yield sys.executable
    # 3.11 first: Blender's own version, and the one most packages are tried on.
    ordered = [f"{a}.{b}" for a, b in sorted(versions, key=lambda version: (version != (3, 11), version))]
    yield from filter(None, map(shutil.which, [*(f"python{dotted}" for dotted in ordered), "python3", "python"]))
    for dotted in ordered:
        for place in _places():
            pattern = Path(place.format(*dotted.split(".")))
            found = Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))
            yield from sorted(map(str, found), reverse=True)


def _places() -> Sequence[str]:
    """Where Pythons are installed: patterns for a major and a minor version."""
    home = Path.home()
    if sys.platform == "win32":
        local, programs = os.environ.get("LOCALAPPDATA", home / "AppData/Local"), os.environ.get("PROGRAMFILES")
        usual = f"{local}/Programs/Python/Python{{0}}{{1}}", f"{programs or 'C:/Program Files'}/Python{{0}}{{1}}"
        return [f"{place}/python.exe" for place in (*usual, f"{local}/uv/python/cpython-{{0}}.{{1}}.*")]
    usual = (
        "/usr/bin",
        "/usr/local/bin",
        "/opt/homebrew/bin",
        "/Library/Frameworks/Python.framework/Versions/{0}.{1}/bin",
    )
    versioned = f"{home}/.pyenv/versions/{{0}}.{{1}}.*", f"{home}/.local/share/uv/python/cpython-{{0}}.{{1}}.*"
    return [f"{place}/python{{0}}.{{1}}" for place in (*usual, *(f"{folder}/bin" for folder in versioned))]


def _advice(versions: Sequence[tuple[int, int]], preferred: Path | None, purpose: str, met: list[Interpreter]) -> str:
    """What to do where none of the interpreters `met` can hold an environment."""
    wanted = _in_words(versions)
    without_venv = next((one for one in met if one.suits(versions)), None)
    if without_venv is not None:
        major, minor = without_venv.version[:2]
        return (
            f"{without_venv} cannot make virtual environments: install its venv module "
            f"(Debian, Ubuntu: `sudo apt-get install python{major}.{minor}-venv`) and try again."
        )
    if preferred is not None and met:
        return f"{met[0]} does not suit {purpose}, which needs {wanted} (64-bit CPython): choose another one."
    if preferred is not None:
        return f"{preferred} is not a working Python: choose another one; {purpose} needs {wanted}."
    unsuitable = f"; {met[0]} does not suit" if met else ""
    return (
        f"{purpose[0].upper()}{purpose[1:]} needs {wanted}, and none was found{unsuitable}: install Python "
        f"{'.'.join(map(str, versions[-1]))} from python.org or your system's packages and try again."
    )


def _in_words(versions: Sequence[tuple[int, int]]) -> str:
    first, last = ".".join(map(str, versions[0])), ".".join(map(str, versions[-1]))
    return f"Python {first}" if first == last else f"Python {first} to {last}"
