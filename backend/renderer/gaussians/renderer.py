"""Images of a Gaussian head: any size, crop, camera, pose and expression."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ...workspace.camera import Camera
from ...workspace.shapes import Float
from ..head import RenderedHead
from .head import GaussianHead
from .kernels import get_rasteriser
from .kernels.interface import Rasteriser, View

_MIN_ALPHA = 0.05
"""A pixel with less alpha has no depth."""


class GaussianRenderer:
    """Renders a Gaussian head. Frames are drawn into buffers of the rasteriser, so one thread at a time."""

    def __init__(self, head: GaussianHead, rasteriser: Rasteriser | None = None) -> None:
        self.head = head
        self.rasteriser = rasteriser or get_rasteriser()
        self._order = head.order.numpy()
        self._mattes = head.mattes.numpy()

    def render(
        self,
        camera: Camera,
        head_to_camera: Float[np.ndarray, "4 4"],
        blendshapes: Float[np.ndarray, " conditions"],
        crop: tuple[int, int, int, int] | None = None,
        passes: bool = False,
    ) -> RenderedHead:
        """As `HeadRenderer.render`. The arrays are the rasteriser's own: valid until the next frame."""
        seen_by = camera if crop is None else camera.cropped(*crop)
        view = View(seen_by, np.asarray(head_to_camera, np.float64), self.head.config.filter_m)
        attributes = self.head.attributes(blendshapes, view.head_to_camera)
        if not passes:
            return RenderedHead(self.rasteriser.draw(attributes, self._order, view).rgba)
        drawn = self.rasteriser.draw(attributes, self._order, view, depth=True, mattes=self._mattes)
        assert drawn.depth is not None
        return RenderedHead(drawn.rgba, _along_rays(drawn.depth, drawn.rgba[..., 3], seen_by), mattes=drawn.mattes)

    def render_rays(
        self,
        camera: Camera,
        head_to_camera: Float[np.ndarray, "4 4"],
        blendshapes: Float[np.ndarray, " conditions"],
        u: Float[np.ndarray, " rays"],
        v: Float[np.ndarray, " rays"],
    ) -> tuple[Float[np.ndarray, "rays 4"], Float[np.ndarray, " rays"]]:
        """Premultiplied RGBA and depth along the ray, metres, of the pixels whose centres are at (u, v)."""
        head = self.render(camera, head_to_camera, blendshapes, passes=True)
        assert head.depth_m is not None
        rows, columns = np.floor(v).astype(int), np.floor(u).astype(int)
        return head.rgba[rows, columns], head.depth_m[rows, columns]

    def render_batch(
        self, camera: Camera, heads_to_camera: Iterable[np.ndarray], blendshapes: Iterable[np.ndarray]
    ) -> Iterator[RenderedHead]:
        """Frames one by one, on request; memory does not grow with their number."""
        for pose, values in zip(heads_to_camera, blendshapes, strict=True):
            yield self.render(camera, pose, values)


def _along_rays(
    depth: Float[np.ndarray, "height width"], alpha: Float[np.ndarray, "height width"], camera: Camera
) -> Float[np.ndarray, "height width"]:
    """Distance along each pixel's ray from premultiplied depth along the optical axis."""
    x = (np.arange(camera.width, dtype=np.float32) + 0.5 - camera.principal_px[0]) / camera.focal_px
    y = (np.arange(camera.height, dtype=np.float32) + 0.5 - camera.principal_px[1]) / camera.focal_px
    length = np.sqrt(1 + x[None] ** 2 + y[:, None] ** 2)
    return np.where(alpha > _MIN_ALPHA, depth / np.maximum(alpha, 1e-6) * length, 0).astype(np.float32)
