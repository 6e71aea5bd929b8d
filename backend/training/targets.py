"""What a training step compares: rays and their pixels, on the device that trains."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..renderer.devices import upload
from ..renderer.field.rays import pixel_rays
from ..workspace.camera import Camera
from ..workspace.shapes import Bool, Float, Int
from .dataset import Rays


@dataclass(frozen=True)
class Targets:
    """Rays of some frames, frame after frame.

    Attributes:
        origins, directions: in the head frame: metres, unit length.
        starts: (I + 1) the first ray of each frame, and the number of all.
        conditions: of each frame.
        colour, alpha: in [0, 1], the foreground's own.
        at_mouth: pixels in the box of the mouth.
        covered: pixels that show something before the head; None where none does.
    """

    origins: Float[torch.Tensor, "rays 3"]
    directions: Float[torch.Tensor, "rays 3"]
    starts: Int[torch.Tensor, " starts"]
    conditions: Float[torch.Tensor, "frames conditions"]
    colour: Float[torch.Tensor, "rays 3"]
    alpha: Float[torch.Tensor, "rays 1"]
    at_mouth: Bool[torch.Tensor, " rays"]
    covered: Bool[torch.Tensor, "rays 1"] | None

    @classmethod
    def of(
        cls,
        rays: Rays,
        poses: Float[np.ndarray, "clip 4 4"],
        camera: Camera,
        conditions: Float[np.ndarray, "clip conditions"],
        device: str,
    ) -> Targets:
        """Of rays that were gathered in the computer's memory.

        Args:
            poses: head_to_camera of the clip's frames, as `conditions`.
        """
        origins, directions = pixel_rays(camera, np.repeat(poses[rays.frames], rays.counts, axis=0), rays.u, rays.v)
        return cls(
            upload(origins, device),
            upload(directions, device),
            upload(np.concatenate([[0], np.cumsum(rays.counts)]), device),
            upload(np.ascontiguousarray(conditions[rays.frames]), device),
            colour=upload(rays.colour, device),
            alpha=upload(rays.alpha, device),
            at_mouth=upload(rays.at_mouth, device),
            covered=upload(rays.covered, device) if rays.covered.any() else None,
        )
