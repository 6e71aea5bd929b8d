"""Milliseconds of a frame: both heads in turns, with all passes, through `serve`, and in plain PyTorch."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from ...renderer.gaussians.kernels import get_rasteriser
from ...renderer.gaussians.kernels.interface import View
from ...renderer.gaussians.renderer import GaussianRenderer
from ...workspace.checkpoint_index import GAUSSIANS
from ...workspace.store import Workspace
from ..cold_start import frame_params
from ..served import Served, image_memory
from .heads import Spread, TrainedHead, gaussian_renderer

TIMES = 5
"""Times that each frame is drawn."""

Draw = Callable[[int], object]


def in_turns(draws: dict[str, Draw], frames: np.ndarray, times: int | None = None) -> dict[str, Spread]:
    """Time several ways to draw, one after the other in each frame, so that what else the machine does meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in draws}
    for draw in draws.values():
        draw(int(frames[0]))
    for frame in np.tile(frames, times or TIMES).tolist():
        for name, draw in draws.items():
            begun = time.perf_counter()
            draw(frame)
            seconds[name].append(time.perf_counter() - begun)
    return {name: Spread.of(values) for name, values in seconds.items()}


def frame_times(heads: dict[str, TrainedHead], size: int, frames: np.ndarray) -> dict[str, Spread]:
    """Each head's image in its own poses; and `passes`: the Gaussians' with depth, mattes and motion."""
    draws: dict[str, Draw] = {kind: _image(head, size) for kind, head in heads.items()}
    return in_turns(draws | {"passes": _all_passes(heads, size)}, frames)


def _image(head: TrainedHead, size: int) -> Draw:
    camera, poses, conditions = head.track.camera.scaled(size, size), head.track.head_to_camera, head.conditions
    return lambda frame: head.renderer.render(camera, poses[frame], conditions[frame])


def _all_passes(heads: dict[str, TrainedHead], size: int) -> Draw:
    """With motion since the frame drawn before, whose attributes are still there."""
    head, gaussians, rasteriser = heads[GAUSSIANS], gaussian_renderer(heads).head, get_rasteriser()
    camera = head.track.camera.scaled(size, size)
    order, mattes = gaussians.order.numpy(), gaussians.mattes.numpy()
    before: list[tuple[np.ndarray, View]] = []

    def draw(frame: int) -> None:
        view = View(camera, head.track.head_to_camera[frame], gaussians.config.filter_m)
        attributes = gaussians.attributes(head.conditions[frame], view.head_to_camera)
        last = before.pop() if before else (attributes, view)
        rasteriser.draw(attributes, order, view, depth=True, mattes=mattes, before=last)
        before.append((attributes, view))

    return draw


def plain_ratio(heads: dict[str, TrainedHead], size: int, frames: np.ndarray) -> dict[str, float]:
    """The compiled rasteriser and plain PyTorch, in turns; milliseconds, and how many times as fast."""
    head, plain = heads[GAUSSIANS], get_rasteriser("torch")
    slow = TrainedHead(
        head.checkpoint, GaussianRenderer(gaussian_renderer(heads).head, plain), head.track, head.conditions
    )
    with torch.no_grad():  # the oracle of gradients would keep what it needs for them
        times = in_turns({"compiled": _image(head, size), "plain": _image(slow, size)}, frames, times=1)
    compiled_ms, plain_ms = times["compiled"].ms, times["plain"].ms
    return {"size": size, "compiled_ms": compiled_ms, "plain_ms": plain_ms, "ratio": plain_ms / compiled_ms}


def round_trips(
    workspace: Workspace, heads: dict[str, TrainedHead], size: int, frames: np.ndarray
) -> dict[str, Spread]:
    """From sending a `frame` request to `serve` to its answer, with scene-linear RGBA in shared memory, as Blender asks for it."""
    with image_memory(size) as memory, Served() as backend:

        def request(kind: str) -> Draw:
            track = heads[kind].track
            return lambda frame: backend.call("frame", **frame_params(workspace, track, frame, size, memory), head=kind)

        return in_turns({kind: request(kind) for kind in heads}, frames)
