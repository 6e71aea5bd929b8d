"""The most probable path of a head: measured poses weighed against how fast real heads change their motion.

A pose measured in one frame errs a little, and differently in the next; a skull has mass, and its velocity changes
little within 40 ms. Both are measured on the clip itself, in all six degrees of freedom at once: the noise from the
fourth differences of the path, which a head's own motion hardly reaches, the head's acceleration from what the second
differences hold beyond that noise. Directions that the picture tells well (the place in the picture) are followed to
the letter; those that it tells badly (a turn against a shift) are steadied. The path is smoothed forwards and
backwards at once, so nothing lags, and brisk accelerations count as outliers of a Student distribution, so that a nod
keeps its height. Without the robust part this is the Rauch-Tung-Striebel smoother (1965) of a random acceleration.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg
from scipy.spatial.transform import Rotation

from ..workspace.intervals import intervals
from ..workspace.poses import bridge_poses, make_poses, rotation_exp, rotation_log

FREEDOM = 8.0
"""Degrees of freedom of the Student distribution of accelerations: heads rest, and then they nod. Measurements are
normal: held for outliers, the frames of a brisk nod would be flattened."""

NOISE_SHARE = 1.5
"""How much more noise there is than the fourth differences show: errors of neighbouring frames are alike in part."""

LEAST_ACCELERATION = 0.02
"""Variance of the acceleration over that of the noise, below which no direction is taken to be: a head never stands
quite still."""

SHORTEST = 8
"""Frames without a break below which a piece of the path stays as it is."""

ROUNDS = 10
"""Times that the weights of outliers are found anew."""

GAP = 8
"""Frames without a measurement that the path is carried over; in longer gaps a head may do anything."""

UNSEEN = 1e-6
"""Precision of a frame without a measurement, over that of the usual one."""

_FOURTH, _SECOND = 70.0, 6.0
"""Variance of the fourth and second difference of white noise of unit variance (1, 16, 36, 16, 1; 1, 4, 1)."""

_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])


def smooth_poses(poses: np.ndarray, known: np.ndarray, cuts: np.ndarray, trust: np.ndarray | None = None) -> np.ndarray:
    """The most probable poses (N, 4, 4), given those measured one by one.

    Args:
        poses: (N, 4, 4) head to camera. known: (N) bool, measured; gaps of up to `GAP` frames are filled with the most
            probable path, longer ones are bridged (`bridge_poses`).
        cuts: (N) bool, frames that begin a new shot; nothing is smoothed across.
        trust: (N) precision of each frame relative to the usual one; None: all alike.
    """
    measured, known = known, known | _short_gaps(known, cuts)
    poses = bridge_poses(poses, measured)
    whole = [piece for piece in _pieces(measured, cuts) if len(piece) >= SHORTEST]
    if not whole:
        return poses
    middle = Rotation.from_matrix(poses[measured, :3, :3]).mean().as_matrix()
    path = np.concatenate([rotation_log(poses[:, :3, :3] @ middle.T), poses[:, :3, 3]], 1)
    noise, acceleration = (np.linalg.inv(each) for each in _covariances([path[piece] for piece in whole]))
    trust = np.where(measured, 1.0 if trust is None else trust, UNSEEN)
    steady = poses.copy()
    for piece in _pieces(known, cuts):
        if len(piece) < SHORTEST:
            continue
        smooth = _smooth(path[piece], trust[piece], noise, acceleration)
        steady[piece] = make_poses(rotation_exp(smooth[:, :3]) @ middle, smooth[:, 3:])
    return bridge_poses(steady, known)


def _short_gaps(known: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Frames (N) bool of gaps of at most `GAP` frames between known ones of the same shot."""
    short = np.zeros(len(known), bool)
    for begin, end in intervals(~known):
        if begin > 0 and end < len(known) and end - begin <= GAP and not cuts[begin : end + 1].any():
            short[begin:end] = True
    return short


def _pieces(known: np.ndarray, cuts: np.ndarray) -> list[np.ndarray]:
    """Frames of each stretch that is known and holds no cut."""
    breaks = cuts.copy()
    breaks[1:] |= known[1:] != known[:-1]
    stretch = np.cumsum(breaks)
    return [np.flatnonzero((stretch == number) & known) for number in np.unique(stretch[known])]


def _covariances(paths: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Covariance (6, 6) of the measurements' noise and of the head's acceleration per frame squared."""
    noise = _typical_covariance(np.concatenate([np.diff(path, 4, axis=0) for path in paths])) * (NOISE_SHARE / _FOURTH)
    second = np.concatenate([np.diff(path, 2, axis=0) for path in paths])
    seen = second.T @ second / len(second) - _SECOND * noise
    # In units of the noise, where every direction can be judged: what is left of the second differences is real.
    factor = np.linalg.cholesky(noise)
    whiten = np.linalg.inv(factor)
    variance, axes = np.linalg.eigh(whiten @ seen @ whiten.T)
    shaped = factor @ axes
    return noise, (shaped * np.maximum(variance, LEAST_ACCELERATION)) @ shaped.T


def _typical_covariance(samples: np.ndarray) -> np.ndarray:
    """Covariance (D, D) of samples (N, D) of zero mean without its outliers (Student's t, Lange et al. 1989); drawn
    to its diagonal where samples are few."""
    count, size = samples.shape
    covariance = samples.T @ samples / count
    tiny = np.diag(1e-12 + 1e-6 * np.diag(covariance))
    for _ in range(20):
        weight = _student(samples, np.linalg.inv(covariance + tiny))
        covariance = (samples * weight[:, None]).T @ samples / count
    few = 10 / (count + 10)
    return (1 - few) * covariance + few * np.diag(np.diag(covariance)) + tiny


def _smooth(path: np.ndarray, trust: np.ndarray, noise: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
    """Path (N, 6) between measurements (N, 6) of precision trust (N) · noise (6, 6) and accelerations of precision
    `acceleration` (6, 6)."""
    frames, size = path.shape
    weight = np.ones(frames - 2)
    target = (trust[:, None] * (path @ noise)).ravel()
    smooth = path
    for _ in range(ROUNDS):
        # Blocks (row n, column n + offset) of a symmetric band matrix; upper form: band[last + i - j, j] = a[i, j].
        last = 3 * size - 1
        band = np.zeros((3 * size, size * frames))
        for offset in range(3):
            blocks = np.zeros((frames - offset, size, size))
            if offset == 0:
                blocks += trust[:, None, None] * noise
            for first in range(3 - offset):
                both = _SECOND_DIFFERENCE[first] * _SECOND_DIFFERENCE[first + offset]
                blocks[first : first + frames - 2] += both * weight[:, None, None] * acceleration
            for row in range(size):
                for column in range(size):
                    above = size * offset + column - row
                    if above >= 0:
                        band[last - above, size * offset + column :: size] = blocks[:, row, column]
        smooth = linalg.solveh_banded(band, target, check_finite=False).reshape(frames, size)
        change = np.diff(smooth, 2, axis=0)
        weight = _student(change, acceleration)
    return smooth


def _student(errors: np.ndarray, precision: np.ndarray) -> np.ndarray:
    """Weights (N) with which errors (N, D) of a precision (D, D) count squared under a Student distribution."""
    distance = np.einsum("ni,ij,nj->n", errors, precision, errors)
    return (FREEDOM + errors.shape[1]) / (FREEDOM + distance)
