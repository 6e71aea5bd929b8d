"""The lasting id of a subject: given once, kept wherever the folder goes, and there for workspaces from before it."""

from __future__ import annotations

import json
import shutil

from backend.workspace.store import Workspace
from backend.workspace.subject import subject_id


def test_a_new_workspace_has_an_id_of_its_own_that_moves_with_it(tmp_path):
    first, second = (Workspace.create(tmp_path / name).subject for name in ("anna.synctalk", "berta.synctalk"))
    assert len(first.id) == 32
    assert first.id != second.id
    assert first.name == "anna"
    moved = shutil.move(tmp_path / "anna.synctalk", tmp_path / "elsewhere")
    assert Workspace.open(moved).subject.id == first.id


def test_a_workspace_from_before_has_the_same_id_in_every_reader_and_after_it_was_saved(tmp_path):
    Workspace.create(tmp_path / "old")
    path = tmp_path / "old" / "subject.json"
    record = json.loads(path.read_text()) | {"source_sha256": "ab"}
    del record["id"]
    path.write_text(json.dumps(record))
    workspace = Workspace.open(tmp_path / "old")
    assert workspace.subject.id == subject_id(record)
    workspace.save()
    assert json.loads(path.read_text())["id"] == subject_id(record)
