"""Pictures of a trained head: any size, camera, pose and expression."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch

from .cameras import Camera, pixel_rays, project
from .field import Field, FrameNetworks
from .kernels import Kernel, get_kernel

_CHUNK = 8192  # samples a matrix product: the hidden layers of a chunk stay in the cache


@functools.cache
def fast_dtype() -> torch.dtype:
    """bfloat16 where the processor multiplies it in hardware, else float32."""
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    capable = getattr(torch.cpu, "_is_avx512_bf16_supported", None) or getattr(
        torch.cpu, "_is_amx_tile_supported", None
    )
    return torch.bfloat16 if capable is not None and capable() else torch.float32


@dataclass
class Picture:
    """A rendered head: `rgba` (H, W, 4) float32, premultiplied, display-encoded; `depth_m` (H, W), 0 for a miss."""

    rgba: np.ndarray
    depth_m: np.ndarray


class Renderer:
    """Renders a field. Keeps nothing between frames but the field, so it may be shared by threads that take turns."""

    def __init__(self, field: Field, kernel: Kernel | None = None, dtype: torch.dtype | None = None) -> None:
        self.field = field.eval()
        self.kernel = kernel or get_kernel(device=str(field.tables.device.type))
        self.dtype = dtype or fast_dtype()

    def corners_m(self) -> np.ndarray:
        """The eight corners of the occupied box in the head frame, metres."""
        cells = self.field.occupied.nonzero()
        grid, config = self.field.config.occupancy_cells, self.field.config
        low, high = cells.amin(0).numpy() / grid, (cells.amax(0).numpy() + 1) / grid
        bounds = np.stack([low, high]) * config.box_size_m + np.array(config.box_low_m)
        return np.array([[bounds[i, 0], bounds[j, 1], bounds[k, 2]] for i in (0, 1) for j in (0, 1) for k in (0, 1)])

    @torch.no_grad()
    def render(self, camera: Camera, head_to_camera: np.ndarray, blendshapes: np.ndarray) -> Picture:
        """The head alone, in front of nothing.

        Args:
            head_to_camera: (4, 4), metres, OpenCV camera.
            blendshapes: (52) in the order of `protocol.BLENDSHAPE_NAMES`.
        """
        rgba = np.zeros((camera.height, camera.width, 4), np.float32)
        depth = np.zeros((camera.height, camera.width), np.float32)
        pixels, distance = project(camera, np.asarray(head_to_camera, np.float64), self._corners())
        if distance.min() <= 0.01:  # the camera stands in or behind the head's box: every pixel may hit it
            x0, y0, x1, y1 = 0, 0, camera.width, camera.height
        else:
            x0, y0 = np.clip(np.floor(pixels.min(0)).astype(int), 0, (camera.width, camera.height))
            x1, y1 = np.clip(np.ceil(pixels.max(0)).astype(int), 0, (camera.width, camera.height))
        if x1 <= x0 or y1 <= y0:
            return Picture(rgba, depth)
        v, u = np.mgrid[y0:y1, x0:x1].astype(np.float64) + 0.5
        colour, far = self.render_rays(camera, head_to_camera, blendshapes, u.ravel(), v.ravel())
        rgba[y0:y1, x0:x1] = colour.reshape(y1 - y0, x1 - x0, 4)
        depth[y0:y1, x0:x1] = far.reshape(y1 - y0, x1 - x0)
        return Picture(rgba, depth)

    def _corners(self) -> np.ndarray:
        if not hasattr(self, "_cached_corners"):
            self._cached_corners = self.corners_m()
        return self._cached_corners

    @torch.no_grad()
    def render_rays(
        self, camera: Camera, head_to_camera: np.ndarray, blendshapes: np.ndarray, u: np.ndarray, v: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Premultiplied RGBA (R, 4) and depth in metres (R,) of single pixels at (u, v)."""
        field, config = self.field, self.field.config
        device = field.tables.device
        origins, directions = pixel_rays(camera, np.asarray(head_to_camera, np.float64), u, v)
        towards = torch.from_numpy(directions).to(device)
        start = (torch.from_numpy(origins).to(device) - field.low) / config.box_size_m
        samples = self.kernel.march(
            start, towards, field.occupied, field.clearance, config.box_size_m, config.step_m, config.max_samples,
            torch.full((len(u),), 0.5, device=device),
        )  # fmt: skip
        total = len(samples.positions)
        if total == 0:
            return np.zeros((len(u), 4), np.float32), np.zeros(len(u), np.float32)
        networks = FrameNetworks(field, torch.as_tensor(blendshapes, dtype=torch.float32, device=device), self.dtype)
        encoding = self.kernel.encode(samples.positions, field.tables, config.layout)
        view = networks.view(towards)
        rays = samples.rays.long()
        density, colour = torch.empty(total, device=device), torch.empty(total, 3, device=device)
        for low in range(0, total, _CHUNK):
            part = slice(low, min(low + _CHUNK, total))
            density[part], colour[part], _ = networks(samples.positions[part], encoding[part], view[rays[part]])
        rgba, weights, _ = self.kernel.composite(density * samples.fade, colour, samples, config.step_m)
        depth = torch.zeros(len(u), device=device).index_add(0, rays, weights * samples.distances)
        depth = torch.where(rgba[:, 3] > 0.05, depth / rgba[:, 3].clamp(min=1e-6), torch.zeros_like(depth))
        return rgba.cpu().numpy(), depth.cpu().numpy()
