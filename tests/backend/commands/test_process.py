"""Consent belongs to the person in one clip, and a finished workspace is not processed again."""

from __future__ import annotations

import pytest

from backend.cli import main
from backend.commands import consent, process
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
