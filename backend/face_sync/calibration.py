"""Calibration of the capturer on the subject: the face at which every coefficient is zero.

Head tracking triangulates the subject's face from frames with a shut mouth and open eyes. Such frames do not fix where
the brows rest, whether the shut mouth is relaxed (or pursed, or smiling), and how deep the irises lie. The first two are
estimated from the subject's own range, near the adult mean; the third comes from anatomy.
"""

from __future__ import annotations

import numpy as np

from ..protocol import BLENDSHAPE_NAMES
from ..workspace import landmarks as groups
from ..workspace.landmarks import HALVES, LEFT, RIGHT, HalfFace
from . import blendshape_basis, sculptor
from .blendshapes import View, reprojection
from .deformation import FaceDeformer

BROW_HEIGHT_M = 0.019
"""Middle of the brow above the line of the eye's corners, in adults at rest, 63 mm between the pupils."""

BROW_HABITS = (0.1, 0.9)
"""Quantiles of the subject's brow heights between which the resting one lies: brows rest for most of the time."""

MOUTH_HABITS = (0.25, 0.75)
"""Quantiles of the subject's mouth widths between which the resting one lies: a speaker's mouth seldom rests."""

IRIS_BEFORE_CORNERS_M = 0.005
"""The iris lies about 2 mm before the eye's inner corner and 8 mm before its outer one."""

_BROW_REACH_M = 0.026
_WIDENING = ("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight")


def neutral_face(face_head_m: np.ndarray, landmarks_px: np.ndarray, view: View, valid: np.ndarray) -> np.ndarray:
    """The subject's neutral face: brows and mouth at rest, irises on the eyeballs.

    Brows and mouth: the height and the width within the subject's habits that come nearest to the adult mean. Low
    brows alone are not a frown.

    Irises: eyes that stay on the camera while the head turns would be triangulated behind the lids, which would remove
    the gaze. Their depth comes from anatomy, their position from the median of the frames.

    Args:
        face_head_m: (478, 3) of head tracking, head frame (x to the right of the image, y down, z into the head),
            metres, 63 mm between the pupils.
        landmarks_px: (N, 478, 2).
        view: the head's pose in each frame.
        valid: (N,) bool; if none is, the face is returned unchanged.

    Returns:
        (478, 3) float64. Idempotent up to small numerical changes.
    """
    face = np.asarray(face_head_m, np.float64).copy()
    frames = np.flatnonzero(valid)
    if not len(frames):
        return face
    for half in HALVES:
        iris = list(half.iris)
        face[iris, 2] = face[list(half.eye_corners), 2].mean() - IRIS_BEFORE_CORNERS_M
    seen = View(view.head_to_camera[frames], view.focal_px, view.principal_px)
    offset = offsets_m(face, landmarks_px[frames], seen)
    for half in HALVES:
        iris = list(half.iris)
        face[iris, :2] += np.median(offset[:, iris] - offset[:, list(half.eye_corners)].mean(1, keepdims=True), axis=0)
    return face + _brows_moved(face, offset) + _mouth_moved(face, offset)


def offsets_m(face: np.ndarray, landmarks_px: np.ndarray, view: View) -> np.ndarray:
    """(N, 478, 2): how far along the head's own x and y each landmark is seen from its place on `face`, metres, taken
    to have kept its depth."""
    residual, across = reprojection(face, landmarks_px, view)
    return np.linalg.solve(across[..., :2], residual[..., None])[..., 0]


def _brow_height(half: HalfFace, y: np.ndarray) -> np.ndarray:
    """(...) height of the inner three fifths of a brow above the eye's corners, from y down (..., 478)."""
    brow = [*half.brow_upper[:3], *half.brow_lower[:3]]
    return y[..., list(half.eye_corners)].mean(-1) - y[..., brow].mean(-1)


def _brows_moved(face: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(478, 3): what brings both brows of `face` to rest, carried smoothly over the forehead."""
    seen = np.mean([_brow_height(half, face[:, 1] + offset[..., 1]) for half in HALVES], axis=0)
    rest = np.clip(BROW_HEIGHT_M, *np.quantile(seen, BROW_HABITS))
    rise = rest - np.mean([_brow_height(half, face[:, 1]) for half in HALVES])
    handles = {i: np.zeros(3) for i in groups.FOREHEAD_TOP}
    for half in HALVES:
        handles |= {i: np.zeros(3) for i in (*half.upper_lid, *half.lower_lid, *half.eye_corners)}
        handles |= {i: np.array([0, -rise, 0]) for i in (*half.brow_upper, *half.brow_lower)}
    moved = np.zeros_like(face)
    moved[: groups.SKIN_COUNT] = FaceDeformer(face).interpolate(handles, _BROW_REACH_M)
    return moved


def _mouth_moved(face: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(478, 3): what brings the corners of the mouth to rest, along the shapes that widen it."""
    corners = LEFT.mouth_corner, RIGHT.mouth_corner

    def width(x: np.ndarray) -> np.ndarray:
        return x[..., corners[0]] - x[..., corners[1]]

    rest = np.clip(sculptor.ADULT_MOUTH_WIDTH_M, *np.quantile(width(face[:, 0] + offset[..., 0]), MOUTH_HABITS))
    shapes = blendshape_basis.displacements(face)
    widening = np.sum([shapes[BLENDSHAPE_NAMES.index(name)] for name in _WIDENING], axis=0)
    return (rest - width(face[:, 0])) / width(widening[:, 0]) * widening
