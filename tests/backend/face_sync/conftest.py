"""A synthetic subject: a neutral face, known coefficients seen by a known camera, and speech that goes with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from backend.face_sync import adaptation, blendshape_basis
from backend.face_sync.blendshapes import View
from backend.media.audio import write_wav
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.files import write_arrays
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop

RATE = 16000
FPS = 25


def index(name: str) -> int:
    return BLENDSHAPE_NAMES.index(name)


@pytest.fixture(scope="session")
def face() -> np.ndarray:
    """(478, 3) neutral face of the project's synthetic speaker, as MediaPipe sees it, in the head frame."""
    return np.load(Path(__file__).parent / "neutral_face.npy").astype(np.float64)


@pytest.fixture(scope="session")
def shapes(face: np.ndarray) -> np.ndarray:
    return blendshape_basis.displacements(face)


def turning_view(frames: int) -> View:
    """A head that turns and drifts before a camera with 1100 px of focal length."""
    time = np.arange(frames) / FPS
    poses = np.tile(np.eye(4), (frames, 1, 1))
    for i, t in enumerate(time):
        yaw, pitch = 0.12 * np.sin(1.1 * t), 0.06 * np.sin(0.7 * t + 1)
        around_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        around_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
        poses[i, :3, :3] = around_y @ around_x
        poses[i, :3, 3] = 0.01 * np.sin(t), 0.005 * np.cos(t), 0.7 + 0.01 * np.sin(0.5 * t)
    return View(poses, 1100.0, np.array([256.0, 256.0]))


def project(
    face: np.ndarray, shapes: np.ndarray, coefficients: np.ndarray, view: View, noise_px: float = 0.0
) -> np.ndarray:
    """(N, 478, 2) landmarks of a face with these coefficients."""
    points = face + np.einsum("nk,kij->nij", coefficients, shapes)
    camera = np.einsum("nij,nkj->nki", view.head_to_camera[:, :3, :3], points) + view.head_to_camera[:, None, :3, 3]
    pixels = camera[..., :2] / camera[..., 2:] * view.focal_px + view.principal_px
    return pixels + np.random.default_rng(0).normal(0, noise_px, pixels.shape) if noise_px else pixels


def babble(seconds: float, seed: int, pitch_hz: float = 120.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Syllables of two formants: sound (samples,), jaw opening (N,) and lip spreading (N,) in [0, 1] at 25 a second.

    The first formant rises with the jaw, the second with spread lips, and every few syllables there is a pause.
    """
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    jaw, spread, loud = np.zeros(count), np.zeros(count), np.zeros(count)
    at = int(0.2 * RATE)
    while at < count:
        length = int(rng.uniform(0.12, 0.28) * RATE)
        jaw[at : at + length], spread[at : at + length] = rng.uniform(0.2, 1), rng.uniform(0, 1)
        loud[at : at + length] = 1
        at += length + int(rng.uniform(0.03, 0.08) * RATE)
        if rng.random() < 0.12:
            at += int(rng.uniform(0.4, 0.7) * RATE)
    jaw, spread, loud = (gaussian_filter1d(curve, 0.025 * RATE) for curve in (jaw, spread, loud))
    buzz = np.zeros(count)
    phase = np.cumsum(pitch_hz * (1 + 0.1 * np.sin(np.arange(count) / RATE * 3)) / RATE)
    buzz[np.flatnonzero(np.diff(np.floor(phase)) > 0)] = 1
    buzz += rng.normal(0, 0.01, count)
    sound = np.zeros(count)
    state = {1: np.zeros(2), 2: np.zeros(2)}
    block = RATE // 100
    for start in range(0, count, block):
        part = slice(start, start + block)
        for number, hertz in ((1, 250 + 650 * jaw[start]), (2, 900 + 1500 * spread[start])):
            radius = np.exp(-np.pi * 90 / RATE)
            denominator = [1, -2 * radius * np.cos(2 * np.pi * hertz / RATE), radius**2]
            filtered, state[number] = lfilter([1 - radius], denominator, buzz[part], zi=state[number])
            sound[part] += filtered
    sound *= loud
    sound += rng.normal(0, 1e-4, count)
    frame = np.minimum(np.arange(int(seconds * FPS)) * RATE // FPS, count - 1)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32), jaw[frame], spread[frame]


@pytest.fixture(scope="module")
def brief_adaptation():
    """Speech models that are adapted in a moment, where a test is not about how well they speak."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaptation, "ADAPT_STEPS", 6)
        yield


@dataclass(frozen=True)
class Subject:
    root: Path
    coefficients: np.ndarray


@pytest.fixture
def subject(tmp_path: Path, face: np.ndarray, shapes: np.ndarray) -> Subject:
    return make_subject(tmp_path / "subject", face, shapes)


def make_subject(
    root: Path,
    face: np.ndarray,
    shapes: np.ndarray,
    late_ms: float = 0.0,
    seconds: float = 24.0,
    scores: bool = False,
    change: Callable[[np.ndarray], np.ndarray] | None = None,
    cuts: Sequence[int] = (),
) -> Subject:
    """A workspace processed up to `head_sync`, as the earlier stages would have left it.

    Args:
        change: of the audio, before it is written. cuts: frames at which takes begin.
    """
    sound, jaw, spread = babble(seconds, seed=1)
    frames = len(jaw)
    coefficients = np.zeros((frames, len(BLENDSHAPE_NAMES)))
    coefficients[:, index("jawOpen")] = 0.5 * jaw
    coefficients[:, index("mouthSmileLeft")] = coefficients[:, index("mouthSmileRight")] = 0.5 * spread
    for start in range(30, frames - 5, 80):
        for name in ("eyeBlinkLeft", "eyeBlinkRight"):
            coefficients[start : start + 3, index(name)] = 0.9
    view = turning_view(frames)
    late = round(late_ms * RATE / 1000)
    workspace = Workspace.create(root)
    subject = workspace.subject
    subject.name, subject.source, subject.frames, subject.size = "babble", "babble.mp4", frames, 512
    subject.crop, subject.source_size, subject.source_fps = Crop(0, 0, 512), (512, 512), 25.0
    sound = np.pad(sound, (late, 0))[: len(sound)]
    write_wav(workspace.audio_path, [sound if change is None else change(sound)])
    valid = np.ones(frames, bool)
    valid[100:104] = False
    write_arrays(
        root / "landmarks.npz",
        landmarks_px=project(face, shapes, coefficients, view, noise_px=0.3).astype(np.float32),
        depth=np.zeros((frames, 478), np.float32),
        detected=valid,
        scores=coefficients.astype(np.float32) if scores else np.zeros((0, 52), np.float32),
    )
    write_arrays(
        root / "head_sync.npz",
        head_to_camera=view.head_to_camera,
        focal_px=view.focal_px,
        principal_px=view.principal_px,
        face_head_m=face,
        points_head_m=np.zeros((0, 3)),
        points_px=np.zeros((frames, 0, 2), np.float32),
        points_seen=np.zeros((frames, 0), bool),
        reprojection_px=np.full(frames, 0.4),
        valid=valid,
        cuts=np.isin(np.arange(frames), cuts),
    )
    for name in ("media", "landmarks", "head_sync"):
        subject.stages[name] = {"state": "done", "key": f"key of {name}"}
    workspace.save()
    return Subject(root, coefficients)
