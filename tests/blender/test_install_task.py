"""Installing runs beside the interface: progress, cancel and errors reach it in words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def task_class(import_part):
    return import_part("synctalk_blender.install_task").InstallTask


def wait(task):
    while not task.poll():
        time.sleep(0.01)


def test_progress_is_seen_while_it_runs_and_the_python_is_the_result(task_class, import_part, tmp_path):
    progress = import_part("install.progress").Progress

    def create(root, device, report, cancelled):
        report(progress("download", "torch 2.13", 0, 10, 50, 100))
        return Path(root, device, "python")

    task = task_class(tmp_path, "cpu", create)
    wait(task)
    assert task.progress["done"] == pytest.approx(0.375)
    assert task.progress["message"] == "Download: torch 2.13"
    assert task.result() == tmp_path / "cpu" / "python"


def test_cancel_reaches_the_installer_and_its_sentence_comes_back(task_class, import_part, tmp_path):
    errors = import_part("install.errors")

    def create(root, device, report, cancelled):
        while not cancelled():
            time.sleep(0.01)
        raise errors.Cancelled("Stopped. The next run resumes from here.")

    task = task_class(tmp_path, "cpu", create)
    assert not task.poll()
    task.cancel()
    wait(task)
    with pytest.raises(errors.Cancelled, match="resumes from here") as caught:
        task.result()
    assert caught.value.kind == "cancelled"
