"""The rasteriser in plain PyTorch: the oracle of the compiled one's tests, and a way to run on any device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ....workspace.camera import Camera
from ....workspace.shapes import Float, Int
from .constants import MAX_VARIANCE_PX2
from .interface import (
    COLOUR,
    CUTOFF,
    LOG_SCALE,
    LOW_PASS_PX2,
    MAX_ALPHA,
    NEAR_M,
    OPACITY,
    POSITION,
    ROTATION,
    Drawn,
    Gradients,
    View,
    slope_limits,
)

_PIXELS_AT_ONCE = 4096

Blend = Callable[..., tuple[torch.Tensor, torch.Tensor]]


class TorchRasteriser:
    """See `interface.Rasteriser`. Every Gaussian is blended into every pixel: for small images.

    It has no tiles, so none of them ends when it is opaque: it differs by less than `OPAQUE` from what has.
    """

    name = "torch"

    def __init__(self, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.blend: Blend = blend_everywhere
        self.device, self.dtype = device, dtype
        self._leaves: tuple[torch.Tensor, ...] | None = None

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
        """See `interface.Rasteriser.draw`."""
        given, rank = self._tensor(attributes).requires_grad_(), torch.as_tensor(np.asarray(order), device=self.device)
        motion = torch.zeros(6, dtype=self.dtype, device=self.device, requires_grad=True)
        pose = moved(self._tensor(view.head_to_camera), motion)
        values = [given[COLOUR], torch.ones_like(given[:1])]
        centres, points = project_centres(given, pose, view)
        if depth:
            values.append(points[2:].detach())  # of what is not drawn it may not be finite
        if mattes is not None:
            values.append(self._tensor(mattes))
        if before is not None:
            earlier, _ = project_centres(self._tensor(before[0]), self._tensor(before[1].head_to_camera), before[1])
            values.append(torch.nan_to_num(centres - earlier, 0.0, 0.0, 0.0).detach())
        offsets = torch.zeros_like(centres, requires_grad=True)
        image, weights = rasterise(given, rank, pose, view, torch.cat(values), self.blend, offsets)
        self._leaves = image, weights, given, motion, offsets
        parts = iter(torch.split(image.detach(), [4, *(len(value) for value in values[2:])], dim=2))
        arrays = (part.float().cpu().numpy() for part in parts)
        return Drawn(
            next(arrays),
            depth=next(arrays)[..., 0] if depth else None,
            mattes=next(arrays) if mattes is not None else None,
            motion=next(arrays) if before is not None else None,
        )

    def backward(self, gradient: Float[np.ndarray, "height width 4"]) -> Gradients:
        """See `interface.Rasteriser.backward`."""
        if self._leaves is None:
            raise RuntimeError("draw a frame before its gradients are asked for")
        image, weights, *leaves = self._leaves
        found = torch.autograd.grad(image[..., :4], leaves, self._tensor(gradient), retain_graph=True)
        attributes, pose, places = (by.float().cpu().numpy() for by in found)
        return Gradients(attributes, pose, np.hypot(*places), weights.detach().float().cpu().numpy())

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.tensor(np.asarray(array), dtype=self.dtype, device=self.device)


def moved(head_to_camera: Float[torch.Tensor, "4 4"], motion: Float[torch.Tensor, " 6"]) -> Float[torch.Tensor, "4 4"]:
    """The pose after a small motion in camera axes, see `interface.Gradients.pose`; to first order in the turn."""
    x, y, z = motion[3:]
    zero = torch.zeros_like(x)
    turn = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    rotation = head_to_camera[:3, :3] + turn @ head_to_camera[:3, :3]
    top = torch.cat([rotation, (head_to_camera[:3, 3] + motion[:3])[:, None]], 1)
    return torch.cat([top, head_to_camera[3:]])


def project_centres(
    attributes: Float[torch.Tensor, "14 n"], pose: Float[torch.Tensor, "4 4"], view: View
) -> tuple[Float[torch.Tensor, "2 n"], Float[torch.Tensor, "3 n"]]:
    """Pixels of the Gaussians' centres, NaN where nearer than `NEAR_M`, and the centres in camera axes."""
    points = pose[:3, :3] @ attributes[POSITION] + pose[:3, 3:]
    principal = points.new_tensor(view.camera.principal_px)[:, None]
    depth = torch.where(points[2] > NEAR_M, points[2], torch.nan)
    return points[:2] / depth * view.camera.focal_px + principal, points


def rasterise(
    attributes: Float[torch.Tensor, "14 n"],
    order: Int[torch.Tensor, " n"],
    pose: Float[torch.Tensor, "4 4"],
    view: View,
    values: Float[torch.Tensor, "channels n"],
    blend: Blend,
    offsets: Float[torch.Tensor, "2 n"] | None = None,
) -> tuple[Float[torch.Tensor, "height width channels"], Float[torch.Tensor, " n"]]:
    """`values` of the Gaussians blended front to back in `order`, and the sum of each Gaussian's weights in the image.

    Args:
        blend: as `blend_everywhere`.
        offsets: pixels, added to the projected centres: zeros, for gradients by these.
    """
    with torch.no_grad():  # the gradients of what is not drawn would be NaN
        covariance, opacity, centres = _project(attributes, pose, view)
        # One of no size, or of an infinite logit, is a Gaussian: both are limits. Comparisons with NaN are false.
        drawn = torch.isfinite(torch.cat([attributes[POSITION], attributes[COLOUR], centres])).all(0) & (
            opacity > CUTOFF
        )
        drawn = drawn & (covariance[:, 0, 0] < MAX_VARIANCE_PX2) & (covariance[:, 1, 1] < MAX_VARIANCE_PX2)
        kept = order[drawn[order]]
    covariance, opacity, centres = _project(attributes[:, kept], pose, view)
    if offsets is not None:
        centres = centres + offsets[:, kept]
    image, of_kept = blend(covariance, opacity, centres, values[:, kept], view.camera)
    return image, values.new_zeros(attributes.shape[1]).index_add(0, kept, of_kept)


def blend_everywhere(
    covariance: Float[torch.Tensor, "n 2 2"],
    opacity: Float[torch.Tensor, " n"],
    centres: Float[torch.Tensor, "2 n"],
    values: Float[torch.Tensor, "channels n"],
    camera: Camera,
) -> tuple[Float[torch.Tensor, "height width channels"], Float[torch.Tensor, " n"]]:
    """Blend each Gaussian, the nearest first, into each pixel; also the sum of each one's weights."""
    form = torch.linalg.inv(covariance)
    count = camera.height * camera.width
    parts, weights = [], torch.zeros_like(opacity)
    for begin in range(0, count, _PIXELS_AT_ONCE):
        pixel = torch.arange(begin, min(begin + _PIXELS_AT_ONCE, count), device=values.device)
        place = torch.stack([pixel % camera.width, pixel // camera.width]) + 0.5
        x, y = place[:, :, None] - centres[:, None]
        distance = form[:, 0, 0] * x * x + 2 * form[:, 0, 1] * x * y + form[:, 1, 1] * y * y
        alpha = ((opacity * torch.exp(-0.5 * distance)).clamp(max=MAX_ALPHA) - CUTOFF).clamp(min=0)
        passed = torch.cumprod(1 - alpha, 1)
        weight = alpha * torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], 1)
        weights = weights + weight.sum(0)
        parts.append(weight @ values.T)
    return torch.cat(parts).reshape(camera.height, camera.width, -1), weights


def _project(
    attributes: Float[torch.Tensor, "14 n"], pose: Float[torch.Tensor, "4 4"], view: View
) -> tuple[Float[torch.Tensor, "n 2 2"], Float[torch.Tensor, " n"], Float[torch.Tensor, "2 n"]]:
    """Covariances on the image with the low-pass, pixels², opacities that make up for it (see `View.filter_m`), centres."""
    centres, points = project_centres(attributes, pose, view)
    depth = torch.where(points[2] > NEAR_M, points[2], torch.nan)
    limits = points.new_tensor(slope_limits(view.camera))[:, None]
    slopes = torch.maximum(torch.minimum(points[:2] / depth, limits), -limits)
    zero, scale = torch.zeros_like(depth), view.camera.focal_px / depth
    jacobian = torch.stack(
        [torch.stack([scale, zero, -scale * slopes[0]]), torch.stack([zero, scale, -scale * slopes[1]])]
    ).permute(2, 0, 1)
    axes = jacobian @ pose[:3, :3] @ _axes(attributes)
    own = axes @ axes.mT
    trained = (view.filter_m * scale) ** 2
    identity = torch.eye(2, dtype=own.dtype, device=own.device)
    before = own + trained[:, None, None] * identity
    after = own + trained.clamp(min=LOW_PASS_PX2)[:, None, None] * identity
    fade = ((depth - NEAR_M) / NEAR_M).clamp(max=1)
    areas = torch.linalg.det(before).clamp(min=1e-12) / torch.linalg.det(after)
    return after, torch.sigmoid(attributes[OPACITY]) * fade * areas.sqrt(), centres


def _axes(attributes: Float[torch.Tensor, "14 n"]) -> Float[torch.Tensor, "n 3 3"]:
    """Columns are the Gaussians' own axes in the head frame, as long as their standard deviations, metres."""
    w, x, y, z = attributes[ROTATION] / attributes[ROTATION].norm(dim=0)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]),
    ]
    return torch.stack(rows).permute(2, 0, 1) * attributes[LOG_SCALE].exp().T[:, None]
