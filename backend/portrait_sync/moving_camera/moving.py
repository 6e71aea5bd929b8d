"""A clip whose camera moves: its samples are registered, its background is a mosaic, then every frame is registered to that."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from ..background import fill_unseen
from ..frame import ClipModel
from ..pixels import opencv_on_one_thread
from .mosaic import Canvas
from .registration import View, at_times, register_samples, register_to

REGISTERED = 0.9
"""At least this share of samples and frames must be registered, or the camera counts as one that cannot be."""


@dataclass(frozen=True)
class MovingCamera:
    """The samples of a clip, registered."""

    canvas: Canvas
    views: Sequence[View]
    found: np.ndarray
    """(N) bool: samples that are registered."""
    homography: bool
    shown: np.ndarray | None
    side: int
    """Of the working frame."""

    @classmethod
    def register(
        cls, frames: np.ndarray, probabilities: Sequence[np.ndarray], shown: np.ndarray | None
    ) -> MovingCamera | None:
        """From samples (N, S, S, 3) uint8 and the network's person probabilities; None where the background does not show how
        the camera moves, or shows too much of the world for a mosaic."""
        views = [View.of_frame(*sample, shown) for sample in zip(frames, probabilities, strict=True)]
        transforms, found, homography = register_samples(views)
        canvas = Canvas.around(transforms, np.where(found, 0.0, np.nan), frames.shape[1])
        if found.mean() < REGISTERED or canvas is None:
            return None
        return cls(canvas, views, found, homography, shown, frames.shape[1])

    def model(self, model: ClipModel, frames: np.ndarray, hidden: np.ndarray, at_least: int) -> ClipModel:
        """`model` with the mosaic for its background, of places that `at_least` so many samples show, and the samples' path.

        Args:
            hidden: (N, S, S) bool, where each sample shows the person.
        """
        hidden = hidden | ~self.found[:, None, None]
        if self.shown is not None:
            hidden |= self.shown == 0
        background, count = self.canvas.median(frames, hidden)
        seen = count >= at_least
        noise = self.canvas.noise(frames, hidden, background)
        return replace(model, background=fill_unseen(background, seen), seen=seen, noise=noise, camera=self.canvas.path)

    def refined(self, model: ClipModel) -> MovingCamera:
        """With the samples registered to the mosaic of all of them, which has less noise than one."""
        mosaic = self.canvas.view(model.background, model.seen)
        path = self.canvas.path
        transforms, residual = register_to(mosaic, self.views.__getitem__, path.to_reference, self.homography, map)
        found = np.isfinite(residual)
        if found.mean() < REGISTERED:
            return self
        path = replace(path, to_reference=transforms, residual_px=residual * self.side)
        return replace(self, canvas=replace(self.canvas, path=path), found=found)

    def all_frames(
        self,
        model: ClipModel,
        indices: Sequence[int],
        count: int,
        read_frame: Callable[[int], np.ndarray],
        segment: Callable[[np.ndarray], np.ndarray],
        each: Callable[[], None],
    ) -> ClipModel:
        """`model` with the path of all `count` frames, of which the samples are `indices`; `each` is called after each frame."""
        mosaic = self.canvas.view(model.background, model.seen)
        guesses = at_times(self.canvas.path.to_reference, np.array(indices), np.arange(count))

        def view(index: int) -> View:
            frame = read_frame(index)
            return View.of_frame(frame, segment(frame), self.shown)

        def run(one, numbers):
            with (
                ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
                closing(cast(Generator, pool.map(one, numbers))) as results,
            ):
                for result in results:
                    each()
                    yield result

        with opencv_on_one_thread():
            transforms, residual = register_to(mosaic, view, guesses, self.homography, run)
        path = replace(self.canvas.path, to_reference=transforms, residual_px=residual * self.side)
        return replace(model, camera=path)
