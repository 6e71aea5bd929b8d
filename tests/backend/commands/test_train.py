"""What `train` asks and checks before it trains."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from backend.commands import train
from backend.errors import ConsentError
from backend.progress import Reporter
from backend.training import readiness
from backend.training import train as training
from backend.training.presets import PRESETS
from backend.workspace.store import Workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """Where no training takes place: only what comes before it."""

    def trained(workspace, *_, **__):
        return SimpleNamespace(step=1, minutes=0.0, psnr=0.0, checkpoint=workspace.checkpoints)

    monkeypatch.setattr(training, "train", trained)
    monkeypatch.setattr(readiness, "measure", lambda *_: None)
    return Workspace.create(tmp_path / "anna")


def test_the_presets_are_those_there_are():
    assert tuple(PRESETS) == train.PRESET_NAMES


def test_while_the_question_for_consent_waits_others_may_use_the_workspace(workspace):
    def ask(question):
        other = Workspace.open(workspace.root)
        with other.locked():
            other.subject.name = "renamed meanwhile"
            other.save()
        return "Anna"

    train.run(train.Options(workspace=workspace.root), Reporter(ask=ask))
    subject = Workspace.open(workspace.root).subject
    assert subject.consent["by"] == "Anna" and subject.name == "renamed meanwhile"


def test_consent_to_one_clip_is_not_recorded_for_another(workspace):
    def ask(question):
        other = Workspace.open(workspace.root)
        other.subject.source_sha256 = "another clip"
        other.save()
        return "Anna"

    with pytest.raises(ConsentError, match="has another clip now"):
        train.run(train.Options(workspace=workspace.root), Reporter(ask=ask))
    assert not Workspace.open(workspace.root).subject.consent


def test_nobody_named_is_no_consent(workspace):
    with pytest.raises(ConsentError, match="can only be trained with the person"):
        train.run(train.Options(workspace=workspace.root), Reporter(ask=lambda question: ""))
