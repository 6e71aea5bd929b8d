"""What a rasteriser of Gaussians does: project, bin into tiles, blend front to back; and the gradients of that.

Attributes are (14, N) float32, one row an attribute, so that a kernel reads neighbours at once.

Gaussians are blended in a fixed order, that of `Order`, and not by their depth in each frame: two that overlap can then never
swap between two frames, and the image is continuous in the pose. Seen within about 60° of the direction in which the order
was made this is the order of depth but for Gaussians that intersect, where any order is a choice, and training knows which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ....workspace.camera import Camera
from ....workspace.shapes import Float, Int

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
MATTES = ("mouth", "hair", "skin")
"""Columns of the mattes, beside the head's own, which is alpha."""


@dataclass(frozen=True)
class View:
    """A camera with the head before it.

    Attributes:
        camera: pinhole; the image is drawn `camera.height` x `camera.width`.
        head_to_camera: metres, OpenCV camera.
        filter_m: standard deviation, metres, that every Gaussian has at least: what a pixel of the training frames blurred.
            On screen it is `variance = (filter_m * focal_px / z)²`; where that is below `LOW_PASS_PX2`, the rest is added with
            the opacity scaled by the ratio of the areas, so that the head is as bright and as dense at every size.
    """

    camera: Camera
    head_to_camera: Float[np.ndarray, "4 4"]
    filter_m: float


@dataclass
class Drawn:
    """An image, and what else one pass gives where it was asked for.

    Attributes:
        rgba: premultiplied, display-encoded.
        depth: premultiplied depth along the optical axis (camera z), metres.
        mattes: premultiplied shares of `MATTES`.
        motion: premultiplied motion from the previous view to this one, pixels x and y.
    """

    rgba: Float[np.ndarray, "height width 4"]
    depth: Float[np.ndarray, "height width"] | None = None
    mattes: Float[np.ndarray, "height width 3"] | None = None
    motion: Float[np.ndarray, "height width 2"] | None = None


@dataclass
class Gradients:
    """Of a loss, by what `draw` was given.

    Attributes:
        attributes: by the attributes.
        pose: by a small motion of the head in camera axes: shift (x, y, z, metres), then a turn about the head's origin
            (rotation vector): `R' = exp(w) R`, `t' = t + d`.
        pull: length of the gradient by each Gaussian's place on screen, per pixel: where detail is missing.
        weight: sum of each Gaussian's weights in the image.
    """

    attributes: Float[np.ndarray, "14 n"]
    pose: Float[np.ndarray, " 6"]
    pull: Float[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]


class Rasteriser(Protocol):
    """Draws Gaussians into buffers of its own: what it returns is valid until it draws again. One thread at a time.

    `draw` may use `threads` threads.
    """

    name: str

    def draw(
        self,
        attributes: Float[np.ndarray, "14 n"],
        order: Int[np.ndarray, " n"],
        view: View,
        *,
        depth: bool = False,
        mattes: Float[np.ndarray, "3 n"] | None = None,
        before: tuple[Float[np.ndarray, "14 n"], View] | None = None,
    ) -> Drawn:
        """One frame.

        Args:
            order: permutation of the Gaussians, the nearest first.
            mattes: shares of `MATTES` of each Gaussian, to get mattes.
            before: attributes and view of the previous frame, to get motion.
        """
        ...

    def backward(self, gradient: Float[np.ndarray, "height width 4"]) -> Gradients:
        """Gradients of the frame that was drawn last, from the loss's gradient by its premultiplied RGBA."""
        ...
