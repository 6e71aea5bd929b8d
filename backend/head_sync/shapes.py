"""Shapes of Head-Sync's arrays, by name: N frames, P points."""

from __future__ import annotations

import numpy as np

from ..workspace.shapes import Bool, Float

Frames = Bool[np.ndarray, " n"]
Poses = Float[np.ndarray, "n 4 4"]
"""Head to camera."""

Points = Float[np.ndarray, "p 3"]
"""Metres in the head frame."""

Pixels = Float[np.ndarray, "n p 2"]
PerPoint = Float[np.ndarray, " p"]
PerFrame = Float[np.ndarray, " n"]
Weights = Float[np.ndarray, "n p"]
"""Of observations; inverse standard deviations, 1/px, 0 where a point is not seen."""

Marks = Float[np.ndarray, "n 478 2"]
"""Landmarks, pixels."""

Depths = Float[np.ndarray, "n 478"]
Face = Float[np.ndarray, "478 3"]
Principal = Float[np.ndarray, " 2"]
