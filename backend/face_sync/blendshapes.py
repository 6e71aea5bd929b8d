"""Facial animation capturer: the 52 blendshape coefficients of each frame of the footage (SyncTalk, section 3.2).

A frame's landmarks, under the head's pose, are fitted by the subject's neutral face and the shape keys that Blender uses,
so the rig matches the footage. The face landmarker's scores, if there are any, are the prior mean: they cover what
landmarks do not show (a puffed cheek), but alone are too coarse for speech (a fluent speaker's `jawOpen` stays below 0.12).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..protocol import BLENDSHAPE_NAMES
from ..workspace import landmarks as groups
from ..workspace.arrays import filled
from ..workspace.landmarks import HALVES, LEFT, RIGHT
from ..workspace.poses import to_camera
from .nonnegative import bounded_least_squares

LANDMARK_SIGMA_M = 0.0012
"""Standard deviation of a landmark's place on the face."""

RARITY = 0.02
"""Weight of the sum of coefficients (exponential prior, in units of 1 / LANDMARK_SIGMA_M): few muscles act at once.
See `_rarity`."""

_RIGID = 6
_STEADIED_S, _STEADIED_SHARE = (0.0, 0.04, 0.08, 0.12), (1.0, 0.8, 0.4, 0.0)
"""How much a neighbour counts for, by its distance in time."""
_CHUNK = 128


@dataclass(frozen=True)
class View:
    """How the camera sees the head: (N, 4, 4) poses, focal length and principal point in pixels."""

    head_to_camera: np.ndarray
    focal_px: float
    principal_px: np.ndarray


def capture(
    landmarks_px: np.ndarray,
    view: View,
    face_head_m: np.ndarray,
    shapes: np.ndarray,
    valid: np.ndarray,
    scores: np.ndarray | None = None,
    fps: float = 25.0,
) -> np.ndarray:
    """The coefficients that explain the landmarks.

    Args:
        landmarks_px: (N, 478, 2).
        view: the head's pose in each frame.
        face_head_m: (478, 3) the subject's neutral face (`calibration.neutral_face`), head frame, metres.
        shapes: (52, 478, 3) from `blendshape_basis.displacements`.
        valid: (N,) bool; other frames are filled from their neighbours in time.
        scores: (N, 52) in [0, 1] of the face landmarker, or None.
        fps: frames a second.

    Returns:
        (N, 52) float32 in [0, 1]; 0 is the subject's own neutral face.
    """
    frames = np.flatnonzero(valid)
    solved = np.zeros((len(landmarks_px), len(BLENDSHAPE_NAMES)))
    if len(frames):
        seen = View(view.head_to_camera[frames], view.focal_px, view.principal_px)
        mean = None if scores is None else about_neutral(scores[frames])
        solved[frames] = _solve(landmarks_px[frames], seen, face_head_m, shapes, mean)
        for name in ("eyeBlinkLeft", "eyeBlinkRight"):
            solved[:, _index(name)] *= blink_gain(solved[frames, _index(name)])
    return steadied(filled(solved, valid), fps=fps)


def about_neutral(scores: np.ndarray) -> np.ndarray:
    """Scores (N, 52) with the subject's resting values taken out: a low brow is not a frown.

    The rest is the 5th percentile of each score; of gaze, whose scores come in opposed pairs, the median direction.
    """
    rest = np.quantile(scores, 0.05, axis=0)
    moved = np.clip(scores - rest, 0, 1)
    for side, opposite in _GAZE_PAIRS:
        direction = scores[:, side] - scores[:, opposite]
        direction = direction - np.median(direction)
        moved[:, side], moved[:, opposite] = np.maximum(direction, 0), np.maximum(-direction, 0)
    return moved


def blink_gain(closing: np.ndarray) -> float:
    """Gain that makes the subject's blinks shut the eye: trackers keep a gap between the landmarks of touching lids.

    Args:
        closing: (N,) coefficients of one eye.

    Returns:
        1 to 1.5; 1 where the subject does not blink at least twice.
    """
    inner = closing[1:-1]
    peaks = inner[(inner > 0.55) & (inner >= closing[:-2]) & (inner > closing[2:])]
    return float(np.clip(1 / np.quantile(peaks, 0.75), 1, 1.5)) if len(peaks) >= 2 else 1.0


def steadied(values: np.ndarray, tolerance: float = 0.04, fps: float = 25.0) -> np.ndarray:
    """Remove jitter and keep motion: a bilateral filter over 0.2 s, five frames at 25 a second.

    A neighbour counts for less the farther its value lies from the frame's own, so changes of a few hundredths are
    averaged, but a blink of 0.12 s keeps its depth.

    Args:
        values: (N, C) coefficients.
        tolerance: standard deviation of what counts as jitter.
        fps: frames a second.
    """
    values = np.asarray(values, np.float64)
    reach = math.ceil(_STEADIED_S[-1] * fps - 1e-6) - 1
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
    total, weight = np.zeros_like(values), np.zeros_like(values)
    for shift in range(-reach, reach + 1):
        near = np.interp(abs(shift) / fps, _STEADIED_S, _STEADIED_SHARE)
        other = padded[reach + shift : reach + shift + len(values)]
        share = near * np.exp(-0.5 * ((other - values) / tolerance) ** 2)
        total += share * other
        weight += share
    return np.clip(total / weight, 0, 1).astype(np.float32)


def _index(name: str) -> int:
    return BLENDSHAPE_NAMES.index(name)


_GAZE_PAIRS = [
    (_index(f"eyeLook{a}{side}"), _index(f"eyeLook{b}{side}"))
    for side in ("Left", "Right")
    for a, b in (("Up", "Down"), ("Out", "In"))
]


def _pairs() -> list[tuple[int, int, float]]:
    """Coefficients that go together, with the standard deviation of their difference: the two sides of a face move
    almost equally, and both eyes look at the same point."""
    pairs = []
    for name in BLENDSHAPE_NAMES:
        if not name.endswith("Left") or name in ("jawLeft", "mouthLeft"):
            continue
        other = name.replace("Left", "Right")
        if name.startswith("eyeLookOut"):
            other = "eyeLookInRight"
        elif name.startswith("eyeLookIn"):
            other = "eyeLookOutRight"
        sigma = 0.04 if name.startswith("eyeLook") else 0.25 if name.startswith(("brow", "eyeBlink")) else 0.12
        pairs.append((_index(name), _index(other), sigma))
    return pairs


def _prior_sigma(scored: bool) -> np.ndarray:
    """(52,) standard deviation of each coefficient about the prior mean: the scores, or zero without them."""
    sigma = np.empty(len(BLENDSHAPE_NAMES))
    for k, name in enumerate(BLENDSHAPE_NAMES):
        if name in ("cheekPuff", "jawForward", "tongueOut"):
            sigma[k] = 0.03  # along the view axis: not visible in landmarks
        elif name.startswith(("cheek", "nose")):
            sigma[k] = 0.1
        elif name.startswith(("eyeSquint", "eyeWide")):
            sigma[k] = 0.12
        elif name.startswith(("eye", "brow")):
            sigma[k] = 0.15 if scored else 0.5
        elif name.startswith(("mouthPress", "mouthDimple", "mouthFrown", "mouthRoll", "mouthShrug")):
            sigma[k] = 0.15  # small motions that the large ones can imitate
        elif name in ("mouthClose", "mouthLeft", "mouthRight", "jawLeft", "jawRight"):
            sigma[k] = 0.15
        else:
            sigma[k] = 0.4
    return sigma


def _rarity() -> np.ndarray:
    """(52,) weight of each coefficient in the sparse prior."""
    rarity = np.full(len(BLENDSHAPE_NAMES), RARITY)
    # Prefer a smile to a stretch, which moves the corners alike; and prefer a closed jaw to an open one that
    # `mouthClose` undoes.
    for name in ("mouthStretchLeft", "mouthStretchRight", "mouthClose"):
        rarity[_index(name)] = 3 * RARITY
    # Inner brows raise and lower oppositely: their difference is small, and a strong prior would suppress it.
    for name in ("browInnerUp", "browDownLeft", "browDownRight"):
        rarity[_index(name)] = 0.75 * RARITY
    # Lower teeth show in every open vowel.
    for name in ("mouthLowerDownLeft", "mouthLowerDownRight"):
        rarity[_index(name)] = RARITY / 4
    return rarity


def _measurements() -> np.ndarray:
    """(M, 478): what is compared, as weighted sums of landmarks.

    Landmarks themselves, and differences of landmarks that belong together: the tracker's errors are shared by
    neighbours, so the gap between the lips or the lids, the width of the mouth, the iris in its eye and the brow above
    it are known much better than any landmark's own place.
    """
    weight = np.full(groups.COUNT, 0.35)
    weight[list(groups.FOREHEAD_TOP)] = 0.2
    for half in HALVES:
        weight[list(half.jaw_line)] = 0.25
        detailed = (*half.upper_lip, *half.lower_lip, half.upper_lid, half.lower_lid, half.eye_corners)
        for group in (*detailed, half.brow_upper, half.brow_lower):
            weight[list(group)] = 1.0
        weight[list(half.iris)] = 0.0
    rows = [np.diag(weight)[weight > 0]]

    def difference(a: tuple[int, ...], b: tuple[int, ...], by: float) -> None:
        row = np.zeros((1, groups.COUNT))
        row[0, list(a)] += by / len(a)
        row[0, list(b)] -= by / len(b)
        rows.append(row)

    for half in HALVES:
        for upper, lower in zip(half.upper_lip[-1][:5], half.lower_lip[-1][:5], strict=True):
            difference((upper,), (lower,), 2.0)
        for upper, lower in zip(half.upper_lid, half.lower_lid, strict=True):
            difference((upper,), (lower,), 2.0)
        difference(half.iris, half.eye_corners, 6.0)
        difference(half.brow_lower[:2], half.eye_corners, 3.0)
        difference(half.brow_lower[2:], half.eye_corners, 3.0)
    difference((LEFT.mouth_corner, 308), (RIGHT.mouth_corner, 78), 3.0)
    return np.concatenate(rows).astype(np.float32)


def reprojection(face: np.ndarray, landmarks_px: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (N, 478, 2) of the landmarks against `face`, metres across the view axis, so near and far heads have
    equal weight; and their derivatives (N, 478, 2, 3) by the points of the face, at constant depth."""
    in_camera = to_camera(view.head_to_camera, face)
    depth = in_camera[..., 2:]
    expected = in_camera[..., :2] / depth
    rotation = view.head_to_camera[:, None, :3, :3]
    residual = ((landmarks_px - view.principal_px) / view.focal_px - expected) * depth
    return residual, rotation[..., :2, :] - expected[..., None] * rotation[..., 2:, :]


def _solve(
    landmarks_px: np.ndarray, view: View, face: np.ndarray, shapes: np.ndarray, prior_mean: np.ndarray | None
) -> np.ndarray:
    """(N, 52): least squares on the reprojection, with a small rigid motion that absorbs the residual of the pose."""
    count, coefficients = len(landmarks_px), len(shapes)
    columns = np.concatenate([shapes, _rigid_motions(face)])
    unknowns = len(columns)
    measurements = _measurements()
    by_point = columns.transpose(1, 2, 0).astype(np.float32)  # (478, 3, unknowns)
    normal = np.empty((count, unknowns, unknowns), np.float32)
    right = np.empty((count, unknowns), np.float32)
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        seen = View(view.head_to_camera[part], view.focal_px, view.principal_px)
        residual, across = reprojection(face, landmarks_px[part], seen)
        residual = residual.astype(np.float32)
        jacobian = np.matmul(across.astype(np.float32), by_point)  # (n, 478, 2, unknowns)
        size = len(jacobian)
        jacobian = np.matmul(measurements, jacobian.reshape(size, groups.COUNT, -1)).reshape(size, -1, unknowns)
        residual = np.matmul(measurements, residual).reshape(size, -1, 1)
        transposed = jacobian.transpose(0, 2, 1)
        normal[part] = transposed @ jacobian
        right[part] = (transposed @ residual)[..., 0]

    precision = np.concatenate([_prior_sigma(prior_mean is not None), np.full(_RIGID, 0.5)]) ** -2.0
    precision *= LANDMARK_SIGMA_M**2
    diagonal = np.arange(unknowns)
    normal[:, diagonal, diagonal] += precision.astype(np.float32)
    for a, b, sigma in _pairs():
        together = np.float32((LANDMARK_SIGMA_M / sigma) ** 2)
        for i, j, sign in ((a, a, 1), (b, b, 1), (a, b, -1), (b, a, -1)):
            normal[:, i, j] += sign * together
    if prior_mean is not None:
        right[:, :coefficients] += prior_mean * precision[:coefficients]
    right[:, :coefficients] -= (_rarity() * LANDMARK_SIGMA_M).astype(np.float32)
    lower = np.concatenate([np.zeros(coefficients), np.full(_RIGID, -np.inf)])
    upper = np.concatenate([np.ones(coefficients), np.full(_RIGID, np.inf)])
    return bounded_least_squares(normal, right, lower, upper)[:, :coefficients]


def _rigid_motions(face: np.ndarray) -> np.ndarray:
    """(6, 478, 3): a degree about each axis through the face's middle, a millimetre along each."""
    axes = np.eye(3)
    turns = [np.cross(axis, face - face.mean(0)) * np.pi / 180 for axis in axes]
    shifts = [np.broadcast_to(axis * 0.001, face.shape) for axis in axes]
    return np.stack([*turns, *shifts])
