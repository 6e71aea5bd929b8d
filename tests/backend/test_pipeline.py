"""Consent belongs to the person in one clip, and a finished workspace is not processed again."""

from __future__ import annotations

import pytest

from backend import pipeline
from backend.errors import WorkspaceError
from backend.options import ProcessOptions
from backend.progress import Reporter
from backend.workspace.store import Workspace


def test_consent_is_recorded_with_who_when_and_which_clip(processed):
    subject = Workspace.open(processed).subject
    assert subject.consent["given"] and subject.consent["by"] == "nobody: a synthetic speaker"
    assert subject.consent["clip"] == subject.source_sha256 and subject.consent["when"]


def test_another_clip_in_the_same_workspace_needs_its_own_consent(processed):
    workspace = Workspace.open(processed)
    workspace.subject.source_sha256 = "another clip"
    pipeline._tie_consent_to_clip(workspace, renewed=False)
    assert not Workspace.open(processed).subject.consent.get("given")


def test_a_finished_workspace_is_left_as_it_is(processed, short_clip):
    files = [path for path in processed.rglob("*") if path.is_file() and path.suffix in (".npz", ".jpg", ".png")]
    before = {path: path.stat().st_mtime_ns for path in files}
    pipeline.process(processed, ProcessOptions(video=short_clip), Reporter())
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_an_unknown_stage_names_the_known_ones(processed):
    with pytest.raises(WorkspaceError, match="choose one of media, landmarks"):
        pipeline.process(processed, ProcessOptions(), Reporter(), only="nose")


def test_info_tells_what_blender_needs(processed):
    info = pipeline.info(processed)
    assert set(info["stages"].values()) == {"done"} and info["trained"] is None and info["frames"] > 90
