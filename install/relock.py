"""`python3 install lock`: resolve every `locks/*.in` anew for all platforms and Python versions.

For developers, with `uv` (https://docs.astral.sh/uv) on the PATH or named by `--uv`. Wheels only: nothing is ever
compiled on a user's machine. The index and the paths of the machine that resolves do not reach the files.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

from . import backend_environment, blender_environment, locks, wheel_paths
from .errors import PackageError

_OMITTED = {"backend": ("jax", "jaxlib", "ml-dtypes", "opt-einsum", "sentencepiece")}
"""Packages that MediaPipe 0.10 names but uses only to convert language models: 350 MB that no part of this runs."""

PLATFORMS = {"linux": "x86_64-manylinux_2_28", "windows": "x86_64-pc-windows-msvc", "macos": "aarch64-apple-darwin"}


def relock(names: Sequence[str] = (), uv: str = "uv") -> list[Path]:
    """Write the lock files of the environments `names` (all, if empty) and return their paths.

    Raises:
        PackageError: uv is missing, or finds no set of packages that fit together.
    """
    written = []
    for source in sorted(locks.FOLDER.glob("*.in")):
        if names and source.stem not in names:
            continue
        for platform in PLATFORMS:
            for python in _versions(source.stem):
                written.append(_relock_one(source, platform, python, uv))
                print(written[-1].name)
    return written


def _versions(environment: str) -> Iterable[tuple[int, int]]:
    return backend_environment.PYTHON_VERSIONS if environment == "backend" else (blender_environment.PYTHON_VERSION,)


def _relock_one(source: Path, platform: str, python: tuple[int, int], uv: str) -> Path:
    import tomllib

    version = f"{python[0]}.{python[1]}"
    with tempfile.TemporaryDirectory() as folder:
        resolved = Path(folder, "pylock.toml")
        command = [uv, "pip", "compile", "--quiet", "--only-binary", ":all:", "--format", "pylock.toml"]
        command += [
            "--python-version",
            version,
            "--python-platform",
            PLATFORMS[platform],
            "-o",
            str(resolved),
            str(source),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise PackageError(f"{uv} was not found: install uv (`pip install uv`) or name it with --uv.") from None
        if done.returncode:
            raise PackageError(
                f"uv cannot resolve {source.name} for {platform}, Python {version}: {done.stderr.strip()}"
            )
        packages = tomllib.loads(resolved.read_text("utf-8"))["packages"]
    wanted = [package for package in packages if package["name"] not in _OMITTED.get(source.stem, ())]
    with ThreadPoolExecutor(8) as pool:
        lines = list(pool.map(partial(_line, with_paths=platform == "windows"), wanted))
    target = locks.FOLDER / f"{source.stem}-{platform}-{version}.txt"
    header = f"# {source.stem} for {platform}, Python {version}: made by `python3 install lock` from {source.name}.\n"
    temporary = target.with_suffix(".tmp")
    temporary.write_text(header + "".join(f"{line}\n" for line in sorted(lines)), "utf-8", newline="\n")
    os.replace(temporary, target)
    return target


def _line(package: dict[str, Any], with_paths: bool) -> str:
    wheels = package["wheels"]
    hashes = "".join(f" --hash=sha256:{wheel['hashes']['sha256']}" for wheel in wheels)
    size = wheels[0].get("size") or _size(wheels[0]["url"])
    longest = f" {max(_longest(wheel['url']) for wheel in wheels)}" if with_paths else ""
    return f"{locks.normalised(package['name'])}=={package['version']}{hashes}  # {size}{longest}"


@cache
def _longest(url: str) -> int:
    return wheel_paths.longest_installed(wheel_paths.members(url))


@cache
def _size(url: str) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
        return int(answer.headers["Content-Length"])
