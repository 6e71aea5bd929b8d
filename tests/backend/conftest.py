"""Workspaces made once a run from a few seconds of the embedded speaker, by the real stages."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook

from tests.backend import shape_check

# Shapes in signatures are checked at each call, but for what Numba compiles. Before anything of these rooms is imported.
plain = (
    "regions", "field.field", "field.plain", "field.rays", "field.renderer", "field.kernels.interface",
    "field.kernels.torch_kernel", "gaussians.head", "gaussians.renderer", "gaussians.kernels.interface",
    "gaussians.kernels.torch_rasteriser",
)  # fmt: skip
head_sync = (path.stem for path in (Path(__file__).parents[2] / "backend" / "head_sync").glob("[!_]*.py"))
checked = [
    "backend.workspace",
    *(f"backend.head_sync.{name}" for name in head_sync if not name.endswith("_kernel")),
    *(f"backend.renderer.{name}" for name in plain),
]
install_import_hook(checked, f"{shape_check.__name__}.checked")

from tests.backend.made_up_head import MadeUp, make_face, make_motion, make_observed
from tests.backend.made_up_twin import write_made_up_twin
from tests.backend.server_client import Client

SECONDS = 4

MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def sample(root: Path) -> Path:
    """The folder of the embedded speaker."""
    folder = root / "backend" / "actor" / "sample"
    assert (folder / "speaker.mp4").exists(), "the embedded sample is part of the project"
    return folder


@pytest.fixture(scope="session")
def speaker_frames(sample: Path) -> list[np.ndarray]:
    """100 frames of the sample, (256, 256, 3) uint8: a person who faces the camera."""
    import cv2

    from backend.media.decode import frames

    found = itertools.islice(frames(sample / "speaker.mp4"), 100)
    return [cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA) for _, frame in found]


@pytest.fixture(scope="session")
def short_clip(sample: Path, made_once: MadeOnce) -> Path:
    """The first four seconds of the sample at 256², with their audio."""

    def fill(folder: Path) -> None:
        import cv2

        from backend.media.audio import read_audio
        from backend.media.decode import frames
        from backend.media.encode import VideoWriter

        audio = read_audio(sample / "speaker.mp4", 48000)[: SECONDS * 48000]
        with VideoWriter(folder / "short.mp4", 256, 256, audio=(audio, 48000), crf=14) as video:
            for _, frame in itertools.islice(frames(sample / "speaker.mp4"), SECONDS * 25):
                video.write(cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA))

    return made_once("short_clip", fill) / "short.mp4"


@pytest.fixture(scope="session")
def processed_once(short_clip: Path, made_once: MadeOnce) -> Path:
    """A processed workspace that tests must not change."""

    def fill(folder: Path) -> None:
        from backend.commands import process
        from backend.progress import Reporter

        consent = "nobody: a synthetic speaker"
        options = process.Options(video=short_clip, workspace=folder / "speaker", consent=consent)
        process.run(options, Reporter())

    return made_once("processed", fill) / "speaker"


@pytest.fixture(scope="session")
def trained_once(processed_once: Path, made_once: MadeOnce) -> Path:
    """A workspace with a field trained for a few seconds; tests must not change it."""

    def fill(folder: Path) -> None:
        from backend.commands import train
        from backend.progress import Reporter

        shutil.copytree(processed_once, folder / "speaker")
        train.run(train.Options(workspace=folder / "speaker", steps=350, head="field"), Reporter())

    return made_once("trained", fill) / "speaker"


@pytest.fixture(scope="session")
def twin_once(trained_once: Path, made_once: MadeOnce) -> Path:
    """That workspace with the field's Gaussian twin, trained for as long; tests must not change it."""

    def fill(folder: Path) -> None:
        from backend.commands import train
        from backend.progress import Reporter

        shutil.copytree(trained_once, folder / "speaker")
        train.run(train.Options(workspace=folder / "speaker", steps=800, head="gaussians"), Reporter())

    return made_once("twin", fill) / "speaker"


@pytest.fixture
def twin(twin_once: Path, tmp_path: Path) -> Path:
    """A workspace of the test's own with both heads."""
    return Path(shutil.copytree(twin_once, tmp_path / "speaker"))


@pytest.fixture
def processed(processed_once: Path, tmp_path: Path) -> Path:
    """A processed workspace of the test's own."""
    return Path(shutil.copytree(processed_once, tmp_path / "speaker"))


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path) -> Path:
    """A trained workspace of the test's own."""
    return Path(shutil.copytree(trained_once, tmp_path / "speaker"))


@pytest.fixture
def made_up_twin(trained: Path) -> Path:
    """As `trained`, with a Gaussian twin beside the field; its poses are 1 cm further away."""
    write_made_up_twin(trained)
    return trained


@pytest.fixture(scope="session")
def made_up() -> MadeUp:
    """A face whose motion is known, as a landmarker without error sees it."""
    return make_observed(make_face(), make_motion(150))


@pytest.fixture
def client(root: Path):
    """A running `serve`."""
    client = Client(root)
    yield client
    client.process.stdin.close()
    assert client.process.wait(timeout=30) == 0  # Blender's death ends the backend
