"""`python3 install lock`: resolve `locks/*.in` again for all platforms and Python versions, with uv.

Wheels only: nothing is ever compiled on a user's machine. The files contain neither the index nor a path of this
machine.
"""

from __future__ import annotations

import os
import tempfile
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from . import backend_environment, blender_environment, locks, uv, wheel_paths
from .errors import PackageError
from .process import call

_OMITTED = ("jax", "jaxlib", "ml-dtypes", "opt-einsum", "sentencepiece")
"""Packages that MediaPipe 0.10 names but uses only to convert language models: 350 MB that no part of this runs."""

PLATFORMS = {"linux": "x86_64-manylinux_2_28", "windows": "x86_64-pc-windows-msvc", "macos": "aarch64-apple-darwin"}
NEWEST = {"linux": "x86_64-manylinux_2_40"}
"""Where a package has wheels for newer systems as well, uv takes those there: their hashes belong to the lock."""


def relock(root: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write the lock files `names` ("backend"; all, if empty) and return their paths. uv is that of `root`.

    Raises:
        PackageError: no set of packages fits together, or one lacks a wheel.
    """
    sources = [source for source in sorted(locks.FOLDER.glob("*.in")) if not names or source.stem in names]
    return [_relock_one(uv.executable(root), source) for source in sources]


def _relock_one(executable: Path, source: Path) -> Path:
    name = source.stem
    blenders = [f"blender-{version}" for version in blender_environment.VERSIONS]
    extras = {locks.with_extra(package): platforms for package, platforms in locks.EXTRAS.items()}
    environments = {"blender": blenders, "backend": [name, *extras]}.get(name, [name])
    versions = backend_environment.PYTHON_VERSIONS if name == "backend" else (blender_environment.PYTHON_VERSION,)
    pythons = [f"{major}.{minor}" for major, minor in versions]
    hashes: dict[str, set[str]] = defaultdict(set)
    sizes: list[str] = []
    pins: dict[str, str] = {}  # and the environment that a pin is for alone
    for environment in environments:
        wanted = "\n".join(line for line in source.read_text("utf-8").splitlines() if locks.belongs(line, environment))
        # What others have too is of one version: a file holds each pin once.
        resolved = _resolve(executable, wanted, pythons[0], _OMITTED if name == "backend" else (), pins)
        for pin in resolved.splitlines():
            pins.setdefault(pin, environment if environment in extras else "")
        for platform, python in product(extras.get(environment, PLATFORMS), pythons):
            target = ["--python-version", python, "--python-platform", PLATFORMS[platform]]
            packages = _packages(executable, resolved, target)
            newest = ["--python-version", python, "--python-platform", NEWEST.get(platform, PLATFORMS[platform])]
            for package in (*packages, *(_packages(executable, resolved, newest) if platform in NEWEST else ())):
                found = {wheel["hashes"]["sha256"] for wheel in package["wheels"]}
                hashes[f"{package['name']}=={package['version']}"] |= found
            size = sum(_size(package["wheels"][0]) for package in packages)
            longest = f", longest path {_longest(executable, resolved, target)}" if platform == "windows" else ""
            sizes.append(f"# {environment} {platform} {python}: {len(packages)} packages, {size} bytes{longest}")
            print(sizes[-1])
    return _write(source, sizes, pins, hashes)


def _write(source: Path, sizes: Iterable[str], pins: Mapping[str, str], hashes: Mapping[str, set[str]]) -> Path:
    # Pins that no target takes are for newer Pythons than these.
    used = sorted((pin, hashes[pin.partition(" ")[0]]) for pin in pins if pin.partition(" ")[0] in hashes)
    lines = [f"# Made by `python3 install lock` from {source.name}.", *sizes]
    for pin, found in used:
        line = pin + "".join(f" --hash=sha256:{digest}" for digest in sorted(found))
        lines.append(locks.only_for(line, pins[pin]) if pins[pin] else line)
    path = locks.path_of(source.stem)
    temporary = path.with_suffix(".tmp")
    temporary.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")
    os.replace(temporary, path)
    return path


def _resolve(
    executable: Path, requirements: str, first_python: str, omitted: Sequence[str], known: Iterable[str] = ()
) -> str:
    """The pins for all platforms and for each Python from `first_python` on, with markers; `known` ones stay."""
    omit = [part for package in omitted for part in ("--no-emit-package", package)]
    universal = ["--universal", "--python-version", first_python, "--no-header", "--no-annotate"]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "known.txt")
        constraints.write_text("\n".join(pin for pin in known if not pin.startswith("bpy==")), "utf-8")
        return _compile(executable, requirements, *universal, *omit, "--constraints", str(constraints))


def _compile(executable: Path, requirements: str, *arguments: str) -> str:
    return _call([executable, "pip", "compile", "--quiet", "--only-binary", ":all:", *arguments, "-"], requirements)


def _packages(executable: Path, pins: str, target: Sequence[str]) -> list[dict[str, Any]]:
    """The packages for one platform and Python version, each with the wheels that suit it."""
    import tomllib  # Python 3.11; users need no relocking

    with tempfile.TemporaryDirectory() as folder:
        resolved = Path(folder, "pylock.toml")
        _compile(executable, pins, "--no-deps", "--format", "pylock.toml", "--output-file", str(resolved), *target)
        return tomllib.loads(resolved.read_text("utf-8"))["packages"]


def _longest(executable: Path, pins: str, target: Sequence[str]) -> int:
    """The longest path that the packages become, measured on an installation of them."""
    with tempfile.TemporaryDirectory() as folder:
        into = ["--no-deps", "--only-binary", ":all:", "--target", folder, *target]
        _call([executable, "pip", "install", "--quiet", *into, "--requirements", "-"], pins)
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return wheel_paths.longest_installed(path.relative_to(folder).as_posix() for path in files)


@cache
def _head(url: str) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
        return int(answer.headers["Content-Length"])


def _size(wheel: dict[str, Any]) -> int:
    size = wheel.get("size") or _head(wheel["url"])
    if size <= 1000:
        raise PackageError(f"{wheel['url']} is listed with {size} bytes, too few for a wheel: check the package index.")
    return size


def _call(command: Sequence[str | Path], text: str) -> str:
    done = call(command, uv.variables({}), input=text, capture_output=True)
    if done.returncode:
        raise PackageError(f"uv cannot resolve the packages ({done.stderr.strip()}): correct install/locks/*.in.")
    return done.stdout
