"""A drawn person with known mattes: a head that nods and talks before a static, textured wall."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from backend.portrait_sync.frame import ClipModel
from backend.portrait_sync.head_region import FACE_OVAL, JAW
from backend.portrait_sync.learn import learn_clip

SKIN, NECK, HAIR, SHIRT = (205, 160, 135), (150, 112, 92), (45, 35, 30), (40, 60, 120)


@dataclass
class Scene:
    """A clip of N frames of S x S pixels and its truth."""

    frames: np.ndarray
    """(N, S, S, 3) uint8."""
    head: np.ndarray
    """(N, S, S) float32, true head matte."""
    person: np.ndarray
    """(N, S, S) float32, true matte of the person."""
    ear: np.ndarray
    """(N, S, S) float32, the parts of the head that are ears."""
    background: np.ndarray
    """(S, S, 3) uint8."""
    landmarks: np.ndarray
    """(N, 478, 2) float32; only the face's outline and the bridge of the nose mean anything."""
    probability: np.ndarray
    """(N, 256, 256) float32: what a segmentation network would say, which misses the ears and is blurred."""


def wall(size: int, seed: int = 1) -> np.ndarray:
    """A greenish wall with soft stains and a lighter strip."""
    noise = np.random.default_rng(seed).uniform(-1, 1, (size // 16, size // 16, 3)).astype(np.float32)
    image = np.array([70, 125, 110], np.float32) + 25 * cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    image[:, size // 7 : size // 6] += 50
    return np.clip(image, 0, 255).astype(np.uint8)


def draw(count: int = 12, size: int = 256, noise: float = 1.0) -> Scene:
    """Draw the scene."""
    random = np.random.default_rng(0)
    background = wall(size)
    frames, heads, ears, persons, landmarks, probabilities = [], [], [], [], [], []
    rows, columns = np.arange(size)[:, None], np.arange(size)[None]
    for index in range(count):
        phase = 2 * np.pi * index / max(count, 1)
        x, y = (0.5 + 0.07 * np.sin(phase)) * size, (0.42 + 0.02 * np.cos(phase)) * size
        wide, high = 0.15 * size, 0.2 * size
        opening = 0.03 * size * (0.5 + 0.5 * np.sin(3 * phase))

        jaw = ellipse(size, x, y + opening, wide, high) * (rows > y)
        face = np.maximum(ellipse(size, x, y, wide, high), jaw)
        hair = ellipse(size, x, y - 0.03 * size, 1.15 * wide, 1.15 * high) * (rows < y - 0.05 * size)
        ear = np.maximum(*(ellipse(size, x + side * 1.05 * wide, y, 0.03 * size, 0.05 * size) for side in (-1, 1)))
        neck = ((np.abs(columns - 0.5 * size) < 0.09 * size) & (rows > y)).astype(np.float32)
        torso = ellipse(size, 0.5 * size, 1.05 * size, 0.42 * size, 0.3 * size)
        fringe = hair * (rows < y - 0.12 * size)

        image = background.astype(np.float32)
        layers = ((neck, NECK), (torso, SHIRT), (ear, SKIN), (hair, HAIR), (face, SKIN), (fringe, HAIR))
        for matte, colour in layers:
            image += matte[..., None] * (np.array(colour, np.float32) - image)
        image += random.normal(0, noise, image.shape)
        frames.append(np.clip(np.rint(image), 0, 255).astype(np.uint8))
        heads.append(1 - (1 - face) * (1 - hair) * (1 - ear))
        ears.append(ear)
        persons.append(1 - (1 - heads[-1]) * (1 - neck) * (1 - torso))
        without_ears = 1 - (1 - face) * (1 - hair) * (1 - neck) * (1 - torso)
        answer = cv2.resize(without_ears.astype(np.float32), (256, 256))
        probabilities.append(cv2.GaussianBlur(answer, (0, 0), 2.5 * 256 / size))
        landmarks.append(_landmarks(np.array([x, y]), np.array([wide, high]), opening))
    return Scene(
        frames=np.stack(frames),
        head=np.stack(heads).astype(np.float32),
        ear=np.stack(ears),
        person=np.stack(persons).astype(np.float32),
        background=background,
        landmarks=np.stack(landmarks).astype(np.float32),
        probability=np.stack(probabilities),
    )


def ellipse(size: int, x: float, y: float, wide: float, high: float) -> np.ndarray:
    """(size, size) float32: a smooth-edged ellipse."""
    big = np.zeros((4 * size, 4 * size), np.uint8)
    cv2.ellipse(big, (round(4 * x), round(4 * y)), (round(4 * wide), round(4 * high)), 0, 0, 360, 255, -1)
    return cv2.resize(big, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _landmarks(centre: np.ndarray, radius: np.ndarray, opening: float) -> np.ndarray:
    """The oval's landmarks on the drawn face, the others at its centre."""
    points = np.tile(centre, (478, 1))
    points[168] = centre - [0, 0.25 * radius[1]]
    # FACE_OVAL goes from the right cheek (left in the image) over the chin; the forehead comes back from the left.
    chin = FACE_OVAL.index(152)
    for position, index in enumerate(FACE_OVAL):
        angle = np.pi / 2 + (chin - position) * 2 * np.pi / len(FACE_OVAL)
        points[index] = centre + radius * [np.cos(angle), np.sin(angle)]
        if index in JAW:
            points[index] += [0, opening * max(0.0, np.sin(angle))]
    return points


@pytest.fixture(scope="session")
def scene() -> Scene:
    return draw()


@pytest.fixture(scope="session")
def model(scene: Scene) -> ClipModel:
    """What the clip teaches, with the drawn network's answers."""
    probabilities = {frame.tobytes(): scene.probability[index] for index, frame in enumerate(scene.frames)}
    usable = np.ones(len(scene.frames), bool)
    return learn_clip(lambda i: scene.frames[i], lambda f: probabilities[f.tobytes()], scene.landmarks, usable)
