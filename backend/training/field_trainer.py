"""The training loop of a field (Eq. 13): coarse, then fine, with all poses refined in between."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from ..errors import WorkspaceError
from ..progress import Reporter, format_duration
from ..protocol import Stage
from ..renderer.field.kernels import get_kernel
from ..renderer.field.renderer import FieldRenderer
from ..workspace.checkpoint_index import FIELD
from ..workspace.files import key_of
from ..workspace.store import Workspace
from . import checkpoints
from .conditions import LipSource, heard_frames
from .dataset import FramePool
from .focal_search import choose_focal
from .initial_field import initial_field
from .monitor import Monitor, validation_split
from .objective import PATCH_SIDE, BatchLoss, Objective
from .occupancy import Occupancy
from .presets import Preset
from .recovery import Diverged, recover
from .resident import ResidentFrames
from .schedule import ANNEAL, CHECKPOINT_SECONDS, EvaluationTimer, rate_decay, twin_steps
from .targets import Targets
from .track_refinement import refine_track


class FieldTrainer:
    """State of one training run of a field.

    Args:
        field_share: of the time; the rest is its Gaussian twin's.
        resume_only: a field must be there.

    Raises:
        WorkspaceError: too few frames, or no field to resume.
    """

    kind = FIELD

    def __init__(
        self,
        workspace: Workspace,
        preset: Preset,
        reporter: Reporter,
        minutes: float,
        seed: int,
        device: str,
        steps: int | None = None,
        field_share: float = 1.0,
        resume_only: bool = False,
    ) -> None:
        self.workspace, self.preset, self.reporter, self.seed = workspace, preset, reporter, seed
        self.device = device
        self.limit_s, self.limit_steps = minutes * 60 * field_share, steps
        self.total_s = minutes * 60
        self.total_steps = None if steps is None else steps + (twin_steps(steps) if field_share < 1 else 0)
        self.kernel = get_kernel(device=self.device)
        torch.manual_seed(seed)
        self.tracking = workspace.head_track(refined=False)
        self.lips = LipSource.of_clip(workspace, preset.lips)
        self.conditions = self.lips.clip_conditions(workspace, self.tracking.blendshapes)
        usable = self.tracking.valid[: workspace.subject.first_test_frame]
        if self.lips.inputs:  # Lips that follow audio cannot be trained on silent audio.
            usable = usable & heard_frames(workspace)[: len(usable)]
        self.training_frames, validation_frames = validation_split(np.flatnonzero(usable), workspace.subject.rate)
        self.objective = Objective(
            preset, self.kernel, self.device, self.conditions.shape[1], len(self.training_frames)
        )
        self.pool = FramePool(workspace, self.tracking, self.training_frames, preset.size)
        self.resident = ResidentFrames(device, len(self.training_frames), self.conditions, reporter)
        self.pool.on_read = self.resident.add
        # Not tracking.npz's: a training of an earlier version has refined those.
        tracked = workspace.pose_track()
        self.poses = tracked.head_to_camera
        self.step, self.elapsed_s, self.refined, self.skipped, self.rate_scale = 0, 0.0, 0, 0.0, 1.0
        self.complete = False
        self._saved = 0.0  # time of the last checkpoint
        self._since = 0  # step of the last refinement: a plateau before it may be due to the poses
        self.camera = self.tracking.camera.scaled(self.pool.size, self.pool.size)
        self.monitor = Monitor(workspace, self.training_frames, validation_frames, self.camera)
        self.set_focal(tracked.camera.focal_px)
        checkpoint = checkpoints.load_newest(workspace, reporter)
        if checkpoint is not None and checkpoint.state.get("made_by") != self.made_by():
            checkpoint = None  # of other poses or another recipe
        if checkpoint is None and resume_only:
            raise WorkspaceError(f"{workspace.root} has no field of this recipe yet: run train --head both first.")
        self.pool.begin(reporter, 0 if checkpoint is None else checkpoint.state["step"])
        if checkpoint is None:
            choose_focal(self)
            self.begin()
        else:
            self.restore(checkpoint)
            self.reporter.info(f"Resuming from step {self.step} ({format_duration(self.elapsed_s)} of training done).")
        self.monitor.begin(self.step, keep_later=self.complete)

    def __enter__(self) -> FieldTrainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()

    # -- state ------------------------------------------------------------------------------------------------------

    def made_by(self) -> str:
        """What a checkpoint must be made of to be resumed: the clip as preprocessed, and the recipe."""
        stages = self.workspace.subject.stages
        keys = [stages[name]["key"] for name in ("media", "head_sync", "face_sync", "portrait_sync")]
        return key_of(*keys, list(asdict(self.preset).items()))

    def begin(self) -> None:
        """An untrained field, in place of all checkpoints."""
        for old in self.workspace.checkpoints.glob("*"):
            old.unlink()
        self.reporter.progress(Stage.VISUAL_HULL, 0, 1, "hulls")
        centre = self.tracking.blendshapes[self.training_frames].mean(0)
        face = self.tracking.face_head_m
        field, hull = initial_field(self.pool, self.poses, self.camera, face, centre, self.lips.inputs, self.preset)
        self.field = field.to(self.device)
        self.occupancy = Occupancy(hull.to(self.device), asks=not self.resident.used)
        self.reporter.progress(Stage.VISUAL_HULL, 1, 1, "hulls")
        self._make_optimiser()
        self.reseed()

    def restore(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Everything as it was when the checkpoint was saved."""
        self.field = checkpoint.field(self.device)
        self._make_optimiser()
        checkpoints.restore_optimiser(checkpoint, self.field, self.optimiser)
        self.poses = checkpoint.head_to_camera.copy()
        self.set_focal(checkpoint.focal_px)
        state = checkpoint.state
        self.step, self.elapsed_s, self.refined = state["step"], state["elapsed_s"], state["refined"]
        self.skipped, self.rate_scale = state.get("skipped", 0.0), state.get("slower", 1.0)
        self.complete = state.get("complete", False)
        used = checkpoint.tensors["used"].float().to(self.device)
        hull = (checkpoint.tensors["hull"] > 0).to(self.device)
        self.occupancy = Occupancy(hull, used, asks=not self.resident.used)
        self.reseed()

    def reseed(self, *more: int) -> None:
        """A resumed run draws other rays than those it began with."""
        self.rng = np.random.default_rng([self.seed, self.step, *more])
        torch.manual_seed(self.seed + self.step)

    def _make_optimiser(self) -> None:
        networks = [parameter for name, parameter in self.field.named_parameters() if name != "tables"]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [self.field.tables], "lr": self.preset.grid_rate, "weight_decay": 0.0},
                {"params": networks, "lr": self.preset.network_rate, "weight_decay": 1e-4},
            ],
            betas=(0.9, 0.99),
            eps=1e-15,
            fused=True,
        )

    def set_focal(self, focal_px: float) -> None:
        self.tracking = replace(self.tracking, camera=replace(self.tracking.camera, focal_px=focal_px))
        self.camera = self.tracking.camera.scaled(self.pool.size, self.pool.size)
        self.monitor.camera = self.camera

    def extend_if_complete(self) -> None:
        """Where the training is complete, count the limit from here."""
        if self.complete or self.share >= 1:
            self.limit_s += self.elapsed_s
            self.total_s += self.elapsed_s
            self.total_steps = None if self.total_steps is None else self.total_steps + self.step
            self.limit_steps = None if self.limit_steps is None else self.limit_steps + self.step
            self.skipped = 0.0

    def state(self) -> dict[str, object]:
        """What describes this training, for a checkpoint."""
        return {
            "complete": self.complete,
            "preset": self.preset.name,
            "elapsed_s": self.elapsed_s,
            "refined": self.refined,
            "skipped": self.skipped,
            "slower": self.rate_scale,
            "psnr": self.psnr,
            "lips": asdict(self.lips),
            "made_by": self.made_by(),
            "head_sync": self.workspace.subject.stages["head_sync"]["key"],
            "synthetic": "Renders of this head are synthetic likenesses made with SyncTalk.",
        }

    def save(self) -> Path:
        """Write a checkpoint."""
        occupancy = {"hull": self.occupancy.hull.to(torch.uint8), "used": self.occupancy.used.half()}
        focal_px = self.tracking.camera.focal_px
        self._saved = time.monotonic()
        return checkpoints.save(
            self.workspace, self.field, self.optimiser, self.poses, focal_px, self.step, self.state(), occupancy
        )

    # -- the loop ---------------------------------------------------------------------------------------------------

    @property
    def psnr(self) -> float:
        """Of the validation frames at the last evaluation; 0 before."""
        return self.monitor.records[-1].psnr_validation if self.monitor.records else 0.0

    @property
    def share(self) -> float:
        """How much of the training is done, 0 to 1 and above."""
        done = self.step / self.limit_steps if self.limit_steps is not None else self.elapsed_s / self.limit_s
        return done + self.skipped

    def run(self) -> Path:
        """Train until the time is used up, or until the validation frames gain nothing more."""
        if self.share < 1:
            self._prepare()
            self.complete = False
        self._start_clock()
        self._saved, timer, recoveries = time.monotonic(), EvaluationTimer(self.step), 0
        self._report_progress()
        while self.share < 1:
            self._refine_if_due()
            try:
                self._set_rates(min(self.share, 1.0))
                self.train_step()
                self._read_clock()
                if timer.is_due():
                    self._evaluate(timer)
            except Diverged as error:
                recoveries += 1
                recover(self, error, recoveries)
                self._start_clock()
                continue
            if time.monotonic() - self._saved > min(CHECKPOINT_SECONDS, self.limit_s / 6):
                self.save()
            if self.step % 10 == 0 and self.share < 1:
                self._report_progress()
        self._report_progress()
        self.reporter.progress(Stage.SAVING, 0, 1, "heads")
        self.evaluate(timer.steps_per_s(self.step))
        self.complete = True
        path = self.save()
        self.reporter.progress(Stage.SAVING, 1, 1, "heads")
        return path

    def _start_clock(self) -> None:
        self._started = time.monotonic() - self.elapsed_s

    def _read_clock(self) -> None:
        self.elapsed_s = time.monotonic() - self._started

    def _report_progress(self) -> None:
        message = f"step {self.step}"
        if self.monitor.records:
            message += f", PSNR {self.psnr:.1f} dB"
        message += self.monitor.pace(self.step, time.monotonic())
        done = min(self.share, 1) * (self.limit_s if self.limit_steps is None else self.limit_steps)
        self.show_progress(done, message)

    def show_progress(self, done: float, message: str) -> None:
        """How far the training of the field and its twin is: seconds, or steps where those are given."""
        total, unit = (self.total_s, "s") if self.total_steps is None else (self.total_steps, "steps")
        self.reporter.progress(Stage.TRAINING, min(done, total), total, unit, message)

    def _prepare(self) -> None:
        """Compile the kernels before the clock starts: the first time on a computer takes half a minute.

        The gradients of this step are discarded.
        """
        self.reporter.progress(Stage.KERNELS, 0, 1, "kernels", "the first time on a computer takes half a minute")
        self._batch_loss().loss.backward()
        self.optimiser.zero_grad(set_to_none=True)
        frame = self.training_frames[0]
        FieldRenderer(self.field, self.kernel).render(self.camera, self.poses[frame], self.conditions[frame])
        self.field.train()
        self.reseed()
        self.reporter.progress(Stage.KERNELS, 1, 1, "kernels")

    def _set_rates(self, share: float) -> None:
        decay = rate_decay(share) * self.rate_scale
        self.optimiser.param_groups[0]["lr"] = self.preset.grid_rate * decay
        self.optimiser.param_groups[1]["lr"] = self.preset.network_rate * decay

    def _targets(self) -> tuple[Targets, int]:
        """What one step compares, and how many patches are at the end of its rays."""
        preset = self.preset
        patches = preset.fine_patches if preset.fine_weight > 0 and self.share >= preset.fine else 0
        rays = max(1, preset.rays_per_image - patches * PATCH_SIDE**2 // preset.images_per_step)
        arguments = preset.images_per_step, rays, preset.feature_share, patches, PATCH_SIDE
        if self.resident.used:
            return self.resident.sample(self.poses, self.camera, *arguments), patches
        sampled = self.pool.sample(self.rng, *arguments)
        return Targets.of(sampled, self.poses, self.camera, self.conditions, self.device), patches

    def _batch_loss(self) -> BatchLoss:
        return self.objective.loss(self.field, *self._targets(), self.step)

    def train_step(self) -> None:
        """
        Raises:
            Diverged: a weight or the loss is not finite.
        """
        # The weights are checked as well: code compiled with fast maths may treat NaN as a number.
        if self.step % 10 == 0 and not all(torch.isfinite(weight.sum()) for weight in self.field.parameters()):
            raise Diverged("a weight is not finite")
        batch = self._batch_loss()
        self.optimiser.zero_grad(set_to_none=True)
        batch.loss.backward()
        # A GPU is asked every few steps: each answer waits until its work is done.
        if (not self.resident.used or self.step % 10 == 0) and not np.isfinite(float(batch.loss.detach())):
            raise Diverged("the loss is not finite")
        self.optimiser.step()
        self.occupancy.remember(self.field, self.step, batch.positions, batch.weights)
        self.step += 1
        if not self.resident.complete:
            self.pool.advance(self.step, wait=not self.resident.used)

    def evaluate(self, steps_per_s: float) -> None:
        """Measure training and validation frames, and show the preview."""
        renderer = FieldRenderer(self.field, self.kernel)
        self.monitor.evaluate(renderer, self.poses, self.conditions, self.step, self.elapsed_s / 60, steps_per_s)
        self.field.train()
        self.reporter.preview(str(self.monitor.preview))

    def _evaluate(self, timer: EvaluationTimer) -> None:
        """
        Raises:
            Diverged: the head has collapsed.
        """
        began = time.monotonic()
        self.evaluate(timer.steps_per_s(self.step))
        timer.ended(self.step, time.monotonic() - began)
        if self.monitor.has_collapsed():
            raise Diverged("the head has collapsed")
        all_refined = self.refined == len(self.preset.refinements)
        if all_refined and not self.skipped and self.share < ANNEAL and self.monitor.has_plateaued(self._since):
            self.skipped = ANNEAL - self.share  # only the final annealing is left
            self.reporter.info(f"The validation frames stopped improving at step {self.step}: training ends early.")

    def _refine_if_due(self) -> None:
        if self.refined == len(self.preset.refinements) or self.share < self.preset.refinements[self.refined]:
            return
        if refine_track(self):
            self.field.train()
            self._since = self.step
        self.refined += 1
        self._read_clock()
        self.save()  # refinement takes a minute on a long clip
