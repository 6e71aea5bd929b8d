"""The rasteriser for Triton (NVIDIA GPUs): buffers and the order of the kernels' launches; PyTorch sorts the tiles' lists.

A frame waits for the GPU once, for its image. Lists have room for a number of entries that stays from frame to frame; how many
there were comes with the image, and a frame with more is drawn again with more room. Never run on a GPU so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from ....workspace.shapes import Float, Int
from ... import devices
from ...recording import Recording
from ...shared_copy import SharedCopy, scene_linear
from .interface import (
    ATTRIBUTES,
    COLOUR,
    OPACITY,
    Drawn,
    Gradients,
    View,
    checked_gradient,
    checked_order,
    slope_limits,
)
from .torch_rasteriser import project_centres
from .triton_blend import SUMS, blend_kernel, unblend_kernel
from .triton_project import BOX, PACKED, list_kernel, project_kernel
from .triton_unproject import unproject_kernel

TILE = 8
"""Side of a tile, pixels."""
CHUNK = 16
"""Gaussians that a tile takes at a time."""
BLOCK = 128
"""Gaussians of a program."""
TILE_OPTIONS = {"num_warps": 2, "enable_fp_fusion": True}
BLOCK_OPTIONS = {"num_warps": 4, "enable_fp_fusion": True}
_FIRST_ROOM = 1 << 16
_LENS, _PASSES = 18, 6
_MATTES, _MOTION = slice(10, 13), slice(13, 15)
"""Columns of packed Gaussians that passes are made of."""


class HeadOnDevice(NamedTuple):
    """A head's arrays for `draw_head`; see `interface.HeadRasteriser.prepare`."""

    base: Tensor
    lip_bases: Tensor
    expression_bases: Tensor
    view_bases: Tensor
    order: Tensor


class TritonRasteriser:
    """See `interface.HeadRasteriser`. `cpu` is for Triton's interpreter."""

    name = "triton"

    def __init__(self, device: str = "cuda") -> None:
        self.device = torch.device(device)
        self._on_cuda = self.device.type == "cuda"
        self._copy = SharedCopy(self.device)
        self._room = _FIRST_ROOM
        self._size, self._count = (0, 0), -1
        self._order: Tensor | None = None
        self._given: Tensor
        self._packed: Tensor
        self._frames: dict[tuple[int, bool, bool], tuple[HeadOnDevice, Recording]] = {}
        """Of heads that were prepared, by their identity and passes."""

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
        self._fit(view, attributes.shape[1])
        self._order = self._upload(checked_order(order, attributes.shape[1]), np.int32)
        self._attributes.copy_(self._upload(attributes, np.float32))
        self._lens.copy_(self._upload(_lens_of(view), np.float32))
        if mattes is not None:
            self._mattes.copy_(self._upload(mattes, np.float32))
        earlier = None if before is None else (self._upload(before[0], np.float32), before[1])

        def work() -> None:
            assert self._order is not None
            self._project(self._order)
            self._packed[:, _MATTES] = self._mattes[:, self._order.long()].T
            if earlier is not None:
                self._packed[:, _MOTION] = self._motion(*earlier)[:, self._order.long()].T
            self._blend(depth or mattes is not None or before is not None)

        return self._finished(work, depth, mattes is not None, before is not None)

    def prepare(
        self,
        base: Float[np.ndarray, "14 n"],
        lip_bases: Float[np.ndarray, "7 lip_codes lips"],
        expression_bases: Float[np.ndarray, "7 expression_codes expressions"],
        view_bases: Float[np.ndarray, "3 2 n"],
        order: Int[np.ndarray, " n"],
    ) -> HeadOnDevice:
        """See `interface.HeadRasteriser.prepare`."""
        kept = np.array(checked_order(order, base.shape[1]))
        given = base, lip_bases, expression_bases, view_bases
        head, lips, expressions, seen = (self._upload(np.array(array), np.float32) for array in given)
        return HeadOnDevice(head, lips, expressions, seen, self._upload(kept, np.int32))

    def draw_head(
        self,
        head: HeadOnDevice,
        lip_codes: Float[np.ndarray, "2 lip_codes"],
        expression_codes: Float[np.ndarray, "2 expression_codes"],
        towards: Float[np.ndarray, " 2"],
        view: View,
        *,
        depth: bool = False,
        mattes: Float[np.ndarray, "3 n"] | None = None,
    ) -> Drawn:
        """See `interface.HeadRasteriser.draw_head`."""
        work = self._head_work(head, (lip_codes, expression_codes, towards), view, depth, mattes)
        return self._finished(work, depth, mattes is not None, False)

    def write_head(
        self,
        head: HeadOnDevice,
        lip_codes: Float[np.ndarray, "2 lip_codes"],
        expression_codes: Float[np.ndarray, "2 expression_codes"],
        towards: Float[np.ndarray, " 2"],
        view: View,
        out: Float[np.ndarray, "height width 4"],
    ) -> None:
        """See `interface.SharedRasteriser.write_head`."""
        self._finished(self._head_work(head, (lip_codes, expression_codes, towards), view), into=out)

    def _head_work(
        self,
        head: HeadOnDevice,
        codes: tuple[np.ndarray, ...],
        view: View,
        depth: bool = False,
        mattes: np.ndarray | None = None,
    ) -> Callable[[], None]:
        """What draws a prepared head, once its codes are on the device."""
        self._fit(view, len(head.order))
        given = [_lens_of(view), *(part.ravel() for part in codes)]
        sizes = [len(part) for part in given]
        if len(self._given) != sum(sizes):
            self._given, self._frames = torch.zeros(sum(sizes), device=self.device), {}
        self._given.copy_(self._upload(np.concatenate(given), np.float32))
        if mattes is not None:
            self._mattes.copy_(self._upload(mattes, np.float32))
        self._order = None
        key = id(head), depth, mattes is not None
        if key not in self._frames:

            def work() -> None:
                lens, lips, expressions, seen_from = self._given.split(sizes)
                self._lens.copy_(lens)
                self._drive(head, lips.view(2, -1), expressions.view(2, -1), seen_from)
                self._project(head.order)
                self._packed[:, _MATTES] = self._mattes[:, head.order.long()].T
                self._blend(depth or mattes is not None)

            # With the head, or another one could have its identity later.
            self._frames[key] = head, Recording(work, self.device)
        return self._frames[key][1].run

    def backward(self, gradient: Float[np.ndarray, "height width 4"]) -> Gradients:
        """See `interface.Rasteriser.backward`."""
        if self._order is None:
            raise RuntimeError("draw a frame from its attributes before its gradients are asked for")
        checked_gradient(gradient, (*self._size, 4))
        height, width = self._size
        count, blocks = self._count, triton.cdiv(self._count, BLOCK)
        sums = torch.zeros(count, SUMS.value, device=self.device)
        rows = torch.zeros(ATTRIBUTES + 2, count, device=self.device)
        pose = torch.zeros(max(blocks, 1), 6, device=self.device)
        if count:
            by_image = self._upload(gradient, np.float32)
            columns = triton.cdiv(width, TILE)
            with devices.on(self.device):
                unblend_kernel[(len(self._ends),)](
                    self._packed, self._lists, self._starts, self._ends, self._image, by_image, sums, height, width,
                    columns, TILE=TILE, CHUNK=CHUNK, **TILE_OPTIONS,
                )  # fmt: skip
                unproject_kernel[(blocks,)](
                    self._attributes, self._order, self._lens, sums, rows, pose, count, BLOCK=BLOCK, **BLOCK_OPTIONS
                )
        found = torch.cat([rows.ravel(), pose.sum(0)]).cpu().numpy()
        rows_found = found[:-6].reshape(ATTRIBUTES + 2, count)
        return Gradients(rows_found[:ATTRIBUTES], found[-6:], rows_found[-2], rows_found[-1])

    # -- on the device ----------------------------------------------------------------------------------------------

    def _drive(self, head: HeadOnDevice, lips: Tensor, expressions: Tensor, seen_from: Tensor) -> None:
        """The head's attributes in a frame: `GaussianHead.deformed`."""
        attributes, first = self._attributes, 0
        attributes.copy_(head.base)
        for bases, codes in ((head.lip_bases, lips), (head.expression_bases, expressions)):
            driven = slice(first, first + bases.shape[2])
            attributes[:3, driven] += torch.einsum("c,rcn->rn", codes[0], bases[:3])
            shown = torch.einsum("c,rcn->rn", codes[1], bases[3:])
            attributes[OPACITY, driven] += shown[0]
            attributes[COLOUR, driven] += shown[1:]
            first = driven.stop
        attributes[COLOUR] += torch.einsum("v,rvn->rn", seen_from, head.view_bases)
        attributes[COLOUR].clamp_(0, 1)

    def _project(self, order: Tensor) -> None:
        """Packed Gaussians, and the tiles' lists."""
        height, width = self._size
        columns, rows, count = triton.cdiv(width, TILE), triton.cdiv(height, TILE), self._count
        grid = (triton.cdiv(count, BLOCK),)
        project_kernel[grid](
            self._attributes, order, self._lens, self._packed, self._boxes, self._touched, count, columns, rows,
            TILE=TILE, BLOCK=BLOCK, **BLOCK_OPTIONS,
        )  # fmt: skip
        torch.cumsum(self._touched, 0, out=self._sums)
        self._tiles.fill_(columns * rows)  # behind all tiles
        list_kernel[grid](
            self._boxes, self._touched, self._sums, self._tiles, self._owners, count, columns, self._room,
            BLOCK=BLOCK, **BLOCK_OPTIONS,
        )  # fmt: skip
        # Entries come in the order of blending, which a stable sort keeps.
        tiles, places = torch.sort(self._tiles, stable=True)
        self._lists.copy_(self._owners[places])
        self._starts.copy_(torch.searchsorted(tiles, self._numbers))

    def _blend(self, passes: bool) -> None:
        height, width = self._size
        blend_kernel[(len(self._ends),)](
            self._packed, self._lists, self._starts, self._ends, self._image, self._passes, height, width,
            triton.cdiv(width, TILE), TILE=TILE, CHUNK=CHUNK, PASSES=passes, **TILE_OPTIONS,
        )  # fmt: skip

    def _motion(self, earlier: Tensor, view: View) -> Tensor:
        """Pixels that each Gaussian has moved; 0 where it is not before both cameras."""
        pose = self._upload(np.array(view.head_to_camera), np.float32)
        before = project_centres(earlier, pose, view)[0]
        now = torch.empty_like(before)
        assert self._order is not None
        now[:, self._order.long()] = self._packed[:, :2].T
        return torch.nan_to_num(now - before, 0.0, 0.0, 0.0)

    # -- buffers ----------------------------------------------------------------------------------------------------

    def _finished(
        self,
        work: Callable[[], None],
        depth: bool = False,
        mattes: bool = False,
        motion: bool = False,
        into: np.ndarray | None = None,
    ) -> Drawn:
        """Do a frame's work and bring its image here; once more with more room where the lists had too little."""
        if not self._count:
            self._image.zero_()
            self._passes.zero_()
        else:
            with devices.on(self.device):
                work()
        passes = depth or mattes or motion
        self._host_total.copy_(self._sums[-1:], non_blocking=True)
        if into is not None:
            self._copy.write(scene_linear(self._image), into)
        else:
            self._host_image.copy_(self._image, non_blocking=True)
        if passes:
            self._host_passes.copy_(self._passes, non_blocking=True)
        if self._on_cuda:
            torch.cuda.current_stream(self.device).synchronize()
        if (total := int(self._host_total)) > self._room:
            self._make_room(total * 5 // 4)
            return self._finished(work, depth, mattes, motion, into)
        made = self._host_passes.numpy()
        return Drawn(
            self._host_image.numpy(),
            depth=made[0] if depth else None,
            mattes=np.moveaxis(made[1:4], 0, 2) if mattes else None,
            motion=np.moveaxis(made[4:6], 0, 2) if motion else None,
        )

    def _fit(self, view: View, count: int) -> None:
        """Buffers for images of this size and this number of Gaussians."""
        size = view.camera.height, view.camera.width
        if size == self._size and count == self._count:
            return
        (height, width), device = size, self.device
        tiles = triton.cdiv(height, TILE) * triton.cdiv(width, TILE)
        self._attributes, self._lens = torch.zeros(ATTRIBUTES, count, device=device), torch.zeros(_LENS, device=device)
        self._mattes, self._given = torch.zeros(3, count, device=device), torch.zeros(0, device=device)
        self._packed = torch.zeros(count, PACKED.value, device=device)
        self._boxes = torch.zeros(count, BOX.value, dtype=torch.int32, device=device)
        self._touched = torch.zeros(count, dtype=torch.int32, device=device)
        self._sums = torch.zeros(max(count, 1), dtype=torch.int64, device=device)
        self._numbers = torch.arange(tiles + 1, dtype=torch.int32, device=device)
        self._starts = torch.zeros(tiles + 1, dtype=torch.int64, device=device)
        self._ends = torch.zeros(tiles, dtype=torch.int32, device=device)
        self._image, self._passes = torch.zeros(*size, 4, device=device), torch.zeros(_PASSES, *size, device=device)
        self._host_image = torch.zeros(*size, 4, pin_memory=self._on_cuda)
        self._host_passes = torch.zeros(_PASSES, *size, pin_memory=self._on_cuda)
        self._host_total = torch.zeros(1, dtype=torch.int64, pin_memory=self._on_cuda)
        self._size, self._count, self._order, self._frames = size, count, None, {}
        self._make_room(self._room)

    def _make_room(self, room: int) -> None:
        """For so many entries in the tiles' lists."""
        self._room = room
        self._tiles, self._owners, self._lists = torch.zeros(3, room, dtype=torch.int32, device=self.device)
        for _, recording in self._frames.values():
            recording.forget()

    def _upload(self, array: np.ndarray, dtype: type) -> Tensor:
        return devices.upload(np.require(array, dtype, ("C_CONTIGUOUS", "WRITEABLE")), str(self.device))


def _lens_of(view: View) -> Float[np.ndarray, " 18"]:
    """A view as the kernels read it: focal length, principal point, limits of the slopes, the trained filter,
    rotation, translation."""
    camera, pose = view.camera, np.asarray(view.head_to_camera, np.float64)
    numbers = camera.focal_px, *camera.principal_px, *slope_limits(camera), view.filter_m
    return np.array([*numbers, *pose[:3, :3].ravel(), *pose[:3, 3]], np.float32)
