"""What every rasteriser agrees on: rows of attributes, limits, names of mattes. Imports nothing, as compiled code reads it."""

from __future__ import annotations

POSITION, LOG_SCALE, ROTATION, COLOUR = slice(0, 3), slice(3, 6), slice(6, 10), slice(11, 14)
OPACITY = 10
ATTRIBUTES = 14
"""Rows of attributes: position in the head frame, metres; logarithms of the standard deviations along the own axes, metres;
rotation, a quaternion w x y z of any length; opacity, a logit; colour, display-encoded, about [0, 1]."""

LOW_PASS_PX2 = 0.3
"""Variance that a pixel adds to a projected Gaussian, in pixels² (EWA splatting, Zwicker et al. 2001; 3DGS has the same)."""
CUTOFF = 1 / 255
"""A Gaussian's alpha less this, and no less than 0, is blended: it ends at an ellipse without a step."""
MAX_ALPHA = 0.99
OPAQUE = 0.002
"""A tile whose pixels all have less transmittance than this is finished."""
NEAR_M = 0.01
"""Nothing nearer to the camera plane than this is drawn; opacity rises from 0 there to all of it at twice the distance."""
SLOPE_MARGIN = 1.3
"""x/z and y/z in the projection's Jacobian are limited to this times the field of view, as in 3DGS: the linearisation of a
Gaussian far outside the image would smear it across. The field of view counts as 90° at least: the limit then is the same
for an image and for its crops."""
MAX_VARIANCE_PX2 = 1e12
"""A projected Gaussian of more variance is no Gaussian of a head and is not drawn."""
MATTES = ("mouth", "hair", "skin")
"""Columns of the mattes, beside the head's own, which is alpha."""
