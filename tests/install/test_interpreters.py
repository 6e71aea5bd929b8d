"""The right Python is found, and the lack of one is reported with what to install."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from install import errors, interpreters


def test_the_running_python_is_taken_when_it_suits():
    found = interpreters.find([sys.version_info[:2]], purpose="the test")
    assert interpreters.probe(found).version == sys.version_info[:3]


def test_another_version_is_found_on_the_path(monkeypatch, tmp_path):
    other = tmp_path / "python3.77"
    other.write_text(
        '#!/bin/sh\necho \'{"version": [3, 77, 0], "executable": "/opt/python3.77", "implementation": "cpython",'
        ' "venv": true, "bits": 64, "free_threaded": false}\'\n'
    )
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    if sys.platform == "win32":
        pytest.skip("a shell script stands for the other Python")
    assert interpreters.find([(3, 77)], purpose="the test") == Path("/opt/python3.77")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('"venv": false, "bits": 64, "free_threaded": false', r"cannot make virtual environments: .*python3\.77-venv"),
        ('"venv": true, "bits": 32, "free_threaded": false', r"does not suit the test, which needs Python 3\.77"),
        ('"venv": true, "bits": 64, "free_threaded": true', r"does not suit the test"),
        ('"venv": true, "bits": 64, "free_threaded": false, "store": true', r"does not suit the test"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the other Python")
def test_an_unsuitable_python_says_why(tmp_path, answer, message):
    other = tmp_path / "python"
    other.write_text(
        '#!/bin/sh\necho \'{"version": [3, 77, 0], "executable": "/opt/python3.77", "implementation": "cpython", '
        f"{answer}}}'\n"
    )
    other.chmod(0o755)
    with pytest.raises(errors.PythonError, match=message):
        interpreters.find([(3, 77)], preferred=other, purpose="the test")


def test_no_suitable_python_names_the_one_to_install():
    with pytest.raises(errors.PythonError, match=r"The test needs Python 3\.98 to 3\.99, and none was found.*3\.99"):
        interpreters.find([(3, 98), (3, 99)], purpose="the test")


def test_a_file_that_is_no_python_is_refused(tmp_path):
    with pytest.raises(errors.PythonError, match="is not a working Python: choose another one"):
        interpreters.find([(3, 11)], preferred=tmp_path / "nothing", purpose="the test")


def test_an_old_python_is_turned_away_in_words(root):
    folders = [Path(sys.base_prefix).parent, Path("/usr/bin")]
    found = [p for f in folders for p in (*f.glob("3.[6-9].*/bin/python3.[6-9]"), *f.glob("python3.[6-9]"))]
    old = next((p for p in map(str, found) if shutil.which(p)), None)
    if old is None:
        pytest.skip("no Python older than 3.10 on this machine")
    done = subprocess.run([old, str(root / "install"), "demo"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.10 or newer is needed and this is 3.")
    assert len(done.stderr.strip().splitlines()) == 1
