"""Consent belongs to the person in one clip, and a finished workspace is not processed again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from backend.cli import main
from backend.commands import consent, process
from backend.errors import Cancelled, StorageError
from backend.estimate import History
from backend.evaluation.tracking import report
from backend.face_sync import stage as face_sync
from backend.head_sync import stage as head_sync
from backend.portrait_sync import stage as portrait_sync
from backend.portrait_sync.model_file import model_path
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


@pytest.fixture
def tracked_only(processed):
    """As `head_sync` leaves a workspace."""
    workspace = Workspace.open(processed)
    for name in ("face_sync", "portrait_sync"):
        del workspace.subject.stages[name]
    workspace.save()
    for path in (workspace.tracking_path, workspace.background_path, model_path(workspace)):
        path.unlink()
    return workspace.root


def test_mattes_that_are_made_beside_face_sync_are_those_that_are_made_after_it(
    processed_once, tracked_only, short_clip, monkeypatch
):
    begun, events, history = threading.Event(), [], History()

    def face_sync_meanwhile(workspace, reporter, **_: object) -> None:
        assert begun.wait(60), "portrait_sync has not begun beside face_sync"
        reporter.progress("face_sync", 1, 1)

    def beginning(*arguments: object, **options: object) -> None:
        begun.set()
        split(*arguments, **options)

    split = portrait_sync.run
    monkeypatch.setattr(face_sync, "run", face_sync_meanwhile)
    monkeypatch.setattr(portrait_sync, "run", beginning)
    reporter = Reporter(events.append, interval_s=0, history=history)
    process.run(process.Options(video=short_clip, workspace=tracked_only), reporter)
    assert history.knows("portrait_sync"), "its time is kept though it began before its turn"
    made, before = Workspace.open(tracked_only), Workspace.open(processed_once)
    key = made.subject.stages["portrait_sync"]["key"]
    assert (
        key
        == before.subject.stages["portrait_sync"]["key"]
        == portrait_sync.stage_key(made, before.head_track(refined=False))
    )
    for index in (0, 40, 80):
        np.testing.assert_array_equal(made.read_matte(index), before.read_matte(index))
        np.testing.assert_array_equal(made.read_plate(index), before.read_plate(index))
    assert list(dict.fromkeys(event.stage for event in events))[-2:] == ["face_sync", "portrait_sync"]
    assert events[-1].done == events[-1].total == made.subject.frames


def test_the_model_of_the_clip_is_made_beside_head_sync_and_frames_wait_for_its_poses(
    processed_once, tracked_only, short_clip, monkeypatch
):
    def head_sync_meanwhile(workspace, reporter, **_: object) -> None:
        assert soon(model_path(workspace).exists), "portrait_sync has not begun beside head_sync"
        assert not soon(workspace.plate_path(0).exists, 1.0), "a frame was split without a pose"

    monkeypatch.setattr(head_sync, "run", head_sync_meanwhile)
    process.run(process.Options(video=short_clip, workspace=tracked_only), Reporter())
    made, before = Workspace.open(tracked_only), Workspace.open(processed_once)
    assert made.subject.stages["portrait_sync"]["key"] == before.subject.stages["portrait_sync"]["key"]
    np.testing.assert_array_equal(made.read_matte(40), before.read_matte(40))


def test_an_error_of_head_sync_stops_portrait_sync_that_waits_for_its_poses(tracked_only, short_clip, monkeypatch):
    def full(workspace, reporter, **_: object) -> None:
        assert soon(model_path(workspace).exists)
        raise StorageError("the disk is full")

    monkeypatch.setattr(head_sync, "run", full)
    with pytest.raises(StorageError, match="the disk is full"):
        process.run(process.Options(video=short_clip, workspace=tracked_only), Reporter())
    assert Workspace.open(tracked_only).stage_state("portrait_sync") == "partial"


def soon(is_so: Callable[[], bool], within_s: float = 60.0) -> bool:
    """Whether it comes to be so in that time."""
    end = time.monotonic() + within_s
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)
    return is_so()


def test_an_error_of_face_sync_stops_portrait_sync_beside_it(tracked_only, short_clip, monkeypatch):
    begun, ended = threading.Event(), threading.Event()

    def endless(workspace, reporter, **_: object) -> None:
        begun.set()
        try:
            while True:
                reporter.progress("portrait_sync", 0, 1)
        finally:
            ended.set()

    def full(*_: object, **__: object) -> None:
        assert begun.wait(60)
        raise StorageError("the disk is full")

    monkeypatch.setattr(portrait_sync, "run", endless)
    monkeypatch.setattr(face_sync, "run", full)
    with pytest.raises(StorageError, match="the disk is full"):
        process.run(process.Options(video=short_clip, workspace=tracked_only), Reporter())
    assert ended.is_set()


def test_cancelling_stops_a_stage_that_began_early_when_its_turn_has_come(tracked_only, short_clip, monkeypatch):
    ended, asked = threading.Event(), threading.Event()

    def endless(workspace, reporter, **_: object) -> None:
        try:
            while True:
                reporter.progress("portrait_sync", 0, 1)
        finally:
            ended.set()

    def shown(progress) -> None:
        if progress.stage == "portrait_sync":
            asked.set()

    monkeypatch.setattr(portrait_sync, "run", endless)
    monkeypatch.setattr(face_sync, "run", lambda *_, **__: None)
    with pytest.raises(Cancelled):
        process.run(process.Options(video=short_clip, workspace=tracked_only), Reporter(shown, cancelled=asked.is_set))
    assert ended.is_set()


def test_a_warning_of_a_stage_that_began_early_is_the_user_s_and_the_workspace_s(tracked_only, short_clip, monkeypatch):
    def warning(workspace, reporter, **_: object) -> None:
        workspace.stage_begins("portrait_sync", "key")
        reporter.warning("something covers the face")
        workspace.stage_ends("portrait_sync", "key")

    monkeypatch.setattr(portrait_sync, "run", warning)
    monkeypatch.setattr(face_sync, "run", lambda *_, **__: None)
    said = Reporter()
    process.run(process.Options(video=short_clip, workspace=tracked_only), said)
    assert "something covers the face" in said.warnings
    assert Workspace.open(tracked_only).subject.stages["portrait_sync"]["warnings"] == ["something covers the face"]
