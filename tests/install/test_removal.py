"""`remove` deletes what was made here; what Blender made for the user only when that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from install import backend_environment, environment, removal


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text("home = nowhere\n")
    (folder / environment.MARKER).write_text(json.dumps({"complete": True}))
    return folder


@pytest.mark.parametrize("user", [False, True])
def test_the_users_backend_is_named_and_deleted_on_request_alone(tmp_path, monkeypatch, capsys, user):
    monkeypatch.setattr(backend_environment, "user_root", lambda: tmp_path / "user")
    checkouts = make(tmp_path / "checkout/.venvs/backend")
    users = make(tmp_path / "user/backend")
    (tmp_path / "user/models").mkdir()
    assert removal.run(tmp_path / "checkout", tmp_path / "checkout/.venvs", yes=True, user=user) == 0
    assert not checkouts.exists()
    assert users.exists() is not user and (tmp_path / "user/models").is_dir()
    printed = capsys.readouterr().out
    assert str(users) in printed and ("--user deletes it" in printed) is not user
