"""Fixtures of every room's tests."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from install.folder_lock import held

# Stages of a test's seconds must not become the user's own history of durations.
os.environ.setdefault("SYNCTALK_HISTORY", "")

ROOT = Path(__file__).resolve().parent.parent

LONG_FIXTURES = {"made_once", "brief_adaptation", "ready", "begun"}
"""Tests that use one of these process a clip or train a head: `--quick` leaves them out, as it does tests marked `long`."""

_MAKING_S = 1800.0


def pytest_configure() -> None:
    # Started in the background (`nohup … &`) a process ignores Ctrl-C, and so do its children, which some tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out what processes clips, trains, or is marked long")
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--gui", action="store_true", help="run the tests that need a windowed Blender too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for marker in ("slow", "gui"):
        if not config.getoption(f"--{marker}"):
            skip = pytest.mark.skip(reason=f"needs --{marker}")
            for item in items:
                if marker in item.keywords:
                    item.add_marker(skip)
    if config.getoption("--quick"):
        quick = [item for item in items if not (LONG_FIXTURES & set(item.fixturenames) or "long" in item.keywords)]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(quick)])
        items[:] = quick


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Make a folder once a run, whichever of pytest-xdist's workers asks first: its name, and what fills it at a path."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # each worker has its own below it

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, unfinished = place / name, place / f"{name}-unfinished"
        with held(place / f"{name}.lock", wait_s=_MAKING_S):
            if not folder.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                fill(unfinished)
                unfinished.rename(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and models beside the checkout; tests that need it skip where it is absent."""
    for folder in (ROOT / "shared", ROOT.parent / "shared"):
        if (folder / "clips").is_dir():
            return folder
    pytest.skip("needs the clips in ../shared, which are not part of the project")
