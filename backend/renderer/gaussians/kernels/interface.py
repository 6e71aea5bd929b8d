"""What a rasteriser of Gaussians does: project, bin into tiles, blend front to back; and the gradients of that.

Attributes are (14, N) float32, one row an attribute, so that a kernel reads neighbours at once.

Gaussians are blended in a fixed order, that of `Order`, and not by their depth in each frame: two that overlap can then never
swap between two frames, and the image is continuous in the pose. Seen within about 60° of the direction in which the order
was made this is the order of depth but for Gaussians that intersect, where any order is a choice, and training knows which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ....workspace.camera import Camera
from ....workspace.shapes import Float, Int
from .constants import (
    ATTRIBUTES,
    COLOUR,
    CUTOFF,
    LOG_SCALE,
    LOW_PASS_PX2,
    MATTES,
    MAX_ALPHA,
    NEAR_M,
    OPACITY,
    OPAQUE,
    POSITION,
    ROTATION,
    SLOPE_MARGIN,
)

__all__ = [
    "ATTRIBUTES",
    "COLOUR",
    "CUTOFF",
    "LOG_SCALE",
    "LOW_PASS_PX2",
    "MATTES",
    "MAX_ALPHA",
    "NEAR_M",
    "OPACITY",
    "OPAQUE",
    "POSITION",
    "ROTATION",
    "SLOPE_MARGIN",
    "Drawn",
    "Gradients",
    "HeadRasteriser",
    "Rasteriser",
    "SharedRasteriser",
    "View",
    "checked_order",
    "slope_limits",
]


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


def slope_limits(camera: Camera) -> tuple[float, float]:
    """The largest |x/z| and |y/z| in the projection's Jacobian: `SLOPE_MARGIN` times the field of view, 90° at least."""
    sides = zip(camera.principal_px, (camera.width, camera.height), strict=True)
    x, y = (max(abs(centre), abs(side - centre)) / camera.focal_px for centre, side in sides)
    return SLOPE_MARGIN * max(x, 1.0), SLOPE_MARGIN * max(y, 1.0)


def checked_order(order: Int[np.ndarray, " n"], count: int) -> Int[np.ndarray, " n"]:
    """The order itself: a wrong one would have kernels read what is not there.

    Raises:
        ValueError: it names a Gaussian that is not there.
    """
    if order.shape != (count,) or (count and not (order.min() >= 0 and order.max() < count)):
        raise ValueError(f"order is no permutation of {count} Gaussians")
    return order


def checked_gradient(gradient: np.ndarray, image_shape: tuple[int, ...]) -> np.ndarray:
    """The gradient itself, by an image's premultiplied RGBA.

    Raises:
        ValueError: it has not the image's shape.
    """
    if gradient.shape != image_shape:
        raise ValueError(f"the gradient is {gradient.shape}, the image {image_shape}: give one of its shape")
    return gradient


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
        """Gradients of the frame that was drawn last, from the loss's gradient by its premultiplied RGBA.

        The attributes that it was drawn from must be unchanged. What is returned is valid until the next call.
        """
        ...


@runtime_checkable
class HeadRasteriser(Rasteriser, Protocol):
    """A rasteriser that also draws a head from its codes: faster than from attributes, and without gradients."""

    def prepare(
        self,
        base: Float[np.ndarray, "14 n"],
        lip_bases: Float[np.ndarray, "7 lip_codes lips"],
        expression_bases: Float[np.ndarray, "7 expression_codes expressions"],
        view_bases: Float[np.ndarray, "3 2 n"],
        order: Int[np.ndarray, " n"],
    ) -> Any:
        """A head's arrays as `draw_head` reads them, copied; see `head.GaussianHead` for what they are."""
        ...

    def draw_head(
        self,
        head: Any,
        lip_codes: Float[np.ndarray, "2 lip_codes"],
        expression_codes: Float[np.ndarray, "2 expression_codes"],
        towards: Float[np.ndarray, " 2"],
        view: View,
        *,
        depth: bool = False,
        mattes: Float[np.ndarray, "3 n"] | None = None,
    ) -> Drawn:
        """As `draw`, of a prepared head in a frame.

        Args:
            lip_codes, expression_codes: of `GaussianHead.codes` (place), then of `shown_codes` (opacity and colour).
            towards: of `GaussianHead.view`.
        """
        ...


@runtime_checkable
class SharedRasteriser(HeadRasteriser, Protocol):
    """A rasteriser on a GPU, which writes frames into mapped memory itself."""

    def write_head(
        self,
        head: Any,
        lip_codes: Float[np.ndarray, "2 lip_codes"],
        expression_codes: Float[np.ndarray, "2 expression_codes"],
        towards: Float[np.ndarray, " 2"],
        view: View,
        out: Float[np.ndarray, "height width 4"],
    ) -> None:
        """As `draw_head`, into `out` as `head.SharedRenderer.write_shared` has it."""
        ...
