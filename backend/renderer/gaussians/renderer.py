"""Images of a Gaussian head: any size, crop, camera, pose and expression."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ...workspace.camera import Camera
from ...workspace.shapes import Float
from .. import devices
from ..head import Moment, RenderedHead
from .frame_codes import FrameCodes
from .head import GaussianHead
from .kernels import get_rasteriser
from .kernels.interface import Drawn, HeadRasteriser, Rasteriser, SharedRasteriser, View

_MIN_ALPHA = 0.05
"""A pixel with less alpha has no depth."""


class GaussianRenderer:
    """Renders a Gaussian head as it is when this is made: a head that is trained further needs another renderer.

    Frames are drawn into buffers of the rasteriser, so one thread at a time.
    """

    def __init__(self, head: GaussianHead, rasteriser: Rasteriser | None = None) -> None:
        self.head = head
        self._order = head.order.numpy()
        self._mattes = head.mattes.numpy()
        self._rays: tuple[Camera, np.ndarray] | None = None
        self._codes = FrameCodes(head)
        try:
            self._take(rasteriser or get_rasteriser(device=devices.current()))
        except RuntimeError as error:
            self._leave_gpu(error)

    def _take(self, rasteriser: Rasteriser) -> None:
        """Draw by this rasteriser."""
        self.rasteriser, self._prepared = rasteriser, None
        if isinstance(rasteriser, HeadRasteriser):
            head = self.head
            bases = head.base, head.lip_bases, head.expression_bases, head.view_bases
            base, lips, expressions, seen = (tensor.detach().numpy() for tensor in bases)
            self._prepared = rasteriser.prepare(base, lips, expressions, seen, self._order)

    def _leave_gpu(self, error: RuntimeError) -> None:
        """Draw on the CPU.

        Raises:
            RuntimeError: the error, where it is not that the GPU's memory ran out.
        """
        device = getattr(self.rasteriser, "device", "cpu")
        if not devices.left_for_cpu(error, str(device)):
            raise error
        self._take(get_rasteriser())

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
        try:
            drawn = self._draw(view, blendshapes, passes)
        except RuntimeError as error:
            self._leave_gpu(error)
            drawn = self._draw(view, blendshapes, passes)
        if drawn.depth is None:
            return RenderedHead(drawn.rgba)
        depth_m = self._along_rays(drawn.depth, drawn.rgba[..., 3], seen_by)
        return RenderedHead(drawn.rgba, depth_m, mattes=drawn.mattes)

    def write_shared(self, moment: Moment, out: Float[np.ndarray, "height width 4"]) -> bool:
        """As `SharedRenderer.write_shared`."""
        if not isinstance(self.rasteriser, SharedRasteriser):
            return False
        view = View(moment.camera, np.asarray(moment.head_to_camera, np.float64), self.head.config.filter_m)
        codes, towards = self._codes.codes(moment.blendshapes), self._codes.view(view.head_to_camera)
        try:
            self.rasteriser.write_head(self._prepared, *codes, towards, view, out)
        except RuntimeError as error:
            self._leave_gpu(error)
            return False
        return True

    def motion(
        self, depth_m: Float[np.ndarray, "height width"], now: Moment, other: Moment
    ) -> Float[np.ndarray, "height width 2"]:
        """As `HeadRenderer.motion`, the face's own motion in it: what each Gaussian moves, blended as its colour is.

        Draws: what was rendered before is overwritten.
        """
        (drawn, view), before = (
            (
                self.head.attributes(moment.blendshapes, moment.head_to_camera),
                View(moment.camera, np.asarray(moment.head_to_camera, np.float64), self.head.config.filter_m),
            )
            for moment in (now, other)
        )
        try:
            frame = self.rasteriser.draw(drawn, self._order, view, before=before)
        except RuntimeError as error:
            self._leave_gpu(error)
            frame = self.rasteriser.draw(drawn, self._order, view, before=before)
        assert frame.motion is not None
        result = np.zeros(frame.motion.shape, np.float32)
        alpha = frame.rgba[..., 3:]
        np.divide(-frame.motion, alpha, out=result, where=(alpha > _MIN_ALPHA) & (depth_m > 0)[..., None])
        return result

    def _draw(self, view: View, blendshapes: np.ndarray, passes: bool) -> Drawn:
        mattes = self._mattes if passes else None
        if self._prepared is None:
            attributes = self.head.attributes(blendshapes, view.head_to_camera)
            return self.rasteriser.draw(attributes, self._order, view, depth=passes, mattes=mattes)
        assert isinstance(self.rasteriser, HeadRasteriser)
        codes, towards = self._codes.codes(blendshapes), self._codes.view(view.head_to_camera)
        return self.rasteriser.draw_head(self._prepared, *codes, towards, view, depth=passes, mattes=mattes)

    def _along_rays(
        self, depth: Float[np.ndarray, "height width"], alpha: Float[np.ndarray, "height width"], camera: Camera
    ) -> Float[np.ndarray, "height width"]:
        """Distance along each pixel's ray from premultiplied depth along the optical axis."""
        if self._rays is None or self._rays[0] != camera:
            self._rays = camera, camera.ray_lengths()
        distance = np.zeros_like(depth)
        np.divide(depth, alpha, out=distance, where=alpha > _MIN_ALPHA)
        distance *= self._rays[1]
        return distance

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
