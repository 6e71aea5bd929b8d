"""The landmarks stage: what it keeps, whom it follows, and what it says."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from backend.errors import Cancelled, FaceError, ModelError
from backend.head_sync import landmarks, landmarks_stage
from backend.head_sync.landmarks import Face, choose_face, open_landmarker
from backend.head_sync.landmarks_stage import Landmarks, run
from backend.progress import Reporter
from backend.workspace.images import write_image
from backend.workspace.store import Workspace


def face_at(x: float, y: float, size: float) -> Face:
    corners = np.array([[x - size / 2, y - size / 2], [x + size / 2, y + size / 2]], np.float32)
    return Face(np.resize(corners, (478, 2)), np.zeros(478, np.float32))


def shortened(speaker: Path, place: Path, frames: int) -> Workspace:
    root = Path(shutil.copytree(speaker, place / "speaker"))
    workspace = Workspace.open(root)
    workspace.subject.frames = frames
    workspace.save()
    return workspace


def test_the_face_that_was_followed_is_kept_and_the_largest_is_the_first():
    near, far = face_at(100, 100, 80), face_at(300, 100, 120)
    assert choose_face([near, far], None) is far
    assert choose_face([near, far], face_at(110, 95, 85)) is near
    assert choose_face([far], face_at(110, 95, 85)) is None
    assert choose_face([face_at(100, 100, 20)], near) is None
    assert choose_face([], near) is None


def test_every_frame_of_the_sample_is_found_and_a_blank_one_flagged(speaker, tmp_path):
    workspace = shortened(speaker, tmp_path, 40)
    for frame in range(10, 14):
        write_image(workspace.frame_path(frame), np.zeros((512, 512, 3), np.uint8))
    said: list[str] = []
    run(workspace, Reporter(on_log=lambda level, text: said.append(text)), "mesh")
    found = Landmarks.read(workspace.root / "landmarks.npz")
    np.testing.assert_array_equal(np.flatnonzero(~found.detected), range(10, 14))
    assert found.points_px.shape == (40, 478, 2)
    assert found.scores.shape == (0, 52)
    assert any("lost in 4 of 40 frames" in text and "0.4 s to 0.6 s" in text for text in said)
    assert workspace.stage_state("landmarks") == "done"


def test_no_face_at_all_is_one_clear_sentence(speaker, tmp_path):
    workspace = shortened(speaker, tmp_path, 6)
    for frame in range(6):
        write_image(workspace.frame_path(frame), np.full((512, 512, 3), 90, np.uint8))
    with pytest.raises(FaceError, match="No face was found in any of the 6 frames"):
        run(workspace, Reporter(), "mesh")
    assert workspace.stage_state("landmarks") == "partial"


def test_cancelling_keeps_what_was_found(speaker, tmp_path, monkeypatch):
    workspace = shortened(speaker, tmp_path, 40)
    calls = []
    reporter = Reporter(cancelled=lambda: len(calls) > 20)
    original = landmarks._MeshLandmarker.detect
    monkeypatch.setattr(
        landmarks._MeshLandmarker, "detect", lambda self, image: calls.append(1) or original(self, image)
    )
    with pytest.raises(Cancelled):
        run(workspace, reporter, "mesh")
    done = Landmarks.read(workspace.root / "landmarks.partial.npz").done
    assert done >= 15
    calls.clear()
    run(workspace, Reporter(), "mesh")
    assert len(calls) < 40 - done + 10
    assert Landmarks.read(workspace.root / "landmarks.npz").detected.all()
    assert not (workspace.root / "landmarks.partial.npz").exists()


def test_a_killed_run_resumes_where_it_last_saved(speaker, tmp_path, root):
    workspace = shortened(speaker, tmp_path, 200)
    program = (
        "from backend.head_sync import landmarks_stage as stage; from backend.workspace.store import Workspace;"
        "from backend.progress import Reporter; import sys;"
        "stage.SAVE_EVERY = 10;"
        "stage.run(Workspace.open(sys.argv[1]), Reporter(), landmarker='mesh')"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(workspace.root)], cwd=root)
    partial = workspace.root / "landmarks.partial.npz"
    end = time.monotonic() + 60
    while not partial.exists() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    child.wait()
    assert partial.exists()
    saved = Landmarks.read(partial)
    again = Workspace.open(workspace.root)
    begun: list[float] = []
    run(again, Reporter(on_progress=lambda event: begun.append(event.done), interval_s=0), "mesh")
    assert begun[0] == saved.done
    found = Landmarks.read(workspace.root / "landmarks.npz")
    assert found.detected.all()
    np.testing.assert_array_equal(found.points_px[: saved.done], saved.points_px)


def test_a_damaged_partial_result_is_started_again(tmp_path):
    path = tmp_path / "landmarks.partial.npz"
    path.write_bytes(b"PK\x03\x04 half a file")
    assert landmarks_stage._resume(path, Landmarks.empty(5, "mesh")).done == 0


def test_a_finished_stage_is_not_done_twice(speaker, tmp_path, monkeypatch):
    workspace = shortened(speaker, tmp_path, 5)
    run(workspace, Reporter(), "mesh")
    monkeypatch.setattr(landmarks_stage, "open_landmarker", lambda source: pytest.fail("detected again"))
    run(Workspace.open(workspace.root), Reporter(), "mesh")


def test_a_missing_task_file_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(landmarks, "_find_task", lambda: None)
    with pytest.raises(ModelError, match="models fetch"):
        open_landmarker("task")
    monkeypatch.setattr(landmarks, "_has_mesh", lambda: False)
    with pytest.raises(ModelError, match="no built-in face mesh"):
        open_landmarker("auto")


def test_a_damaged_task_file_says_to_fetch_it_again(monkeypatch, tmp_path):
    path = tmp_path / "face_landmarker.task"
    path.write_bytes(b"not a model")
    monkeypatch.setattr(landmarks, "_find_task", lambda: path)
    with pytest.raises(ModelError, match="is damaged"):
        open_landmarker("task")


def test_the_task_gives_scores_in_the_protocol_s_order(shared, speaker, monkeypatch):
    monkeypatch.setattr(landmarks, "_find_task", lambda: shared / "models" / "face_landmarker.task")
    landmarker = open_landmarker("task")
    try:
        face = choose_face(landmarker.detect(Workspace.open(speaker).read_frame(0)), None)
    finally:
        landmarker.close()
    assert face is not None
    assert face.scores is not None
    assert face.scores.shape == (52,)
    assert face.scores[-1] == 0  # tongueOut, which the task does not know
    assert 0 < face.scores.max() <= 1


def test_parts_cover_all_frames_once_and_begin_at_the_same_ones_wherever_a_run_resumes():
    assert [frame for part in landmarks_stage._parts(0, 1000, 0) for frame in part] == list(range(1000))
    complete = landmarks_stage._parts(0, 1234, 5)
    resumed = landmarks_stage._parts(537, 1234, 5)
    assert [frame for part in resumed for frame in part] == list(range(537, 1234))
    assert resumed[1:] == complete[-len(resumed) + 1 :]
    assert landmarks_stage._parts(7, 7, 5) == []


def test_a_mesh_that_sees_blocks_agrees_with_one_that_sees_all(speaker, tmp_path, monkeypatch):
    results = []
    for name, block in (("blocks", 10), ("one", 1000)):
        monkeypatch.setattr(landmarks_stage, "BLOCK", block)
        workspace = shortened(speaker, tmp_path / name, 30)
        run(workspace, Reporter(), "mesh")
        results.append(Landmarks.read(workspace.root / "landmarks.npz").points_px)
    apart = np.linalg.norm(results[0] - results[1], axis=-1)
    assert 0 < apart.mean() < 0.15 and apart.max() < 1.5
