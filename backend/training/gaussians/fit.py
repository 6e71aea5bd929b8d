"""Fitting a Gaussian head: batches of images, density, smoothing, poses. No files, no clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from ...protocol import BLENDSHAPE_NAMES
from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels.interface import Rasteriser, View
from ...renderer.gaussians.renderer import GaussianRenderer
from ...renderer.head import HeadRenderer
from ...renderer.regions import BLENDSHAPE_GAIN
from ...workspace.camera import Camera
from ...workspace.shapes import Float
from ..dataset import Frame, FramePool
from . import density, smoothing
from .batch import BatchDrawer
from .cloud import spread_poses
from .detail import Detail, missing_detail, sharpened
from .images import Target, frame_target, reduced
from .loose import loose_gaussians
from .optimiser import GaussianOptimiser
from .poses import START_STEPS, PoseFit
from .start import blending_order, mean_camera

BATCH = 8
"""Images of a step."""
FINE_SIZE = 512
COARSE_SHARES = (0.12, 0.3)
"""Until these shares of the training, images of 512² and more are drawn at a quarter, then at half the size; smaller ones at half
the size until the first."""
ORDER_STEPS = 250
"""Steps between two changes of the order of blending, in the first part of the training."""
DETAIL_FRAMES = 16
"""Frames of which the detail that a head misses is measured."""
ORDER_SHARE = 0.7
"""Share of the training after which the order stays."""


class GaussianFit:
    """A head, and everything that is fitted with it.

    Args:
        poses: of all frames of the clip, (F, 4, 4).
        conditions: of all frames, (F, C).
        camera: of the training frames.
        extra: renderings of the field; one of them is in each batch.
    """

    def __init__(
        self,
        head: GaussianHead,
        pool: FramePool,
        poses: Float[np.ndarray, "frames 4 4"],
        conditions: Float[np.ndarray, "frames conditions"],
        camera: Camera,
        extra: Sequence[Target],
        mouth_weight: float,
        noise: float,
        make_rasteriser: Callable[[], Rasteriser],
        seed: int,
    ) -> None:
        self.head, self.camera, self.extra = head, camera, extra
        self._pool, self._start_poses, self.conditions = pool, poses, conditions
        self._noise = np.full(conditions.shape[1], noise * BLENDSHAPE_GAIN, np.float32)
        self._noise[: len(BLENDSHAPE_NAMES)] = noise
        self.optimiser = GaussianOptimiser(head)
        self.pose_fit = PoseFit(len(poses))
        self.drawer = BatchDrawer(make_rasteriser, mouth_weight)
        self.drawer.forget(head.count)
        self.detail: Detail | None = None
        self._smoother = smoothing.MotionSmoother(head)
        self._reduced: dict[object, Target] = {}
        self._kept_factor = 1
        self.steps = 0
        self._make_rasteriser = make_rasteriser
        self._seed = seed
        self.reseed()

    def reseed(self, *more: int) -> None:
        """A resumed run draws other images than those it began with."""
        self._rng = np.random.default_rng([self._seed, self.steps, *more])

    @property
    def poses(self) -> Float[np.ndarray, "frames 4 4"]:
        """Of all frames, as fitted."""
        return self.pose_fit.moved(self._start_poses)

    def step(self, share: float, scale: float = 1.0) -> float:
        """One batch.

        Args:
            share: of the training that is done, 0 to 1.
            scale: of all rates.

        Returns:
            Mean squared error of the batch's pixels.
        """
        chosen = [self._pool.held[i] for i in self._rng.integers(0, len(self._pool.held), BATCH - bool(self.extra))]
        factor = self._factor(share)
        targets = [self._target(frame, factor) for frame in chosen]
        if self.extra:
            number = int(self._rng.integers(0, len(self.extra)))
            targets.append(self._kept((number, "field"), self.extra[number], factor))
        camera = self.camera if factor == 1 else self.camera.resized(1 / factor)
        views = [self._view(target, camera) for target in targets]
        conditions = np.stack([self._values(target) for target in targets])
        batch = self.drawer.gradients(self.head, targets, views, conditions)
        lips, expressions = batch.lip_codes.detach(), batch.expression_codes.detach()
        by_codes = self.drawer.each(
            lambda: self.optimiser.lip_gradients(batch.frames, lips),
            lambda: self.optimiser.other_gradients(batch.frames, expressions, batch.view),
        )
        self.optimiser.step(share, scale, [batch.lip_codes, batch.expression_codes], by_codes)
        if self.steps > START_STEPS:
            for target, gradient in zip(targets, batch.pose, strict=True):
                if target.frame >= 0:
                    self.pose_fit.step(target.frame, gradient, share)
        if self.steps % smoothing.EVERY_STEPS == 0:
            self.drawer.each(
                lambda: self._smoother.lips(self.optimiser.ungated["lip_bases"]),
                lambda: self._smoother.expressions(self.optimiser.ungated["expression_bases"]),
            )
            self.optimiser.renew_gates()
        self.steps += 1
        if self.steps % ORDER_STEPS == 0 and share < ORDER_SHARE:
            self.renew_order()
        return batch.loss

    def try_step(self) -> None:
        """Draw a batch and discard it, which compiles the kernels."""
        target = self._target(self._pool.held[0])
        arguments = [target] * 2, [self._view(target, self.camera)] * 2, np.stack([self._values(target)] * 2)
        self.drawer.gradients(self.head, *arguments)
        self.drawer.forget(self.head.count)
        self.reseed()

    def place(self, poses: Float[np.ndarray, "frames 4 4"], camera: Camera) -> None:
        """Take over the poses of all frames, and the camera they belong to."""
        self._start_poses, self.camera = poses, camera
        self.pose_fit = PoseFit(len(poses))

    def add_detail(self, renderer: HeadRenderer) -> None:
        """From here on frames are as much sharper as the head is less sharp than their own colour, and as before."""
        held = [frame.index for frame in self._pool.held]
        chosen = [held[i] for i in np.linspace(0, len(held) - 1, min(DETAIL_FRAMES, len(held))).astype(int)]
        frames = map(self._pool.read, chosen)
        missing = missing_detail((self._drawn(renderer, frame), frame) for frame in frames)
        self.detail = missing if self.detail is None else self.detail.and_more(missing)
        self.sharpen()

    def sharpen(self) -> None:
        """Give the frames of the pool the detail that was measured, and their own colour where none was."""
        detail = self.detail
        self._pool.recolour(None if detail is None else lambda frame: sharpened(frame, detail))
        self._reduced = {}

    def _drawn(self, renderer: HeadRenderer, frame: Frame) -> Float[np.ndarray, "height width 3"]:
        """The head over nothing in a frame's crop, 0 to 255."""
        pose = self.pose_fit.moved(self._start_poses[frame.index], frame.index)
        image = renderer.render(self.camera, pose, self.conditions[frame.index]).rgba
        rows, columns = frame.alpha.shape
        return 255 * image[frame.y0 : frame.y0 + rows, frame.x0 : frame.x0 + columns, :3]

    def renew_order(self) -> None:
        """Order by where the Gaussians are now."""
        self.head.order = blending_order(self.head, self._mean_camera())

    def _mean_camera(self) -> Float[np.ndarray, " 3"]:
        return mean_camera(self.poses[[frame.index for frame in self._pool.held]])

    def change_density(self, target: int) -> tuple[int, int]:
        """Remove what no image shows, and split towards `target` Gaussians: how many went and came."""
        before = self.head.count
        change = density.refit(self.head, *self.drawer.weight_and_pull(), target, self._mean_camera())
        self._take(change)
        self.renew_order()
        came = int(change.fresh.sum())
        return before - (self.head.count - came), came

    def remove_loose(self) -> int:
        """Remove what is no part of the head, see `loose`: how many went. The others are blended in the order that they were fitted in."""
        held = np.array([frame.index for frame in self._pool.held])
        (central,) = spread_poses(self.poses, held, 1)
        renderer = GaussianRenderer(self.head, self._make_rasteriser())
        values = self.conditions[held].mean(0)
        loose = loose_gaussians(self.head, renderer, self.camera, self.poses[central], values)
        weight = np.where(loose, np.float32(0), np.float32(1))
        change = density.refit(self.head, weight, np.zeros_like(weight), 0, self._mean_camera())
        order = density.kept_order(self.head.order.numpy(), change.source)
        self._take(change)
        self.head.order = torch.from_numpy(order)
        return int(loose.sum())

    def _take(self, change: density.Refit) -> None:
        self.optimiser.resize(change)
        self.drawer.forget(self.head.count)
        self._smoother = smoothing.MotionSmoother(self.head)

    def _factor(self, share: float) -> int:
        """How many times fewer pixels a side are drawn."""
        first, second = COARSE_SHARES
        if self.camera.width >= FINE_SIZE:
            return 4 if share < first else 2 if share < second else 1
        return 2 if share < first else 1

    def _target(self, frame: Frame, factor: int = 1) -> Target:
        return self._kept((frame.index, "frame"), frame_target(frame), factor)

    def _kept(self, key: object, target: Target, factor: int) -> Target:
        """Reduced once; what a coarser part of the training kept goes when the next one begins."""
        if factor != self._kept_factor:
            self._reduced, self._kept_factor = {}, factor
        if factor == 1:
            return target
        if key not in self._reduced:
            self._reduced[key] = reduced(target, factor)
        return self._reduced[key]

    def _view(self, target: Target, camera: Camera) -> View:
        frame = target.frame if target.frame >= 0 else target.follows
        pose = self.pose_fit.moved(self._start_poses[frame], frame)
        return View(camera, target.pose(pose), self.head.config.filter_m)

    def _values(self, target: Target) -> np.ndarray:
        if target.conditions is not None:
            return target.conditions
        noise = self._noise * self._rng.normal(size=len(self._noise)).astype(np.float32)
        return self.conditions[target.frame].astype(np.float32) + noise
