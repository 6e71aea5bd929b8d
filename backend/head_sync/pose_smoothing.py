"""Pose smoothing: the most probable path of a head between measured poses and the accelerations of real heads.

The noise of the measured poses and the acceleration of the head are both estimated from the clip, in all six degrees of
freedom at once: the noise from the fourth differences of the path, which the motion of a head hardly reaches, the
acceleration from the second differences beyond that noise. Well-constrained directions keep the measurement; poorly
constrained ones (rotation against translation) are smoothed. The path is smoothed forwards and backwards at once, so
nothing lags, and fast accelerations count as outliers of a Student distribution, so a nod keeps its height. Without the
robust part this is the Rauch-Tung-Striebel smoother (1965) of a random acceleration.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg
from scipy.spatial.transform import Rotation

from ..workspace.intervals import intervals
from ..workspace.poses import bridge_poses, make_poses, rotation_exp, rotation_log
from ..workspace.shapes import Float
from .shapes import Frames, PerFrame, Poses

FREEDOM = 8.0
"""Degrees of freedom of the Student distribution of accelerations: heads rest, and then they nod. Measurements are
normal: treated as outliers, the frames of a fast nod would be flattened."""

NOISE_SCALE = 1.5
"""Variance of the noise over that of the fourth differences: errors of neighbouring frames are correlated."""

MIN_ACCELERATION = 0.02
"""Least variance of the acceleration over that of the noise, in any direction, at 25 frames a second: a head is never at
complete rest."""

MIN_RUN = 8
"""Frames in a run below which the poses stay as they are."""

ROUNDS = 10
"""Iterations of the outliers' weights."""

MAX_GAP_S = 0.32
"""Time without a measurement that the path is continued over; in longer gaps a head may do anything."""

UNSEEN = 1e-6
"""Precision of a frame without a measurement, over the median one."""

_FOURTH, _SECOND = 70.0, 6.0
"""Variance of the fourth and second difference of white noise of unit variance (1, 16, 36, 16, 1; 1, 4, 1)."""

_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])


def smooth_poses(
    poses: Poses, known: Frames, cuts: Frames, information: PerFrame | None = None, fps: float = 25.0
) -> Poses:
    """The most probable poses, given those measured frame by frame.

    Args:
        known: measured; gaps of up to `MAX_GAP_S` are filled with the most probable path, longer ones are bridged
            (`bridge_poses`).
        cuts: frames that begin a new shot; nothing is smoothed across.
        information: precision of each frame relative to the median one; None: all equal.
        fps: frames a second.
    """
    measured, known = known, known | _short_gaps(known, cuts, round(MAX_GAP_S * fps))
    poses = bridge_poses(poses, measured)
    runs = [run for run in _runs(measured, cuts) if len(run) >= MIN_RUN]
    if not runs:
        return poses
    middle = Rotation.from_matrix(poses[measured, :3, :3]).mean().as_matrix()
    path = np.concatenate([rotation_log(poses[:, :3, :3] @ middle.T), poses[:, :3, 3]], 1)
    noise, acceleration = (np.linalg.inv(each) for each in _covariances([path[run] for run in runs], fps))
    precision = np.where(measured, 1.0 if information is None else information, UNSEEN)
    smoothed = poses.copy()
    for run in _runs(known, cuts):
        if len(run) >= MIN_RUN:
            smooth = _smooth(path[run], precision[run], noise, acceleration)
            smoothed[run] = make_poses(rotation_exp(smooth[:, :3]) @ middle, smooth[:, 3:])
    return bridge_poses(smoothed, known)


def _short_gaps(known: Frames, cuts: Frames, longest: int) -> Frames:
    """Frames of gaps of at most `longest` frames between known ones of the same shot."""
    short = np.zeros(len(known), bool)
    for begin, end in intervals(~known):
        if begin > 0 and end < len(known) and end - begin <= longest and not cuts[begin : end + 1].any():
            short[begin:end] = True
    return short


def _runs(known: Frames, cuts: Frames) -> list[np.ndarray]:
    """Frames of each run that is known and holds no cut."""
    breaks = cuts.copy()
    breaks[1:] |= known[1:] != known[:-1]
    run = np.cumsum(breaks)
    return [np.flatnonzero((run == number) & known) for number in np.unique(run[known])]


def _covariances(paths: list[np.ndarray], fps: float) -> tuple[Float[np.ndarray, "6 6"], Float[np.ndarray, "6 6"]]:
    """Covariance of the measurements' noise and of the head's acceleration per frame squared."""
    noise = _robust_covariance(np.concatenate([np.diff(path, 4, axis=0) for path in paths])) * (NOISE_SCALE / _FOURTH)
    second = np.concatenate([np.diff(path, 2, axis=0) for path in paths])
    seen = second.T @ second / len(second) - _SECOND * noise
    # In units of the noise all directions compare: what remains of the second differences is motion.
    factor = np.linalg.cholesky(noise)
    whiten = np.linalg.inv(factor)
    variance, axes = np.linalg.eigh(whiten @ seen @ whiten.T)
    shaped = factor @ axes
    # A head's acceleration a frame squared falls with the square of the rate, its variance with the fourth power.
    least = MIN_ACCELERATION * (25 / fps) ** 4
    return noise, (shaped * np.maximum(variance, least)) @ shaped.T


def _robust_covariance(samples: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    """Covariance of samples of zero mean without its outliers (Student's t, Lange et al. 1989); shrunk to its diagonal
    where samples are few."""
    count = len(samples)
    covariance = samples.T @ samples / count
    tiny = np.diag(1e-12 + 1e-6 * np.diag(covariance))
    for _ in range(20):
        weight = _student(samples, np.linalg.inv(covariance + tiny))
        covariance = (samples * weight[:, None]).T @ samples / count
    few = 10 / (count + 10)
    return (1 - few) * covariance + few * np.diag(np.diag(covariance)) + tiny


def _smooth(
    path: Float[np.ndarray, "n d"],
    precision: PerFrame,
    noise: Float[np.ndarray, "d d"],
    acceleration: Float[np.ndarray, "d d"],
) -> Float[np.ndarray, "n d"]:
    """Path between measurements of precision `precision` · `noise` and accelerations of precision `acceleration`."""
    frames, size = path.shape
    weight = np.ones(frames - 2)
    target = (precision[:, None] * (path @ noise)).ravel()
    smooth = path
    for _ in range(ROUNDS):
        # Blocks (row n, column n + offset) of a symmetric band matrix; upper form: band[last + i - j, j] = a[i, j].
        last = 3 * size - 1
        band = np.zeros((3 * size, size * frames))
        for offset in range(3):
            blocks = np.zeros((frames - offset, size, size))
            if offset == 0:
                blocks += precision[:, None, None] * noise
            for first in range(3 - offset):
                both = _SECOND_DIFFERENCE[first] * _SECOND_DIFFERENCE[first + offset]
                blocks[first : first + frames - 2] += both * weight[:, None, None] * acceleration
            for row in range(size):
                for column in range(size):
                    above = size * offset + column - row
                    if above >= 0:
                        band[last - above, size * offset + column :: size] = blocks[:, row, column]
        smooth = linalg.solveh_banded(band, target, check_finite=False).reshape(frames, size)
        weight = _student(np.diff(smooth, 2, axis=0), acceleration)
    return smooth


def _student(errors: Float[np.ndarray, "n d"], precision: Float[np.ndarray, "d d"]) -> PerFrame:
    """Weights of squared errors under a Student distribution of a precision."""
    distance = np.einsum("ni,ij,nj->n", errors, precision, errors)
    return (FREEDOM + errors.shape[1]) / (FREEDOM + distance)
