"""Consent is bound to a clip: what is trained is what the person agreed to."""

from __future__ import annotations

import pytest

from backend.commands import train
from backend.commands.consent import record_consent
from backend.errors import ConsentError, WorkspaceError
from backend.progress import Reporter
from backend.workspace.files import sha256_of
from backend.workspace.store import Workspace


@pytest.fixture
def workspace(tmp_path):
    """A workspace with consent, whose clip is a file."""
    clip = tmp_path / "anna.mp4"
    clip.write_bytes(b"the clip that was processed")
    workspace = Workspace.create(tmp_path / "anna.synctalk")
    workspace.subject.source, workspace.subject.source_sha256 = str(clip), sha256_of(clip)
    record_consent(workspace, "Anna Example")
    return workspace


def test_a_workspace_whose_clips_file_was_exchanged_does_not_train(workspace, tmp_path):
    options = train.Options(workspace=workspace.root)
    with pytest.raises(WorkspaceError, match="stage media is not finished"):  # consent is no obstacle
        train.run(options, Reporter())
    (tmp_path / "anna.mp4").write_bytes(b"another clip")
    with pytest.raises(ConsentError, match=r"anna\.mp4 is not the clip that .* put that one back"):
        train.run(options, Reporter())
    (tmp_path / "anna.mp4").unlink()  # moved: the frames are still of the consented clip
    with pytest.raises(WorkspaceError, match="stage media is not finished"):
        train.run(options, Reporter())


def test_consent_for_one_clip_is_none_for_another(workspace):
    workspace.require_consent()
    workspace.subject.source_sha256 = "00" * 32
    with pytest.raises(ConsentError, match="is for another clip"):
        workspace.require_consent()
    record_consent(workspace, "Anna Example")
    workspace.require_consent()


def test_a_record_that_names_no_clip_yet_still_counts(workspace):
    del workspace.subject.consent["clip"]
    workspace.require_consent()
