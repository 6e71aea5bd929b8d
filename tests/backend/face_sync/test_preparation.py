"""A corpus is prepared by several processes; clips that cannot be used, or kill their reader, cost a line each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backend.errors import MediaError
from backend.face_sync.research.pretraining import face_windows, preparation
from backend.face_sync.research.pretraining.prepared import read_items
from backend.progress import Reporter
from backend.workspace.files import read_arrays


@pytest.fixture
def corpus(short_clip, tmp_path) -> Path:
    """Three talking clips, one that is no video and one that has no audio."""
    import cv2

    from backend.media.decode import frames
    from backend.media.encode import VideoWriter

    folder = tmp_path / "clips" / "main"
    folder.mkdir(parents=True)
    for name in ("1", "2", "3"):
        shutil.copyfile(short_clip, folder / f"{name}.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    with VideoWriter(folder / "silent.mp4", 128, 128) as video:
        for _, frame in zip(range(30), (frame for _, frame in frames(short_clip)), strict=False):
            video.write(cv2.resize(frame, (128, 128)))
    return tmp_path / "clips"


def prepared_files(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    return {path.name: read_arrays(path) for path in folder.glob("*.npz")}


@pytest.mark.long
def test_several_processes_prepare_what_one_does(corpus, tmp_path, root, monkeypatch):
    found = face_windows.find_clips(corpus)
    alone = preparation.prepare(found, tmp_path / "alone", Reporter())
    assert {Path(item.path).name for item in alone} == {"broken.mp4", "silent.mp4"}
    monkeypatch.setattr(preparation, "CLIPS_A_JOB", 2)
    shared = preparation.prepare(found, tmp_path / "shared", Reporter(), preparation.Workers(jobs=2))
    assert sorted(alone, key=lambda item: item.path) == sorted(shared, key=lambda item: item.path)
    expected, made = prepared_files(tmp_path / "alone"), prepared_files(tmp_path / "shared")
    assert len(expected) == 3 and expected.keys() == made.keys()
    for name, arrays in expected.items():
        assert arrays.keys() == made[name].keys()
        assert all(np.array_equal(value, made[name][key]) for key, value in arrays.items())
    report = preparation.report_path(tmp_path / "shared").read_text()
    assert report == preparation.report_path(tmp_path / "alone").read_text()
    assert report.count("\n") == 3 and not (tmp_path / "shared" / "jobs").exists()
    assert sum(map(len, read_items(tmp_path / "shared"))) >= 3

    # Again: nothing is read, for a bad clip is not tried while its file is the same.
    monkeypatch.setattr(
        preparation, "_prepare_here", lambda clips, *_: pytest.fail(f"reads {clips}") if clips else None
    )
    assert preparation.prepare(found, tmp_path / "alone", Reporter()) == alone
    command = [
        sys.executable,
        "-m",
        "backend",
        "encoder",
        "prepare",
        corpus,
        "--prepared",
        tmp_path / "alone",
        "--json",
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["clips"] == 3 and len(json.loads(done.stdout)["left_out"]) == 2


def read_but_die(paths):
    """As `read_clips`, in a reader that a clip kills; for a reader process."""
    for path in paths:
        if path.stem == "2":
            os._exit(9)
        yield from face_windows.read_clips([path])


@pytest.mark.long
def test_a_clip_that_kills_its_reader_is_left_out_and_the_rest_is_prepared(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "read_clips", read_but_die)
    left_out = preparation.prepare(face_windows.find_clips(corpus), tmp_path / "prepared", Reporter())
    assert {Path(item.path).name for item in left_out} == {"2.mp4", "broken.mp4", "silent.mp4"}
    assert len(list((tmp_path / "prepared").glob("*.npz"))) == 2


def test_what_is_no_list_is_refused(tmp_path):
    (tmp_path / "list.txt").write_text("no tab")
    with pytest.raises(MediaError, match="is no list of clips"):
        preparation.read_list(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(MediaError, match="names no clip"):
        preparation.read_list(tmp_path / "list.txt")


@pytest.mark.long
def test_a_part_that_fails_keeps_its_log_and_the_rest_is_prepared(short_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "CLIPS_A_JOB", 1)
    warnings, folder = [], tmp_path / "prepared"
    reporter = Reporter(on_log=lambda level, text: warnings.append(text) if level == "warning" else None)
    names_no_disk_takes = {"n" * 300: short_clip, "one": short_clip}
    assert preparation.prepare(names_no_disk_takes, folder, reporter, preparation.Workers(jobs=2)) == []
    assert preparation.prepared_names(folder) == {"one"}
    assert "1 of 2 parts of the preparation failed" in warnings[-1]
    assert "Error: " in (folder / "jobs" / "logs" / "prepare+00000.txt").read_text()
