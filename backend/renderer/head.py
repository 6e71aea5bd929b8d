"""What every head can do, however it is represented: conditions, camera and pose to an image with depth and mattes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from ..workspace.camera import Camera
from ..workspace.shapes import Float


@dataclass
class RenderedHead:
    """A rendered head.

    Attributes:
        rgba: premultiplied, display-encoded.
        depth_m: distance from the camera along the ray, metres; 0 for a miss.
        attention: premultiplied attention to lips and to expression (Eq. 4), in [0, alpha]; of a field alone.
        mattes: premultiplied shares of mouth, hair and skin, in [0, alpha]; of Gaussians alone.
    """

    rgba: Float[np.ndarray, "height width 4"]
    depth_m: Float[np.ndarray, "height width"] | None = None
    attention: Float[np.ndarray, "height width 2"] | None = None
    mattes: Float[np.ndarray, "height width 3"] | None = None

    def copy(self) -> RenderedHead:
        """The same in memory of its own: what a renderer returns may be overwritten by its next frame."""
        return RenderedHead(*(None if item is None else item.copy() for item in vars(self).values()))


@dataclass(frozen=True)
class Moment:
    """A head at one time: how it is seen, where it is, and what its face does; as `HeadRenderer.render` takes them."""

    camera: Camera
    head_to_camera: Float[np.ndarray, "4 4"]
    blendshapes: Float[np.ndarray, " conditions"]


class HeadRenderer(Protocol):
    """Renders one head."""

    def render(
        self,
        camera: Camera,
        head_to_camera: Float[np.ndarray, "4 4"],
        blendshapes: Float[np.ndarray, " conditions"],
        crop: tuple[int, int, int, int] | None = None,
        passes: bool = False,
    ) -> RenderedHead:
        """The head alone, without background.

        Args:
            head_to_camera: metres, OpenCV camera.
            blendshapes: the 52 of `protocol.BLENDSHAPE_NAMES`, then the features of audio where those drive the lips.
            crop: x, y, width, height of the part of the image to draw; all of it when None.
            passes: also what costs more than the image: depth, and mattes where the head has them.
        """
        ...

    def render_rays(
        self,
        camera: Camera,
        head_to_camera: Float[np.ndarray, "4 4"],
        blendshapes: Float[np.ndarray, " conditions"],
        u: Float[np.ndarray, " rays"],
        v: Float[np.ndarray, " rays"],
    ) -> tuple[Float[np.ndarray, "rays 4"], Float[np.ndarray, " rays"]]:
        """Premultiplied RGBA and depth along the ray, metres, of the pixels whose centres are at (u, v)."""
        ...

    def motion(
        self, depth_m: Float[np.ndarray, "height width"], now: Moment, other: Moment
    ) -> Float[np.ndarray, "height width 2"]:
        """Where in the image what each pixel shows `now` is at another moment, from where it is now: pixels, x right and y down; 0
        where there is no head.

        Args:
            depth_m: as rendered `now`.
        """
        ...

    def render_batch(
        self, camera: Camera, heads_to_camera: Iterable[np.ndarray], blendshapes: Iterable[np.ndarray]
    ) -> Iterator[RenderedHead]:
        """Frames one by one, on request; memory does not grow with their number."""
        ...


@runtime_checkable
class SharedRenderer(HeadRenderer, Protocol):
    """A renderer that can write a frame into mapped memory itself, where it draws on a GPU."""

    def write_shared(self, moment: Moment, out: Float[np.ndarray, "height width 4"]) -> bool:
        """Premultiplied scene-linear, the bottom row first; False, and nothing written, where it does not draw on a GPU."""
        ...
