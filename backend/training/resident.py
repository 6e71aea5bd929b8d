"""Training frames in a GPU's memory: each is uploaded once, as uint8, and steps gather their rays and targets there.

Nothing here asks the GPU for a number: what is random is drawn there, and sizes are known beforehand.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..progress import Reporter
from ..renderer import devices
from ..workspace.camera import Camera
from ..workspace.shapes import Float
from .dataset import FEATURE_BOXES, HEAD_BOX, MOUTH_BOX, Frame
from .targets import Targets

FIRST_PIXELS = 1 << 22
"""Room at the start; half as much again where it is full."""
SHARE = 0.5
"""Of a GPU's free memory that frames may take; the rest is the training's."""
_OFFSET, _WIDTH, _HEIGHT, _LEFT, _TOP, _INDEX = range(6)
"""Columns of the table of frames."""
_SIZE = slice(_WIDTH, _HEIGHT + 1)


def is_wanted(device: str) -> bool:
    """Whether frames are kept on a device: on the CPU they are in its memory already."""
    return device != "cpu"


class ResidentFrames:
    """The frames of a clip on a device, as they are read.

    Attributes:
        used: whether steps take their rays from here; no longer where memory was short, with a warning.

    Args:
        frames: how many there will be.
        conditions: (N, C) of the clip's frames.
    """

    def __init__(
        self, device: str, frames: int, conditions: Float[np.ndarray, "clip conditions"], reporter: Reporter
    ) -> None:
        self.device, self.frames, self.used = device, frames, is_wanted(device)
        self._reporter = reporter
        self._known: set[int] = set()
        self._pixels = torch.zeros(FIRST_PIXELS if self.used else 0, 4, dtype=torch.uint8, device=device)
        self._covered: Tensor | None = None
        self._filled = 0
        self._table = torch.zeros(frames, 6, dtype=torch.int64, device=device)
        self._boxes = torch.zeros(frames, 4, 4, device=device)
        self._features = torch.tensor(FEATURE_BOXES, device=device)
        self._conditions = devices.upload(np.ascontiguousarray(conditions, np.float32), device)
        self._poses: tuple[np.ndarray, Tensor] | None = None
        self._places = lru_cache(maxsize=4)(self._make_places)

    def __len__(self) -> int:
        return len(self._known)

    @property
    def complete(self) -> bool:
        """Whether all frames are there, and used."""
        return self.used and len(self._known) == self.frames

    def add(self, frame: Frame) -> None:
        """Upload a frame that is not there yet."""
        if not self.used or frame.index in self._known:
            return
        height, width = frame.alpha.shape
        count = height * width
        if not self._make_room(self._filled + count):
            self._let_go()
            return
        where = slice(self._filled, self._filled + count)
        colour = frame.colour.reshape(count, 3)
        self._upload(self._pixels[where], np.concatenate([colour, frame.alpha.reshape(count, 1)], 1))
        if frame.covered is not None:
            if self._covered is None:
                self._covered = torch.zeros(len(self._pixels), dtype=torch.bool, device=self.device)
            self._upload(self._covered[where], frame.covered.reshape(count))
        row = len(self._known)
        self._upload(self._table[row], np.array([self._filled, width, height, frame.x0, frame.y0, frame.index]))
        self._upload(self._boxes[row], frame.boxes)
        self._known.add(frame.index)
        self._filled += count

    def sample(
        self,
        poses: Float[np.ndarray, "clip 4 4"],
        camera: Camera,
        images: int,
        rays_per_image: int,
        feature_share: float,
        patches: int = 0,
        patch_side: int = 32,
    ) -> Targets:
        """As `FramePool.sample`, with the rays of these poses."""
        chosen = torch.randint(0, len(self._known), (images + patches,), device=self.device)
        table, boxes = self._table[chosen], self._boxes[chosen]
        single = self._single(table[:images], boxes[:images], rays_per_image, feature_share)
        square = self._squares(table[images:], boxes[images:], feature_share, patch_side)
        x, y = (torch.cat([one.flatten(), other.flatten()]) for one, other in zip(single, square, strict=True))
        of_ray, starts = self._places(images, rays_per_image, patches, patch_side**2)
        of_frame = table[of_ray]
        place = of_frame[:, _OFFSET] + y * of_frame[:, _WIDTH] + x
        pixels = self._pixels[place].float() / 255
        mouth = boxes[of_ray, MOUTH_BOX]
        origins, directions = self._rays(
            poses, camera, table[:, _INDEX], of_ray, x + of_frame[:, _LEFT], y + of_frame[:, _TOP]
        )
        return Targets(
            origins,
            directions,
            starts,
            self._conditions[table[:, _INDEX]],
            colour=pixels[:, :3],
            alpha=pixels[:, 3:],
            at_mouth=(x >= mouth[:, 0]) & (x < mouth[:, 2]) & (y >= mouth[:, 1]) & (y < mouth[:, 3]),
            covered=None if self._covered is None else self._covered[place][:, None],
        )

    def _single(self, table: Tensor, boxes: Tensor, rays: int, feature_share: float) -> tuple[Tensor, Tensor]:
        """Columns and rows, in the frames' crops, of random pixels (images, rays)."""
        images, device = len(table), self.device
        feature = self._features[torch.randint(0, len(self._features), (images, rays), device=device)]
        kind = torch.where(torch.rand(images, rays, device=device) < feature_share, feature, HEAD_BOX)
        box = boxes.gather(1, kind[..., None].expand(-1, -1, 4))
        at = box[..., :2] + torch.rand(images, rays, 2, device=device) * (box[..., 2:] - box[..., :2])
        at = torch.minimum(at.long(), table[:, None, _SIZE] - 1)
        return at[..., 0], at[..., 1]

    def _squares(self, table: Tensor, boxes: Tensor, feature_share: float, side: int) -> tuple[Tensor, Tensor]:
        """As `_single`, all pixels of a square (patches, side²)."""
        patches, device = len(table), self.device
        feature = self._features[torch.randint(0, len(self._features), (patches,), device=device)]
        kind = torch.where(torch.rand(patches, device=device) < feature_share, feature, HEAD_BOX)
        box = boxes.gather(1, kind[:, None, None].expand(-1, 1, 4))[:, 0]
        centre = box[:, :2] + torch.rand(patches, 2, device=device) * (box[:, 2:] - box[:, :2])
        size = table[:, _SIZE]
        corner = torch.minimum((centre - side / 2).clamp(min=0), (size - side).clamp(min=0)).long()
        pixel = torch.arange(side**2, device=device)
        offsets = torch.stack([pixel % side, pixel // side], 1)
        at = torch.minimum(corner[:, None] + offsets, size[:, None] - 1)
        return at[..., 0], at[..., 1]

    def _rays(
        self, poses: np.ndarray, camera: Camera, frames: Tensor, of_ray: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `rays.pixel_rays`, of the pixels x, y of the reduced frame."""
        if self._poses is None or self._poses[0] is not poses:
            self._poses = poses, devices.upload(np.ascontiguousarray(poses, np.float32), self.device)
        pose = self._poses[1][frames]
        (cx, cy), focal = camera.principal_px, camera.focal_px
        towards = torch.stack(
            [(x + (0.5 - cx)) / focal, (y + (0.5 - cy)) / focal, torch.ones_like(x, dtype=torch.float32)], 1
        )
        towards = torch.nn.functional.normalize(towards, dim=1)
        origins = -torch.einsum("fij,fi->fj", pose[:, :3, :3], pose[:, :3, 3])
        return origins[of_ray], torch.einsum("rij,ri->rj", pose[of_ray, :3, :3], towards)

    def _make_places(self, images: int, rays: int, patches: int, pixels: int) -> tuple[Tensor, Tensor]:
        """Each ray's frame among those of the step, and where the frames' rays begin."""
        counts = [rays] * images + [pixels] * patches
        of_ray = np.repeat(np.arange(len(counts)), counts)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return torch.from_numpy(of_ray).to(self.device), torch.from_numpy(starts).to(self.device)

    # -- memory -----------------------------------------------------------------------------------------------------

    def _make_room(self, pixels: int) -> bool:
        """For so many pixels; whether there was memory."""
        if pixels <= len(self._pixels):
            return True
        room = max(pixels, len(self._pixels) * 3 // 2)
        if not self._fits(room * 5):
            return False
        try:
            self._pixels = self._larger(self._pixels, room)
            if self._covered is not None:
                self._covered = self._larger(self._covered, room)
        except torch.OutOfMemoryError:
            return False
        return True

    def _let_go(self) -> None:
        self.used, self._known = False, set()
        self._pixels, self._covered = self._pixels[:0].clone(), None
        self._reporter.warning(
            f"The memory of {devices.name_of(self.device)} is too small for the training frames: they stay in the computer's, and "
            "each step uploads its pixels."
        )

    def _fits(self, size: int) -> bool:
        return not self.device.startswith("cuda") or size < SHARE * devices.free_bytes(self.device)

    def _larger(self, buffer: Tensor, room: int) -> Tensor:
        result = buffer.new_zeros(room, *buffer.shape[1:])
        result[: self._filled] = buffer[: self._filled]
        return result

    def _upload(self, to: Tensor, array: np.ndarray) -> None:
        to.copy_(devices.upload(np.ascontiguousarray(array), self.device), non_blocking=True)
