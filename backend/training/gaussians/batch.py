"""Gradients of a batch of images, drawn on two threads: each draws images of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels.image_loss import loss_gradient
from ...renderer.gaussians.kernels.interface import ATTRIBUTES, COLOUR, Rasteriser, View
from ...workspace.shapes import Float
from .images import Target

THREADS = 2
FIELD_BLUR, FIELD_SHARP = 0.008, 0.25
"""What the loss sees of the luminance of a rendering of the field: what is coarser than a Gaussian of the first, of the image's width;
and of what is finer a part. There the frames know more: a field that was trained for a short time is blurred, and taught that to
turned heads. Of colour it sees all: nearly all grain is in chroma."""


@dataclass
class BatchGradients:
    """Of the images of a batch.

    Attributes:
        loss: mean squared error of the pixels in their crops.
        frames: (B, 14, N) by each image's attributes.
        pose: (B, 6) as `Gradients.pose`.
        lip_codes, expression_codes: with their graph.
        view: (B, 2).
    """

    loss: float
    frames: Tensor
    pose: np.ndarray
    lip_codes: Tensor
    expression_codes: Tensor
    view: Tensor


class BatchDrawer:
    """Draws batches and keeps what density control needs: each Gaussian's largest weight and the sum of its pulls."""

    def __init__(self, make_rasteriser: Callable[[], Rasteriser], mouth_weight: float) -> None:
        self._rasterisers = [make_rasteriser() for _ in range(THREADS)]
        self._pool = ThreadPoolExecutor(THREADS)
        self._gradients = [np.zeros((1, 1, 4), np.float32) for _ in range(THREADS)]
        self._mouth_weight = np.float32(mouth_weight)
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def close(self) -> None:
        self._pool.shutdown()

    def forget(self, count: int) -> None:
        """Begin to count for `count` Gaussians."""
        self._parts = [(np.zeros(count, np.float32), np.zeros(count, np.float32)) for _ in range(THREADS)]

    def weight_and_pull(self) -> tuple[np.ndarray, np.ndarray]:
        """Since `forget`: the largest sum of weights in an image, and the sum of pulls, of each Gaussian."""
        weights, pulls = zip(*self._parts, strict=True)
        return np.maximum.reduce(weights), np.sum(pulls, 0)

    def each(self, *work: Callable[[], Tensor | None]) -> list[Tensor | None]:
        """Run on the threads."""
        return [future.result() for future in [self._pool.submit(task) for task in work]]

    def gradients(
        self, head: GaussianHead, targets: Sequence[Target], views: Sequence[View], conditions: np.ndarray
    ) -> BatchGradients:
        """Draw every target's view and compare.

        Args:
            conditions: (B, C).
        """
        lip_codes, expression_codes = head.codes(torch.from_numpy(conditions))
        direction = head.view(np.stack([view.head_to_camera for view in views]))
        given = lip_codes.detach(), expression_codes.detach(), direction
        order = head.order.numpy()
        frames = torch.empty(len(targets), ATTRIBUTES, head.count)
        pose = np.zeros((len(targets), 6), np.float32)

        def share(thread: int) -> float:
            mine = slice(thread, None, THREADS)
            attributes = head.deformed(*(values[mine] for values in given)).numpy()
            total = 0.0
            for place, index in enumerate(range(thread, len(targets), THREADS)):
                out = frames[index].numpy(), pose[index]
                total += self._one(thread, attributes[place], order, views[index], targets[index], *out)
            return total

        total = sum(future.result() for future in [self._pool.submit(share, thread) for thread in range(THREADS)])
        pixels = 3 * sum(target.alpha.size for target in targets)
        return BatchGradients(total / pixels, frames, pose, lip_codes, expression_codes, direction)

    def _one(
        self,
        thread: int,
        attributes: np.ndarray,
        order: np.ndarray,
        view: View,
        target: Target,
        out: np.ndarray,
        pose: np.ndarray,
    ) -> float:
        """Draw one image and write the gradients by its attributes and its pose; returns the loss."""
        rasteriser = self._rasterisers[thread]
        rgba = rasteriser.draw(attributes, order, view).rgba
        if self._gradients[thread].shape != rgba.shape:
            self._gradients[thread] = np.zeros(rgba.shape, np.float32)
        by_image = self._gradients[thread]
        loss = loss_gradient(
            rgba if target.covered is None else uncovered(rgba, target),
            target.colour,
            target.alpha,
            target.x0,
            target.y0,
            target.mouth,
            self._mouth_weight,
            np.float32(1),
            by_image,
        )
        if target.frame < 0:
            low_pass(by_image)
        found = rasteriser.backward(by_image)
        out[:] = found.attributes
        colour, by_colour = attributes[COLOUR], out[COLOUR]
        by_colour[((colour <= 0) & (by_colour > 0)) | ((colour >= 1) & (by_colour < 0))] = 0  # it ends there
        pose[:] = found.pose
        weight, pull = self._parts[thread]
        np.maximum(
            weight, found.weight, out=weight
        )  # what only a turned head shows is needed too, or it has holes there
        if target.frame >= 0:
            pull += found.pull
        return float(loss)


def low_pass(gradient: Float[np.ndarray, "height width 4"]) -> None:
    """Take most of what is fine from the luminance of a gradient by premultiplied colour and alpha, in place.

    With r the error and K a symmetric filter, the gradient of |K r|² is K K 2 r; K K is FIELD_SHARP + (1 - FIELD_SHARP) times a
    Gaussian here.
    """
    grey = gradient[..., :3].mean(-1)
    coarse = cv2.GaussianBlur(grey, (0, 0), FIELD_BLUR * gradient.shape[1], borderType=cv2.BORDER_CONSTANT)
    gradient[..., :3] += ((1 - FIELD_SHARP) * (coarse - grey))[..., None]


def uncovered(rgba: np.ndarray, target: Target) -> np.ndarray:
    """The drawn image, equal to the target where that is covered: there it has no error, and no gradient."""
    assert target.covered is not None
    result = rgba.copy()
    height, width = target.alpha.shape
    part = result[target.y0 : target.y0 + height, target.x0 : target.x0 + width]
    covered = target.covered[: part.shape[0], : part.shape[1]]
    alpha = target.alpha[: part.shape[0], : part.shape[1]][covered].astype(np.float32)[:, None] / 255
    colour = target.colour[: part.shape[0], : part.shape[1]][covered].astype(np.float32) / 255
    part[covered] = np.concatenate([colour * alpha, alpha], 1)
    return result
