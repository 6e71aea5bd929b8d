"""Fixtures of every room's tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# Stages of a test's seconds must not become the user's own history of durations.
os.environ.setdefault("SYNCTALK_HISTORY", "")

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    # Started in the background (`nohup … &`) a process ignores Ctrl-C, and so do its children, which some tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--gui", action="store_true", help="run the tests that need a windowed Blender too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for marker in ("slow", "gui"):
        if not config.getoption(f"--{marker}"):
            skip = pytest.mark.skip(reason=f"needs --{marker}")
            for item in items:
                if marker in item.keywords:
                    item.add_marker(skip)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and models beside the checkout; tests that need it skip where it is absent."""
    for folder in (ROOT / "shared", ROOT.parent / "shared"):
        if (folder / "clips").is_dir():
            return folder
    pytest.skip("needs the clips in ../shared, which are not part of the project")
