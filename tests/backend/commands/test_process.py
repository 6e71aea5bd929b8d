"""Consent belongs to the person in one clip, and a finished workspace is not processed again."""

from __future__ import annotations

import threading

import pytest

from backend.cli import main
from backend.commands import consent, process
from backend.errors import Cancelled, StorageError
from backend.evaluation.tracking import report
from backend.face_sync import stage as face_sync
from backend.progress import Reporter
from backend.workspace.store import Workspace


def test_consent_is_recorded_with_who_when_and_which_clip(processed):
    subject = Workspace.open(processed).subject
    assert subject.consent["given"] and subject.consent["by"] == "nobody: a synthetic speaker"
    assert subject.consent["clip"] == subject.source_sha256 and subject.consent["when"]


def test_another_clip_in_the_same_workspace_needs_its_own_consent(processed):
    workspace = Workspace.open(processed)
    workspace.subject.source_sha256 = "another clip"
    consent.tie_consent_to_clip(workspace, renewed=False)
    assert not Workspace.open(processed).subject.consent.get("given")


def test_a_finished_workspace_is_left_as_it_is(processed, short_clip):
    files = [path for path in processed.rglob("*") if path.is_file() and path.suffix in (".npz", ".jpg", ".png")]
    before = {path: path.stat().st_mtime_ns for path in files}
    process.run(process.Options(video=short_clip, workspace=processed), Reporter())
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_an_unknown_stage_names_the_known_ones(processed, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["process", "--workspace", str(processed), "--stage", "nose"])
    assert "one of media, landmarks" in capsys.readouterr().err


def test_the_result_has_what_blender_needs(processed):
    found = process.Result.of(processed)
    assert set(found.stages.values()) == {"done"} and found.trained is None and found.frames > 90


REPORT = ("stabilized.mp4", "poses.svg", "points.png")


@pytest.fixture
def without_report(processed):
    for name in REPORT:
        (processed / "reports" / "head_sync" / name).unlink(missing_ok=True)
    return processed


def test_the_report_of_the_tracking_is_complete_when_process_ends(without_report, short_clip):
    process.run(process.Options(video=short_clip, workspace=without_report), Reporter())
    assert all((without_report / "reports" / "head_sync" / name).exists() for name in REPORT)


def test_an_error_of_the_report_ends_the_process(without_report, short_clip, monkeypatch):
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(report, "write_stabilized_video", full)
    with pytest.raises(StorageError, match="the disk is full"):
        process.run(process.Options(video=short_clip, workspace=without_report), Reporter())


def test_a_cancelled_process_cancels_the_report_beside_it(without_report, short_clip, monkeypatch):
    begun, ended = threading.Event(), threading.Event()

    def endless(path, tracked, frame_path, size, on_frame) -> None:
        begun.set()
        try:
            while True:
                on_frame(1)
        finally:
            ended.set()

    def cancelled(*_: object, **__: object) -> None:
        assert begun.wait(60)
        raise Cancelled("Cancelled")

    monkeypatch.setattr(report, "write_stabilized_video", endless)
    monkeypatch.setattr(face_sync, "run", cancelled)
    with pytest.raises(Cancelled):
        process.run(process.Options(video=short_clip, workspace=without_report), Reporter())
    assert ended.is_set()
    assert not (without_report / "reports" / "head_sync" / "stabilized.mp4").exists()
