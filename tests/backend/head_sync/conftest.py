"""The embedded speaker as a workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def speaker(sample: Path, made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The embedded speaker after `media`, as a workspace that tests must copy before they write to it."""

    def fill(folder: Path) -> None:
        from backend.media.stage import run
        from backend.progress import Reporter
        from backend.workspace.store import Workspace

        run(Workspace.create(folder / "speaker"), Reporter(), sample / "speaker.mp4")

    return made_once("head_sync", fill) / "speaker"
