"""Workspaces made once a run from a few seconds of the embedded speaker, by the real stages."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Shapes in signatures are checked at each call. Before anything of these rooms is imported.
install_import_hook(["backend.workspace.poses"], "beartype.beartype")

from tests.backend.made_up_head import MadeUp, make_face, make_motion, make_observed

SECONDS = 4


@pytest.fixture(scope="session")
def sample(root: Path) -> Path:
    """The folder of the embedded speaker."""
    folder = root / "backend" / "actor" / "sample"
    assert (folder / "speaker.mp4").exists(), "the embedded sample is part of the project"
    return folder


@pytest.fixture(scope="session")
def short_clip(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first four seconds of the sample at 256², with their sound."""
    import cv2

    from backend.media.audio import read_audio
    from backend.media.decode import frames
    from backend.media.encode import VideoWriter

    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    sound = read_audio(sample / "speaker.mp4", 48000)[: SECONDS * 48000]
    with VideoWriter(path, 256, 256, audio=(sound, 48000), crf=14) as film:
        for _, picture in itertools.islice(frames(sample / "speaker.mp4"), SECONDS * 25):
            film.write(cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA))
    return path


@pytest.fixture(scope="session")
def processed_once(short_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A processed workspace that tests must not change."""
    from backend import pipeline
    from backend.options import ProcessOptions
    from backend.progress import Reporter

    root = tmp_path_factory.mktemp("processed") / "speaker"
    pipeline.process(root, ProcessOptions(video=short_clip), Reporter(), consent_by="nobody: a synthetic speaker")
    return root


@pytest.fixture(scope="session")
def trained_once(processed_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a head trained for a few seconds; tests must not change it."""
    from backend import pipeline
    from backend.progress import Reporter

    root = tmp_path_factory.mktemp("trained") / "speaker"
    shutil.copytree(processed_once, root)
    pipeline.train(root, "preview", None, Reporter(), steps=350)
    return root


@pytest.fixture
def processed(processed_once: Path, tmp_path: Path) -> Path:
    """A processed workspace of the test's own."""
    return Path(shutil.copytree(processed_once, tmp_path / "speaker"))


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A trained workspace of the test's own."""
    return Path(shutil.copytree(trained_once, tmp_path / "speaker"))


@pytest.fixture(scope="session")
def made_up() -> MadeUp:
    """A face whose motion is known, as a landmarker without error sees it."""
    return make_observed(make_face(), make_motion(150))
