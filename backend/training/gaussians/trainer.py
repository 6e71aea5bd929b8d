"""The training loop of a head's Gaussian twin: after the field, in the same run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from ...errors import WorkspaceError
from ...protocol import BLENDSHAPE_NAMES, Stage
from ...renderer.field.renderer import FieldRenderer
from ...renderer.gaussians.head import GaussianHead
from ...renderer.gaussians.kernels import Rasteriser, get_rasteriser
from ...renderer.gaussians.renderer import GaussianRenderer
from ...workspace.checkpoint_index import FIELD, GAUSSIANS
from ...workspace.heap import trim_heap
from ...workspace.landmarks import LIPS
from ...workspace.shapes import Float
from .. import checkpoints
from ..mouth_refinement import mouth_details, refine_mouth
from ..recovery import Diverged, recover
from ..schedule import ANNEAL, CHECKPOINT_SECONDS, EvaluationTimer
from ..track_refinement import align_frames, with_focal
from . import mattes
from .batch import THREADS
from .beyond_clip import Clip, field_targets
from .cloud import RENDERINGS, field_cloud
from .detail import Detail
from .fit import GaussianFit
from .start import start_head

if TYPE_CHECKING:
    from ..field_trainer import FieldTrainer

START_COUNT, MAX_COUNT = 12_000, 18_000
"""Gaussians at the start and at most. More are slower to train and show no more (docs/gaussians.md)."""
DENSITY_SHARES = (0.15, 0.3, 0.45, 0.6)
"""When, as shares of the time, Gaussians are removed and split."""
MOUTH_WEIGHT = 0.5
"""Of the field's weight for errors at the mouth."""
FIELD_IMAGES = 72
"""Renderings of the field beside the frames."""
RENDERED = RENDERINGS + FIELD_IMAGES
"""Images of the field that are rendered before the first step."""
ALIGN_SHARES = (0.35, 0.93)
"""When all poses are aligned with the head, and when again those of frames that are not trained on."""
MOUTH_SHARES = (0.5,)
"""When the mouth's blendshapes are measured with the head. At the end they are again: alone that gains two thirds as much."""
DETAIL_SHARES = (0.6, 0.75)
"""When the frames are sharpened by what the head misses of them, and when by what it misses still."""
TRIM_STEPS = 25
"""Between two times that free memory is given back."""
WORSE_DB = 0.1
"""A twin that is worse than the field by more than this on the validation frames does not stand for the head."""


class GaussianTrainer:
    """State of the twin's training.

    Args:
        field: a trained field with its frames, cameras and monitor.
        limit_s: of this training; `limit_steps` instead where it is given.
    """

    kind = GAUSSIANS

    def __init__(self, field: FieldTrainer, limit_s: float, limit_steps: int | None) -> None:
        self.field, self.workspace, self.reporter = field, field.workspace, field.reporter
        self.pool, self.monitor, self.seed = field.pool, field.monitor, field.seed
        self.limit_s, self.limit_steps = max(limit_s, 1e-3), limit_steps
        self.elapsed_s, self.rate_scale, self.complete = 0.0, 1.0, False
        self.refits, self.aligned, self.details, self.skipped = 0, 0, 0, 0.0
        self.blendshapes, self.mouths = field.tracking.blendshapes, 0
        self._mouth_details = cache(partial(mouth_details, field))  # both measurements read the clip's images once
        self.first_step = field.step
        self._field_psnr = field.psnr
        checkpoint = checkpoints.load_newest(self.workspace, self.reporter, GAUSSIANS)
        if checkpoint is not None and not self._resumable(checkpoint):
            checkpoint = None
        self._renderings = 0
        if checkpoint is None:
            self.begin()
        else:
            self.restore(checkpoint)
            self.monitor.resume(self.step)
            self.reporter.info(f"The Gaussians resume from step {self.step}.")

    # -- state ------------------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        """The field's steps and its own."""
        return self.first_step + self.fit.steps

    @property
    def psnr(self) -> float:
        """Of the validation frames at the last evaluation."""
        return self.monitor.records[-1].psnr_validation if self.monitor.records else 0.0

    @property
    def share(self) -> float:
        """How much of the training is done, 0 to 1 and above."""
        done = (
            self.fit.steps / max(self.limit_steps, 1) if self.limit_steps is not None else self.elapsed_s / self.limit_s
        )
        return done + self.skipped

    def _resumable(self, checkpoint: checkpoints.Checkpoint) -> bool:
        """Whether it is of this field, and of this version."""
        if checkpoint.state.get("made_by") != self.field.made_by():
            return False
        try:
            checkpoint.gaussians()
        except WorkspaceError:
            self.reporter.info(f"{checkpoint.path.name} was made by another version: the Gaussians are made again.")
            return False
        return True

    def begin(self) -> None:
        """Gaussians on the field's surface."""
        began, field = time.monotonic(), self.field
        frames, renderer = field.training_frames, FieldRenderer(field.field, field.kernel)
        camera, poses, conditions = field.camera, field.poses, field.conditions
        face = field.tracking.face_head_m
        cloud = field_cloud(
            renderer, camera, poses, conditions, frames, face, self.workspace.face_mesh(), START_COUNT, self._rendered
        )
        config = field.field.config
        head = start_head(cloud, config, camera, poses[frames], conditions[frames], self.seed)
        self._make_fit(head)
        self.elapsed_s = time.monotonic() - began

    def _make_fit(self, head: GaussianHead) -> None:
        field = self.field
        renderer = FieldRenderer(field.field, field.kernel)
        rng = np.random.default_rng(self.seed)
        face = field.tracking.face_head_m
        lips_m = face[list(LIPS)].mean(0) if len(face) else np.array(field.field.config.lip_region.centre_m)
        clip = Clip(
            field.camera, field.poses, field.conditions, field.training_frames, field.pool.held,
            self.workspace.face_mesh(), lips_m,
        )  # fmt: skip
        extra = []
        for target in field_targets(renderer, clip, FIELD_IMAGES, rng):
            extra.append(target)
            self._rendered()
        weight = 1 + (field.objective.mouth_weight - 1) * MOUTH_WEIGHT
        noise = field.preset.blendshape_noise
        self.fit = GaussianFit(
            head,
            self.pool,
            field.poses,
            field.conditions,
            field.camera,
            extra,
            weight,
            noise,
            self._rasteriser,
            self.seed,
        )

    def _rasteriser(self) -> Rasteriser:
        """Of the device; on the CPU it has one thread, and others draw other images."""
        return get_rasteriser(device=self.field.device, threads=1)

    def _rendered(self) -> None:
        """Report one more rendering of the field."""
        self._renderings += 1
        self.reporter.progress(Stage.GAUSSIANS, self._renderings, RENDERED, "images")

    def restore(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Everything as it was when the checkpoint was saved."""
        state, self._renderings = checkpoint.state, RENDERINGS
        self._make_fit(checkpoint.gaussians())
        self.field.set_focal(checkpoint.focal_px)
        self.fit.place(checkpoint.head_to_camera.copy(), self.field.camera)
        self.fit.optimiser.restore(checkpoint.tensors)
        if "blendshapes" in checkpoint.tensors:  # which heads trained before do not have
            self.blendshapes = checkpoint.tensors["blendshapes"].numpy()
            self.fit.conditions = self._conditions()
        self.mouths = state.get("mouths", len(MOUTH_SHARES))
        self.elapsed_s, self.rate_scale = state["elapsed_s"], state.get("slower", 1.0)
        self.complete, self.refits, self.aligned = state["complete"], state["refits"], int(state["aligned"])
        self.skipped = state.get("skipped", 0.0)
        self.fit.steps = state["own_steps"]
        self.fit.detail = Detail(*state["detail"]) if state.get("detail") else None
        self.details = state.get("details", len(DETAIL_SHARES) if self.fit.detail else 0)
        self.fit.sharpen()
        self.first_step = state["step"] - state["own_steps"]
        self.fit.reseed()

    def reseed(self, *more: int) -> None:
        """A resumed run draws other images."""
        self.fit.reseed(*more)

    def extend(self) -> None:
        """Count the limit from here."""
        self.limit_s += self.elapsed_s
        self.limit_steps = None if self.limit_steps is None else self.limit_steps + self.fit.steps
        self.complete, self.aligned, self.skipped, self.fit.detail, self.details = False, 0, 0.0, None, 0
        self.blendshapes, self.mouths = self.field.tracking.blendshapes, 0
        self.fit.conditions = self._conditions()
        self.fit.sharpen()

    def save(self) -> Path:
        """Write a checkpoint; a complete one leaves out what only further training needs."""
        self._saved = time.monotonic()
        tensors = self.fit.head.tensors() | {
            "blendshapes": torch.from_numpy(np.ascontiguousarray(self.blendshapes, np.float32))
        }
        if not self.complete:
            tensors |= self.fit.optimiser.tensors()
        worse = bool(self._field_psnr) and self.psnr < self._field_psnr - WORSE_DB
        state = {
            **self.field.state(),
            "complete": self.complete,
            "elapsed_s": self.elapsed_s,
            "refits": self.refits,
            "aligned": self.aligned,
            "mouths": self.mouths,
            "skipped": self.skipped,
            "own_steps": self.fit.steps,
            "slower": self.rate_scale,
            "detail": self.fit.detail and self.fit.detail.to_json(),
            "details": self.details,
            "psnr": self.psnr,
            "psnr_field": self._field_psnr,
            "preferred": FIELD if worse else GAUSSIANS,
            "config": self.fit.head.config.to_json(),
        }
        focal_px = self.field.tracking.camera.focal_px
        return checkpoints.write(self.workspace, GAUSSIANS, tensors, self.fit.poses, focal_px, self.step, state)

    # -- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> Path:
        """Train until the time is used up, or until the validation frames gain nothing more."""
        with _one_library_thread():
            if self.share < 1:
                self.complete = False
                self._prepare()
            self._saved, timer, recoveries = time.monotonic(), EvaluationTimer(self.step), 0
            self._started = time.monotonic() - self.elapsed_s
            self._since = self.step
            while self.share < 1:
                try:
                    self._advance(timer)
                except Diverged as error:
                    recoveries += 1
                    recover(self, error, recoveries)
                    self._started = time.monotonic() - self.elapsed_s
            self._report_progress()
            if not self.complete:
                self._measure_mouth()
                self.fit.remove_loose()
            self.reporter.progress(Stage.SAVING, 0, 1, "heads")
            if not self.complete:
                self.fit.head.mattes = mattes.shares(self.fit.head, self.workspace, self.field, self.fit.poses)
            self.evaluate(timer.steps_per_s(self.step))
            self.complete = True
            path = self.save()
            self.reporter.progress(Stage.SAVING, 1, 1, "heads")
            self.fit.drawer.close()
            return path

    def _advance(self, timer: EvaluationTimer) -> None:
        """One step, and what is due after it.

        Raises:
            Diverged: the loss is not finite.
        """
        share = min(self.share, 1.0)
        if not np.isfinite(self.fit.step(share, self.rate_scale)):
            raise Diverged("the loss is not finite")
        self.pool.advance(self.step)
        if self.fit.steps % TRIM_STEPS == 0:
            trim_heap()
        self.elapsed_s = time.monotonic() - self._started
        if self.refits < len(DENSITY_SHARES) and share >= DENSITY_SHARES[self.refits]:
            self.fit.change_density(MAX_COUNT)
            self.refits += 1
        if self.details < len(DETAIL_SHARES) and share >= DETAIL_SHARES[self.details]:
            self.fit.add_detail(GaussianRenderer(self.fit.head))
            self.details += 1
            self._since = self.step  # sharper images have a little less PSNR: that is no plateau
        if self.aligned < len(ALIGN_SHARES) and share >= ALIGN_SHARES[self.aligned]:
            self._align()
        if self.mouths < len(MOUTH_SHARES) and share >= MOUTH_SHARES[self.mouths]:
            self._measure_mouth()
        if timer.is_due():
            began = time.monotonic()
            self.evaluate(timer.steps_per_s(self.step))
            timer.ended(self.step, time.monotonic() - began)
            if self.monitor.has_collapsed():
                raise Diverged("the head has collapsed")
            if self.refits == len(DENSITY_SHARES) and self.share < ANNEAL and self.monitor.has_plateaued(self._since):
                self.skipped = ANNEAL - self.share  # only the final annealing is left
                self.reporter.info(f"The validation frames stopped improving at step {self.step}: training ends early.")
        if time.monotonic() - self._saved > min(CHECKPOINT_SECONDS, self.limit_s / 3):
            self.save()
        if self.fit.steps % 5 == 0 and self.share < 1:
            self._report_progress()

    def _prepare(self) -> None:
        """Compile the kernels before the clock starts."""
        self.reporter.progress(Stage.KERNELS, 0, 1, "kernels", "the first time on a computer takes half a minute")
        self.fit.try_step()
        self.reporter.progress(Stage.KERNELS, 1, 1, "kernels")

    @property
    def _time_limit_s(self) -> float | None:
        """Of the training; None where its steps are counted."""
        return self.limit_s if self.limit_steps is None else None

    def _renderers(self) -> list[GaussianRenderer]:
        """Of the head as it is, for two threads."""
        return [GaussianRenderer(self.fit.head, self._rasteriser()) for _ in range(THREADS)]

    def _align(self) -> None:
        """Align all frames with the head in the middle of the training, where the time allows, and near its end those that are
        not trained on: the poses of the others were fitted along."""
        field, last = self.field, self.aligned == len(ALIGN_SHARES) - 1
        valid = np.flatnonzero(field.tracking.valid)
        frames = np.setdiff1d(valid, field.training_frames) if last else valid
        limit_s = None if last else self._time_limit_s
        aligned = align_frames(field, self._renderers(), self.fit.poses, frames, limit_s)
        if aligned is not None:
            self.fit.place(aligned.poses if last else with_focal(field, aligned), field.camera)
        self.aligned += 1
        self.elapsed_s = time.monotonic() - self._started

    def _measure_mouth(self) -> None:
        """Take the clip's mouth as the head measures it."""
        arguments = self.fit.poses, self.blendshapes, self._time_limit_s, self._mouth_details
        self.blendshapes = refine_mouth(self.field, self._renderers(), *arguments)
        self.fit.conditions = self._conditions()
        self.mouths += 1
        self.elapsed_s = time.monotonic() - self._started

    def _conditions(self) -> Float[np.ndarray, "frames conditions"]:
        return np.concatenate([self.blendshapes, self.field.conditions[:, len(BLENDSHAPE_NAMES) :]], 1)

    def _report_progress(self) -> None:
        message = f"{self.fit.head.count:,} Gaussians, step {self.step}, PSNR {self.psnr:.1f} dB"
        message += self.monitor.pace(self.step, time.monotonic())
        left = 1 - min(self.share, 1.0)
        field = self.field
        if field.total_steps is None:
            field.show_progress(field.total_s - self.limit_s * left, message)
        else:
            field.show_progress(field.total_steps - (self.limit_steps or 0) * left, message)

    def evaluate(self, steps_per_s: float) -> None:
        """Measure training and validation frames, and show the preview."""
        renderer, field = GaussianRenderer(self.fit.head), self.field
        minutes = (field.elapsed_s + self.elapsed_s) / 60
        self.monitor.evaluate(renderer, self.fit.poses, self.fit.conditions, self.step, minutes, steps_per_s)
        self.reporter.preview(str(self.monitor.preview))


@contextmanager
def _one_library_thread() -> Iterator[None]:
    """The drawing threads take all cores: those of torch and BLAS would wait for one another (up to eighty times slower)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(before)
