"""A missing system library is found before anything is downloaded, and reported with the command that installs it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from install import errors, system_libraries

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lacks such libraries")
PYTHON = Path(sys.executable)


@pytest.fixture
def lacking(monkeypatch):
    """A user "test" of a library that no system has, and of one that each has."""
    needed = {"libc.so.6": "libc6", "libsynctalk-none.so.9": "libsynctalk-none9"}
    monkeypatch.setitem(system_libraries.NEEDED, "test", needed)
    monkeypatch.setattr(system_libraries, "can_install", lambda: False)


@linux_only
def test_only_what_is_missing_is_named(lacking):
    assert system_libraries.missing("test", PYTHON) == ["libsynctalk-none.so.9"]


@linux_only
def test_without_the_right_to_install_the_command_is_named(lacking, monkeypatch):
    monkeypatch.setattr(
        system_libraries.shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None
    )
    with pytest.raises(
        errors.SystemLibraryError, match="lacks libsynctalk-none.so.9: run `sudo apt-get install libsync"
    ):
        list(system_libraries.ensure("test", PYTHON))


@linux_only
def test_where_it_may_install_it_fetches_package_lists_only_after_a_failure(lacking, monkeypatch):
    asked = []

    def apt(arguments, event, cancelled):
        asked.append(arguments[0])
        yield event
        return len(asked) == 3

    monkeypatch.setattr(system_libraries, "can_install", lambda: True)
    monkeypatch.setattr(system_libraries, "_apt", apt)
    with pytest.raises(errors.SystemLibraryError):  # the library is still not there
        list(system_libraries.ensure("test", PYTHON))
    assert asked == ["install", "update", "install"]


@pytest.mark.parametrize("manager", ["apt-get", "dnf", "pacman", None])
def test_every_library_has_a_package_on_every_system(manager, monkeypatch):
    monkeypatch.setattr(system_libraries.shutil, "which", lambda name: name if name == manager else None)
    for needed in system_libraries.NEEDED.values():
        assert system_libraries.command_for(sorted(needed.values())).startswith("sudo ")
