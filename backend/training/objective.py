"""The objective of a training step (Eq. 13): rays of a few frames rendered and compared with their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..evaluation.lpips import Lpips
from ..protocol import BLENDSHAPE_NAMES
from ..renderer.field.field import Field
from ..renderer.field.kernels import Kernel
from ..renderer.regions import BLENDSHAPE_GAIN
from .losses import DISTORTION_WEIGHT, colour_loss, structural_loss
from .presets import Preset
from .schedule import sampling_grid
from .targets import Targets

PATCH_SIDE = 32
FULL_MOUTH_WEIGHT_FRAMES = 1000
"""Training frames from which the preset's `mouth_weight` counts in full: with few, the mouth overfits."""


@dataclass(frozen=True)
class BatchLoss:
    """The loss of one batch, and its samples for the occupancy: (M, 3) positions in the unit cube, (M,) weights."""

    loss: torch.Tensor
    positions: torch.Tensor
    weights: torch.Tensor


class Objective:
    """What a preset minimises.

    Args:
        conditions: how many conditions a frame has.
        training_frames: how many frames are trained on.
    """

    def __init__(self, preset: Preset, kernel: Kernel, device: str, conditions: int, training_frames: int) -> None:
        self.preset, self.kernel, self.device = preset, kernel, device
        # The same noise for all inputs as the networks see them; audio features come in standard deviations.
        noise = torch.full((conditions,), preset.blendshape_noise * BLENDSHAPE_GAIN)
        noise[: len(BLENDSHAPE_NAMES)] = preset.blendshape_noise
        self._noise = noise.to(device)
        self.mouth_weight = 1 + (preset.mouth_weight - 1) * min(1.0, training_frames / FULL_MOUTH_WEIGHT_FRAMES)
        # A quarter of a gigabyte, read only for a recipe that has a fine stage.
        lpips = Lpips.load() if preset.fine_weight > 0 else None
        self.lpips = None if lpips is None else lpips.to(device)

    def loss(self, field: Field, targets: Targets, patches: int, step: int) -> BatchLoss:
        """Render the rays with noise on their conditions, over a random background.

        Args:
            patches: how many square patches are at the end of the rays.
        """
        device, total = self.device, len(targets.directions)
        grid = sampling_grid(field, step, self.preset.max_samples)
        start = field.in_cube(targets.origins)
        samples = self.kernel.march(start, targets.directions, grid, torch.rand(total, device=device))
        conditions = targets.conditions + self._noise * torch.randn_like(targets.conditions)
        starts = samples.offsets[targets.starts]  # samples are ordered by frame, because rays are
        networks = field.networks(conditions)
        density, colour, _ = self.kernel.shade(
            samples, targets.directions, starts, field.tables, field.config.layout, networks
        )
        rgba, weights, distortion = self.kernel.composite(density * samples.fade, colour, samples, grid.step)

        background = torch.rand(total, 3, device=device)
        in_patches = patches * PATCH_SIDE**2
        if patches:  # one colour per patch, or its structure would be the background's noise
            background[-in_patches:] = torch.rand(patches, 3, device=device).repeat_interleave(PATCH_SIDE**2, 0)
        predicted = rgba[:, :3] + (1 - rgba[:, 3:]) * background
        truth = targets.alpha * targets.colour + (1 - targets.alpha) * background
        if targets.covered is not None:  # what is before the head teaches nothing: no difference, no gradient
            predicted = torch.where(targets.covered, truth, predicted)
        loss = (
            colour_loss(predicted, truth, targets.at_mouth, self.mouth_weight) + DISTORTION_WEIGHT * distortion.mean()
        )
        if patches:
            loss = loss + self.preset.fine_weight * self._perceptual(predicted[-in_patches:], truth[-in_patches:])
        return BatchLoss(loss, samples.positions, weights)

    def _perceptual(self, predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The second term of Eq. 13, of (P·S², 3) patches: LPIPS, or `structural_loss` where its weights are absent."""
        images = (
            value.reshape(-1, PATCH_SIDE, PATCH_SIDE, 3).permute(0, 3, 1, 2).clamp(0, 1) for value in (predicted, truth)
        )
        return structural_loss(*images) if self.lpips is None else self.lpips(*images).mean()
