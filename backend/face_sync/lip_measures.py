"""Opening, width and closure of the lips from the tracked landmarks."""

from __future__ import annotations

import numpy as np

from ..workspace.landmarks import LIP_PAIRS, distance
from .blendshapes import View

CORNERS = (61, 291)
MEASURES = ("opening", "width", "closure")


def lip_measures(landmarks_px: np.ndarray, view: View, valid: np.ndarray) -> dict[str, np.ndarray]:
    """Lip measures of each frame, corrected for foreshortening by the head's pose.

    Args:
        landmarks_px: (N, 478, 2). view: the head's pose in each frame. valid: (N,) bool.

    Returns:
        (N,) each, NaN where not `valid`: `opening` and `width` in metres; `closure` in [0, 1], 1 with closed lips,
        fallen to 1/e where they open by an eighth of what this person's lips open to.
    """
    per_pixel = view.head_to_camera[:, 2, 3] / view.focal_px

    def gap(pairs: tuple[tuple[int, int], ...], axis: int) -> np.ndarray:
        seen_at = np.linalg.norm(view.head_to_camera[:, :2, axis], axis=1)
        return np.where(valid, distance(landmarks_px, pairs) * per_pixel / seen_at, np.nan)

    opening = gap(LIP_PAIRS, 1)
    low, high = np.nanquantile(opening, (0.05, 0.95)) if valid.any() else (0.0, 0.0)
    closure = np.exp(-np.maximum(opening - low, 0) / max((high - low) / 8, 1e-6))
    return {"opening": opening, "width": gap((CORNERS,), 0), "closure": closure}


def opening_of(shapes: np.ndarray) -> np.ndarray:
    """(M,) by how much each of the shapes (M, 478, 3) opens the lips, metres."""
    upper, lower = LIP_PAIRS[0]
    return shapes[:, lower, 1] - shapes[:, upper, 1]
