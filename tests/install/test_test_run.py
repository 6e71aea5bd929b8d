"""One closing line sums all runs, and nothing that failed or crashed passes for success."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from install import test_run


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A tiny checkout whose environments are both this Python."""
    for room in ("tests/backend", "tests/blender"):
        (tmp_path / room).mkdir(parents=True)
    monkeypatch.setattr(test_run.checkout, "make_backend", lambda *args: Path(sys.executable))
    monkeypatch.setattr(test_run.checkout, "make_blender", lambda *args: Path(sys.executable))
    monkeypatch.setattr(test_run, "MAX_WORKERS", 1)
    return tmp_path


def run(checkout: Path, *arguments: str) -> int:
    return test_run.run(checkout, checkout / ".venvs", ["5.0"], arguments=["-p", "no:cacheprovider", *arguments])


def test_the_closing_line_sums_the_environments(checkout, capfd):
    (checkout / "tests/backend/test_a.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    (checkout / "tests/blender/test_c.py").write_text(
        "import pytest\ndef test_c(): pass\n@pytest.mark.skip\ndef test_d(): pass\n"
    )
    assert run(checkout) == 0
    assert " 3 passed, 1 skipped in " in capfd.readouterr().out.splitlines()[-1]


def test_a_failure_in_the_first_environment_is_not_hidden_by_the_second(checkout, capfd):
    (checkout / "tests/backend/test_a.py").write_text("def test_a(): assert False\n")
    (checkout / "tests/blender/test_c.py").write_text("def test_c(): pass\n")
    assert run(checkout) == 1
    assert " 1 failed, 1 passed in " in capfd.readouterr().out.splitlines()[-1]


def test_a_crashed_interpreter_counts_as_an_error(checkout, capfd):
    (checkout / "tests/blender/test_c.py").write_text("import os\ndef test_c(): os._exit(3)\n")
    assert run(checkout) == 1
    assert " 1 errors in " in capfd.readouterr().out.splitlines()[-1]


def test_a_path_chooses_the_environment(checkout, capfd):
    (checkout / "tests/backend/test_a.py").write_text("def test_a(): assert False\n")
    (checkout / "tests/blender/test_c.py").write_text("def test_c(): pass\ndef test_d(): pass\n")
    assert run(checkout, "tests/blender/test_c.py::test_c") == 0
    assert " 1 passed in " in capfd.readouterr().out.splitlines()[-1]


def test_options_reach_pytest(checkout, capfd):
    (checkout / "tests/backend/test_a.py").write_text("def test_a(): pass\ndef test_b(): pass\n")
    assert run(checkout, "-k", "test_b") == 0
    assert " 1 passed, 1 deselected in " in capfd.readouterr().out.splitlines()[-1]


def test_the_backend_s_tests_are_shared_out_and_each_room_s_output_stays_together(checkout, capfd, monkeypatch):
    pytest.importorskip("xdist")
    monkeypatch.setattr(test_run, "MAX_WORKERS", 2)
    monkeypatch.setattr(test_run.os, "cpu_count", lambda: 2)
    (checkout / "tests/backend/test_a.py").write_text("def test_a(): pass\ndef test_b(): assert False\n")
    (checkout / "tests/blender/test_c.py").write_text("def test_c(): pass\n")
    assert run(checkout) == 1
    printed = capfd.readouterr().out
    backend, blender = printed.split("\nBlender 5.0: ")
    assert "2 workers" in backend and "1 failed, 1 passed in " in backend
    assert "1 passed in " in blender and "workers" not in blender
    assert " 1 failed, 2 passed in " in printed.splitlines()[-1]


@pytest.mark.parametrize("option", ["--slow", "--gui", "-k", "--pdb", "--dist=load"])
def test_tests_that_need_the_machine_or_are_chosen_run_in_one_process(option, monkeypatch):
    monkeypatch.setattr(test_run.os, "cpu_count", lambda: 4)
    assert test_run._workers([], ["tests/backend"]) == 4
    assert test_run._workers([option], ["tests/backend"]) == 1
    assert test_run._workers([], ["tests/backend/test_a.py"]) == 1


def test_the_closing_line_has_pytests_form():
    line = test_run.closing_line(Counter(passed=120, failed=1), 3725.4)
    assert line.strip("= ") == "1 failed, 120 passed in 3725.40s (1:02:05)"
