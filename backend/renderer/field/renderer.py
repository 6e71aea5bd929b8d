"""Images of a trained head: any size, crop, camera, pose and expression."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ...workspace.camera import Camera
from ...workspace.shapes import Float, Int
from .. import devices
from ..head import Moment, RenderedHead
from ..surface import along_axis, rigid_motion
from .device_frames import DeviceFrames
from .field import Field
from .kernels import Kernel, get_kernel
from .rays import image_rays

_TILE = 16
"""Side of the squares in which the kernel gets pixels: neighbours read the same entries of the tables."""
_MIN_ALPHA = 0.05
"""A ray with less alpha has no depth."""


class FieldRenderer:
    """Renders a field. Keeps nothing between frames but the field, and on a GPU the buffers of a frame, so threads may share
    it in turns.

    Where no kernel is given and a GPU's memory runs out, the field moves to the CPU.
    """

    def __init__(self, field: Field, kernel: Kernel | None = None) -> None:
        self.field = field.eval()
        self.kernel = kernel or get_kernel(device=str(field.tables.device))
        self._stays = kernel is not None
        self._corners: np.ndarray | None = None
        self._frames: tuple[tuple[Camera, tuple[int, int, int, int]], DeviceFrames] | None = None
        """On a GPU, of the camera and the crop of the last frame."""

    def corners_m(self) -> Float[np.ndarray, "8 3"]:
        """The corners of the occupied box in the head frame, metres."""
        if self._corners is None:
            cells = self.field.occupied.cpu().nonzero()
            grid, config = self.field.config.occupancy_cells, self.field.config
            low, high = cells.amin(0).numpy() / grid, (cells.amax(0).numpy() + 1) / grid
            bounds = np.stack([low, high]) * config.box_size_m + np.array(config.box_low_m)
            self._corners = np.array(
                [[bounds[i, 0], bounds[j, 1], bounds[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)]
            )
        return self._corners

    def render(
        self,
        camera: Camera,
        head_to_camera: Float[np.ndarray, "4 4"],
        blendshapes: Float[np.ndarray, " conditions"],
        crop: tuple[int, int, int, int] | None = None,
        passes: bool = True,
    ) -> RenderedHead:
        """As `HeadRenderer.render`; depth and attention cost nothing more and always come with the image."""
        left, top, width, height = crop = crop or (0, 0, camera.width, camera.height)
        if (seen := self._drawn_on_gpu(camera, crop, head_to_camera, blendshapes)) is not None:
            return RenderedHead(seen[..., :4].copy(), _depth_m(seen), seen[..., 5:].copy())
        rgba = np.zeros((height, width, 4), np.float32)
        depth_m, attention = np.zeros((height, width), np.float32), np.zeros((height, width, 2), np.float32)
        rows, columns = self.pixels(camera, head_to_camera, (left, top, width, height))
        if len(rows):
            seen, depth = self._draw(camera, head_to_camera, blendshapes, columns + left + 0.5, rows + top + 0.5)
            rgba[rows, columns] = seen[:, :4]
            depth_m[rows, columns] = depth
            attention[rows, columns] = seen[:, 5:]
        return RenderedHead(rgba, depth_m, attention)

    def motion(
        self, depth_m: Float[np.ndarray, "height width"], now: Moment, other: Moment
    ) -> Float[np.ndarray, "height width 2"]:
        """As `HeadRenderer.motion`: a field has no points that could be followed, so its motion is that of the head as one piece."""
        return rigid_motion(along_axis(depth_m, now.camera), now, other)

    def bounds(self, camera: Camera, head_to_camera: Float[np.ndarray, "4 4"]) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 of the part of the image that the head's box covers."""
        pixels, distance = camera.project(np.asarray(head_to_camera, np.float64), self.corners_m())
        if distance.min() <= 0.01:  # the camera is in or behind the head's box: every pixel may hit it
            return 0, 0, camera.width, camera.height
        size = (camera.width, camera.height)
        x0, y0 = np.clip(np.floor(pixels.min(0)), 0, size).astype(int).tolist()
        x1, y1 = np.clip(np.ceil(pixels.max(0)), 0, size).astype(int).tolist()
        return x0, y0, x1, y1

    def pixels(
        self,
        camera: Camera,
        head_to_camera: Float[np.ndarray, "4 4"],
        crop: tuple[int, int, int, int] | None = None,
    ) -> tuple[Int[np.ndarray, " pixels"], Int[np.ndarray, " pixels"]]:
        """Rows and columns, in the crop, of the pixels that may show the head, square after square."""
        left, top, width, height = crop or (0, 0, camera.width, camera.height)
        x0, y0, x1, y1 = self.bounds(camera, head_to_camera)
        x0, x1 = np.clip((x0 - left, x1 - left), 0, width)
        y0, y1 = np.clip((y0 - top, y1 - top), 0, height)
        return _in_tiles(int(x0), int(y0), int(x1), int(y1))

    def render_batch(
        self, camera: Camera, heads_to_camera: Iterable[np.ndarray], blendshapes: Iterable[np.ndarray]
    ) -> Iterator[RenderedHead]:
        """Frames one by one, on request; memory does not grow with their number."""
        for pose, values in zip(heads_to_camera, blendshapes, strict=True):
            yield self.render(camera, pose, values)

    def render_rays(
        self,
        camera: Camera,
        head_to_camera: Float[np.ndarray, "4 4"],
        blendshapes: Float[np.ndarray, " conditions"],
        u: Float[np.ndarray, " rays"],
        v: Float[np.ndarray, " rays"],
    ) -> tuple[Float[np.ndarray, "rays 4"], Float[np.ndarray, " rays"]]:
        """Premultiplied RGBA and depth in metres of single pixels at (u, v)."""
        try:
            seen, depth = self._draw(camera, head_to_camera, blendshapes, u, v)
        except RuntimeError as error:
            self._leave_gpu(error)
            seen, depth = self._draw(camera, head_to_camera, blendshapes, u, v)
        return seen[:, :4], depth

    def write_shared(self, moment: Moment, out: Float[np.ndarray, "height width 4"]) -> bool:
        """As `SharedRenderer.write_shared`."""
        if self.field.tables.device.type == "cpu":
            return False
        camera = moment.camera
        try:
            frames = self._device_frames(camera, (0, 0, camera.width, camera.height))
            frames.write_shared(moment.head_to_camera, moment.blendshapes, out)
        except RuntimeError as error:
            self._leave_gpu(error)
            return False
        return True

    def _drawn_on_gpu(
        self, camera: Camera, crop: tuple[int, int, int, int], head_to_camera: np.ndarray, blendshapes: np.ndarray
    ) -> Float[np.ndarray, "height width 7"] | None:
        """What `Kernel.draw` returns, for each pixel; None where the field is on the CPU, as it is once the memory has run out."""
        if self.field.tables.device.type == "cpu":
            return None
        try:
            return self._device_frames(camera, crop).draw(head_to_camera, blendshapes)
        except RuntimeError as error:
            self._leave_gpu(error)
            return None

    def _leave_gpu(self, error: RuntimeError) -> None:
        """Move to the CPU.

        Raises:
            RuntimeError: the error, where it is not that the GPU's memory ran out.
        """
        if self._stays or not devices.left_for_cpu(error, str(self.field.tables.device)):
            raise error
        self._frames = None
        self.field, self.kernel = self.field.to("cpu"), get_kernel()

    @torch.no_grad()
    def _draw(
        self, camera: Camera, head_to_camera, blendshapes, u, v
    ) -> tuple[Float[np.ndarray, "rays 7"], Float[np.ndarray, " rays"]]:
        """What `Kernel.draw` returns, and depth."""
        field = self.field
        device = field.tables.device
        origin, directions = image_rays(camera, np.asarray(head_to_camera, np.float64), u, v)
        values = torch.tensor(np.asarray(blendshapes), dtype=torch.float32, device=device)
        seen = self.kernel.draw(
            field.in_cube(torch.from_numpy(origin).to(device)),
            torch.from_numpy(directions).to(device),
            field.grid(),
            field.tables,
            field.config.layout,
            field.networks(values[None]),
        )
        result = seen.cpu().numpy()
        return result, _depth_m(result)

    def _device_frames(self, camera: Camera, crop: tuple[int, int, int, int]) -> DeviceFrames:
        if self._frames is None or self._frames[0] != (camera, crop):
            self._frames = None  # its memory goes before the next one's is taken
            pixels = _in_tiles(0, 0, crop[2], crop[3])
            self._frames = (camera, crop), DeviceFrames(self.field, self.kernel, camera, crop, *pixels)
        return self._frames[1]


def _depth_m(seen: Float[np.ndarray, "*pixels 7"]) -> Float[np.ndarray, "*pixels"]:
    """Of what `Kernel.draw` returns; 0 where there is next to nothing."""
    alpha = seen[..., 3]
    return np.where(alpha > _MIN_ALPHA, seen[..., 4] / np.maximum(alpha, 1e-6), 0).astype(np.float32)


def _in_tiles(x0: int, y0: int, x1: int, y1: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of all pixels of a rectangle, square after square."""
    rows, columns = np.mgrid[y0:y1, x0:x1].astype(np.int32)
    across = -(-(x1 - x0) // _TILE)
    tile = (rows - y0) // _TILE * across + (columns - x0) // _TILE
    order = np.argsort(tile.ravel(), kind="stable")
    return rows.ravel()[order], columns.ravel()[order]
