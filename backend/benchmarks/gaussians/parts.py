"""The parts of a frame that the compiled rasteriser draws, forward and backward."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels.interface import ATTRIBUTES, Gradients, View
from ...renderer.gaussians.kernels.numba_buffers import PIXELS
from ...renderer.gaussians.kernels.numba_rasteriser import NumbaRasteriser
from ...workspace.checkpoint_index import GAUSSIANS
from .heads import Spread, TrainedHead, gaussian_renderer

FORWARD = ("codes and deform", "project and count", "lists", "rasterise")
BACKWARD = ("rasterise, backward", "project, backward", "codes and deform, backward")
_COMPILED = {
    "project_and_count": FORWARD[1], "fill_lists": FORWARD[2], "blend_part": FORWARD[3],
    "unblend_part": BACKWARD[0], "unproject_part": BACKWARD[1],
}  # fmt: skip


class TimedRasteriser(NumbaRasteriser):
    """Sums the seconds of its parts."""

    def __init__(self, threads: int | None = None) -> None:
        super().__init__(threads)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._backward = False

    def backward(self, gradient: np.ndarray) -> Gradients:
        self._backward = True
        try:
            return super().backward(gradient)
        finally:
            self._backward = False

    def _in_parts(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        begun = time.perf_counter()
        result = super()._in_parts(function, *arguments)
        name = getattr(function, "__name__", "")
        # The parts of `unblend_part` write to sums of their own, so it comes as a function of the part.
        name = _COMPILED.get(name, BACKWARD[0] if self._backward else "other")
        self.seconds[name] += time.perf_counter() - begun
        return result

    @property
    def blended(self) -> int:
        """Gaussians in tiles that were blended in the frame drawn last, each into `PIXELS` pixels."""
        assert self._drawn is not None
        tiles = self._tiles.active[: self._drawn[-1]]
        return int((self._tiles.ends[tiles] - self._tiles.starts[tiles]).sum())

    @property
    def listed(self) -> int:
        """Gaussians in tiles, those behind what is opaque with them."""
        return int(self._tiles.starts[-1])

    @property
    def packed_bytes(self) -> int:
        return self._packed.nbytes


def parts_of_a_frame(heads: dict[str, TrainedHead], size: int, frames: np.ndarray, times: int) -> dict[str, Any]:
    """Milliseconds of each part, the number of Gaussian-pixel pairs that are blended, and the bytes a frame touches."""
    head, gaussians = heads[GAUSSIANS], gaussian_renderer(heads).head
    camera, order = head.track.camera.scaled(size, size), gaussians.order.numpy()
    rasteriser = TimedRasteriser()
    gradient = np.random.default_rng(0).normal(0, 1 / size**2, (size, size, 4)).astype(np.float32)
    rows: defaultdict[str, list[float]] = defaultdict(list)
    pairs, bytes_touched = [], []
    for repeat, frame in enumerate(np.repeat(frames, times + 1).tolist()):
        view = View(camera, head.track.head_to_camera[frame], gaussians.config.filter_m)
        rasteriser.seconds.clear()
        begun = time.perf_counter()
        attributes = gaussians.attributes(head.conditions[frame], view.head_to_camera)
        deformed = time.perf_counter()
        rasteriser.draw(attributes, order, view)
        drawn = time.perf_counter()
        by_attributes = rasteriser.backward(gradient).attributes
        done = time.perf_counter()
        forward, deform_back = _deform_with_gradients(gaussians, head.conditions[frame], view, by_attributes)
        if repeat % (times + 1) == 0:  # compiles, or fills buffers of another size
            continue
        seconds = dict(rasteriser.seconds) | {FORWARD[0]: deformed - begun, BACKWARD[2]: deform_back}
        seconds[FORWARD[2]] += max(drawn - deformed - sum(seconds[name] for name in FORWARD[1:]), 0.0)
        for name in (*FORWARD, *BACKWARD):
            rows[name].append(seconds[name])
        rows["forward"].append(drawn - begun)
        rows["backward"].append(done - drawn + deform_back)
        rows["codes and deform, forward with gradients"].append(forward)
        pairs.append(rasteriser.blended * PIXELS)
        bytes_touched.append(_bytes_of_a_frame(gaussians, rasteriser, size))
    return {
        "parts": {name: Spread.of(values).to_json() for name, values in rows.items()},
        "pairs": int(np.median(pairs)),
        "bytes": int(np.median(bytes_touched)),
        "threads": rasteriser.threads,
    }


def _deform_with_gradients(
    head: GaussianHead, conditions: np.ndarray, view: View, by_attributes: np.ndarray
) -> tuple[float, float]:
    """Seconds of deforming one frame as a training does, and of the gradients by all that is trained."""
    trained = [head.base, head.lip_bases, head.expression_bases, head.view_bases]
    begun = time.perf_counter()
    for tensor in trained:
        tensor.requires_grad_()
    try:
        given = torch.as_tensor(np.array(conditions, np.float32))[None]
        towards = head.view(np.asarray(view.head_to_camera)[None])
        attributes = head.deformed(*head.codes(given), towards)
        deformed = time.perf_counter()
        networks = [*head.lip_code.parameters(), *head.expression_code.parameters()]
        torch.autograd.grad(attributes, [*trained, *networks], torch.from_numpy(by_attributes)[None], allow_unused=True)
        return deformed - begun, time.perf_counter() - deformed
    finally:
        for tensor in trained:
            tensor.requires_grad_(False)


def _bytes_of_a_frame(head: GaussianHead, rasteriser: TimedRasteriser, size: int) -> int:
    """What the forward pass must at least read and write once."""
    kept = (head.base, head.lip_bases, head.expression_bases, head.view_bases, head.order)
    read = sum(tensor.numel() * tensor.element_size() for tensor in kept)
    attributes = 2 * 4 * ATTRIBUTES * head.count
    packed, lists, image = 2 * rasteriser.packed_bytes, 2 * 4 * rasteriser.listed, 16 * size * size
    return read + attributes + packed + lists + image
