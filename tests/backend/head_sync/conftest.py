"""The embedded speaker as a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def speaker(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded speaker after `media`, as a workspace that tests must copy before they write to it."""
    from backend.media.stage import run
    from backend.options import ProcessOptions
    from backend.progress import Reporter
    from backend.workspace.store import Workspace

    root = tmp_path_factory.mktemp("head_sync") / "speaker"
    run(Workspace.create(root), ProcessOptions(video=sample / "speaker.mp4"), Reporter())
    return root
