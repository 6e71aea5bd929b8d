"""The training loop of a head (Eq. 13): coarse, then fine, with the poses refined by the picture in between."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..errors import ConsentError, SyncTalkError
from ..evaluation.lpips import Lpips
from ..progress import Reporter, format_duration
from ..protocol import BLENDSHAPE_NAMES
from ..renderer.field import BLENDSHAPE_GAIN, Field, FieldConfig
from ..renderer.kernels import get_kernel
from ..renderer.rays import pixel_rays
from ..renderer.render import Renderer
from ..renderer.triplane import TriplaneLayout
from ..workspace.files import key_of, read_arrays, write_arrays
from ..workspace.store import Workspace
from . import checkpoints
from . import visual_hull as hull
from .conditions import LipSource, heard_frames
from .dataset import FramePool, Rays, Tracking, read_frame
from .losses import SPREAD_WEIGHT, colour_loss, structural_loss
from .occupancy import Occupancy
from .pose_refinement import focal_step, refine_pose
from .presets import Preset
from .regions import EVERYWHERE, expression_region, eye_regions, lip_region
from .watch import Watch, validation_split

CHECKPOINT_SECONDS = 30.0
LOOK_SECONDS, LOOK_SHARE = 5.0, 0.05
"""Between two looks at the head; longer where looking would take more than this share of the time."""
PREPARING, SAVING = "preparing the kernels", "saving the head"
COARSE_STEPS = ((250, 2, 24),)
"""(until step, times the step length, samples a ray): a hull is thick: at first it is sampled coarsely but wholly."""
ANNEAL = 0.85
"""Share of the time from which the rates fall to a hundredth: what is learnt settles."""
PATCH_SIDE = 32
HULL_FRAMES = 48
MOUTH_FRAMES = 1000
"""Frames learnt from at which the preset's `mouth_weight` counts in full: of few frames a mouth is soon learnt by heart."""
MOST_RECOVERIES = 3
REFINEMENT_SHARE, REFINEMENT_TRIAL = 0.25, 12
"""Poses are refined where that takes no more than this share of the time, as so many frames foretell."""
FOCAL_STEPS = 500
FOCAL_GAIN_DB = 0.3
"""A focal length must be better by this than the tracked one, which knows more of the clip than a short training."""
FOCAL_SIGMA = 0.1
"""How far, as a share, the tracked focal length is expected to be off; no step is larger."""


@dataclass
class TrainResult:
    """What `train` reached."""

    step: int
    minutes: float
    psnr: float
    checkpoint: Path


def train(
    workspace: Workspace,
    preset: Preset,
    reporter: Reporter,
    minutes: float | None = None,
    seed: int = 0,
    device: str = "auto",
    steps: int | None = None,
    further: bool = False,
) -> TrainResult:
    """Train the workspace's head, or go on from its last checkpoint.

    Args:
        minutes: training time, the preset's own when None; what an earlier run of this training took is part of it.
        steps: this many steps instead, however long they take.
        further: where the earlier training was complete, train for so many minutes or steps on top of it.

    Raises:
        ConsentError: the consent of the person shown is not recorded.
        WorkspaceError: preprocessing is missing, or too few frames show the face.
    """
    workspace.require("media", "landmarks", "head_sync", "face_sync", "portrait_sync")
    if not workspace.subject.consent.get("given"):
        raise ConsentError(
            f"{workspace.root}: nobody has confirmed that the person shown agrees to a synthetic likeness: record it "
            "with process --consent NAME (or in the Subject panel) before training."
        )
    minutes = minutes if minutes is not None else preset.minutes
    with Trainer(workspace, preset, reporter, minutes, seed, device, steps) as trainer:
        if further:
            trainer.add_to_complete()
        return trainer.run()


class Diverged(Exception):
    """A loss or a weight is not a number any more."""


class Trainer:
    """State of one training run."""

    def __init__(
        self,
        workspace: Workspace,
        preset: Preset,
        reporter: Reporter,
        minutes: float,
        seed: int,
        device: str,
        steps: int | None = None,
    ) -> None:
        self.workspace, self.preset, self.reporter, self.seed = workspace, preset, reporter, seed
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.limit_s, self.limit_steps = minutes * 60, steps
        self.kernel = get_kernel(device=self.device)
        torch.manual_seed(seed)
        self.tracking = Tracking.read(workspace)
        self.lips = LipSource.of_clip(workspace, preset.lips)
        self.conditions = self.lips.clip_conditions(workspace, self.tracking.blendshapes)
        # The same of all that the networks see; sound's features come in standard deviations.
        self._noise = torch.full((self.conditions.shape[1],), preset.blendshape_noise * BLENDSHAPE_GAIN)
        self._noise[: len(BLENDSHAPE_NAMES)] = preset.blendshape_noise
        usable = self.tracking.valid[: workspace.subject.first_test_frame]
        if self.lips.inputs:  # Lips that follow the audio learn nothing where it is dead.
            usable = usable & heard_frames(workspace)[: len(usable)]
        usable = np.flatnonzero(usable)
        self.learnt, kept_out = validation_split(usable)
        self.mouth_weight = 1 + (preset.mouth_weight - 1) * min(1.0, len(self.learnt) / MOUTH_FRAMES)
        self.pool = FramePool(workspace, self.tracking, self.learnt, preset.size)
        self.camera = self.tracking.camera.scaled(self.pool.size, self.pool.size)
        # Not tracking.npz's: an earlier training has refined those.
        tracked = read_arrays(workspace.root / "head_sync.npz")
        self.poses = tracked["head_to_camera"].copy()
        self.step, self.elapsed_s, self.refined, self.skipped, self.slower = 0, 0.0, 0, 0.0, 1.0
        self.complete = False
        # A quarter of a gigabyte, read only for a recipe that has a fine stage.
        lpips = Lpips.load() if preset.fine_weight > 0 else None
        self.lpips = None if lpips is None else lpips.to(self.device)
        self.watch = Watch(workspace, self.learnt, kept_out, self.camera)
        self._set_focal(float(tracked["focal_px"]))
        checkpoint = checkpoints.load_newest(workspace, reporter)
        if checkpoint is not None and checkpoint.state.get("made_by") != self._made_by():
            checkpoint = None  # of other poses or another recipe
        self.pool.begin(reporter, 0 if checkpoint is None else checkpoint.state["step"])
        if checkpoint is None:
            self._choose_focal()
            self._begin()
            self._write_poses()  # an earlier training may have left its own there
        else:
            self._restore(checkpoint)
            self.reporter.info(f"Going on from step {self.step} ({format_duration(self.elapsed_s)} of training done).")
        self.watch.begin(self.step)

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()

    # -- state ------------------------------------------------------------------------------------------------------

    def _made_by(self) -> str:
        """What a checkpoint must be made of to be gone on with: the clip as preprocessed, and the recipe."""
        stages = self.workspace.subject.stages
        keys = [stages[name]["key"] for name in ("media", "head_sync", "face_sync", "portrait_sync")]
        return key_of(*keys, list(asdict(self.preset).items()))

    def _begin(self) -> None:
        for old in self.workspace.checkpoints.glob("*"):
            old.unlink()
        self.reporter.progress("carving the hull", 0, 1, "hulls")
        mattes, poses = [], []
        for frame in list(self.pool.held)[:HULL_FRAMES]:
            matte = np.zeros((self.pool.size, self.pool.size), np.uint8)
            height, width = frame.alpha.shape
            matte[frame.y0 : frame.y0 + height, frame.x0 : frame.x0 + width] = frame.alpha
            mattes.append(matte)
            poses.append(self.poses[frame.index])
        face, preset = self.tracking.face_head_m, self.preset
        low, side = hull.head_box(mattes, poses, self.camera, face)
        config = FieldConfig(
            box_low_m=tuple(float(value) for value in low),
            box_size_m=float(side),
            step_m=float(side) / 64,
            lip_region=lip_region(face) if preset.gated else EVERYWHERE,
            expression_region=expression_region(face) if preset.gated else EVERYWHERE,
            blendshape_centre=tuple(float(value) for value in self.tracking.blendshapes[self.learnt].mean(0)),
            expression=preset.expression_names,
            lip_inputs=self.lips.inputs,
            layout=TriplaneLayout(preset.levels, preset.log2_table_size, 16, preset.finest_resolution),
        )
        self.field = Field(config).to(self.device)
        occupied = torch.from_numpy(hull.carve(mattes, poses, self.camera, low, side, config.occupancy_cells, face))
        self.field.set_occupied(occupied.to(self.device))
        self.occupancy = Occupancy(occupied.to(self.device))
        self.reporter.progress("carving the hull", 1, 1, "hulls")
        self._make_optimiser()
        self._reseed()

    def _choose_focal(self) -> None:
        """Try the preset's focal lengths by a short training each: landmarks can hardly tell it, the picture can.

        Depths follow the focal length, so that the head keeps its place and size in the picture.
        """
        focal_px, poses = self.tracking.camera.focal_px, self.poses.copy()
        tried: dict[float, float] = {}
        factors = (1.0, *self.preset.focal_factors) if self.preset.focal_factors else ()
        for number, factor in enumerate(factors):
            self._try_focal(focal_px * factor, poses, factor)
            self._begin()
            for step in range(FOCAL_STEPS):
                self._train_step()
                done = number * FOCAL_STEPS + step + 1
                self.reporter.progress("choosing the focal length", done, len(factors) * FOCAL_STEPS, "steps")
            self._look(0.0)
            tried[factor] = self.psnr
        best = max(tried, key=lambda factor: tried[factor], default=1.0)
        if tried and tried[best] < tried[1.0] + FOCAL_GAIN_DB:
            best = 1.0
        self._try_focal(focal_px * best, poses, best)
        if tried:
            said = ", ".join(f"{focal_px * factor:.0f} px: {psnr:.2f} dB" for factor, psnr in tried.items())
            self.reporter.info(f"Focal length {focal_px * best:.0f} px by the picture ({said}).")

    def _try_focal(self, focal_px: float, poses: np.ndarray, factor: float) -> None:
        self.step = 0
        self.poses = poses.copy()
        self.poses[:, 2, 3] *= factor
        self._set_focal(focal_px)

    def _restore(self, checkpoint: checkpoints.Checkpoint) -> None:
        self.field = checkpoint.field(self.device)
        self._make_optimiser()
        checkpoints.restore_optimiser(checkpoint, self.field, self.optimiser)
        self.poses = checkpoint.head_to_camera.copy()
        self._set_focal(checkpoint.focal_px)
        state = checkpoint.state
        self.step, self.elapsed_s, self.refined = state["step"], state["elapsed_s"], state["refined"]
        self.skipped, self.slower = state.get("skipped", 0.0), state.get("slower", 1.0)
        self.complete = state.get("complete", False)
        used = checkpoint.tensors["used"].float().to(self.device)
        self.occupancy = Occupancy((checkpoint.tensors["hull"] > 0).to(self.device), used)
        self._reseed()

    def _reseed(self) -> None:
        """A resumed run goes on with other rays than those it began with."""
        self.rng = np.random.default_rng([self.seed, self.step])
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

    def add_to_complete(self) -> None:
        """Where the training is complete, let the limit count from here."""
        if self.complete or self.share >= 1:
            self.limit_s += self.elapsed_s
            self.limit_steps = None if self.limit_steps is None else self.limit_steps + self.step
            self.skipped = 0.0

    def _save(self) -> Path:
        state = {
            "complete": self.complete,
            "preset": self.preset.name,
            "elapsed_s": self.elapsed_s,
            "refined": self.refined,
            "skipped": self.skipped,
            "slower": self.slower,
            "psnr": self.psnr,
            "lips": asdict(self.lips),
            "made_by": self._made_by(),
            "synthetic": "Renders of this head are synthetic likenesses made with SyncTalk.",
        }
        occupancy = {"hull": self.occupancy.hull.to(torch.uint8), "used": self.occupancy.used.half()}
        focal_px = self.tracking.camera.focal_px
        return checkpoints.save(
            self.workspace, self.field, self.optimiser, self.poses, focal_px, self.step, state, occupancy
        )

    # -- the loop ---------------------------------------------------------------------------------------------------

    @property
    def psnr(self) -> float:
        """Of the frames kept out, when last looked at; 0 before."""
        return self.watch.looks[-1].psnr_validation if self.watch.looks else 0.0

    @property
    def share(self) -> float:
        """How much of the training is done, 0 to 1 and above."""
        done = self.step / self.limit_steps if self.limit_steps is not None else self.elapsed_s / self.limit_s
        return done + self.skipped

    def _tell(self) -> None:
        message = f"step {self.step}"
        if self.watch.looks:
            message += f", PSNR {self.psnr:.1f} dB"
        message += self.watch.pace(self.step, time.monotonic())
        if self.limit_steps is not None:
            self.reporter.progress(
                "training", min(self.share, 1) * self.limit_steps, self.limit_steps, "steps", message
            )
        else:
            self.reporter.progress("training", min(self.share, 1) * self.limit_s, self.limit_s, "s", message)

    def run(self) -> TrainResult:
        """Train until the time is used up, or until the frames kept out gain nothing any more."""
        recoveries = 0
        pause_s, look_s = LOOK_SECONDS, np.inf
        if self.share < 1:
            self._prepare()
            self.complete = False
        saved = looked = time.monotonic()
        started, step_then = time.monotonic() - self.elapsed_s, self.step
        self._tell()
        while self.share < 1:
            if self.refined < len(self.preset.refinements) and self.share >= self.preset.refinements[self.refined]:
                self._refine_poses()
                self.refined += 1
                self.elapsed_s = time.monotonic() - started
                self._save()  # a minute's work on a long clip
                saved = time.monotonic()
            try:
                self._set_rates(min(self.share, 1.0))
                self._train_step()
            except Diverged as error:
                recoveries += 1
                self._recover(error, recoveries)
                started = time.monotonic() - self.elapsed_s
                continue
            self.elapsed_s = time.monotonic() - started
            now = time.monotonic()
            if now - looked > pause_s:
                self._look((self.step - step_then) / (now - looked))
                looked, step_then = time.monotonic(), self.step
                look_s = min(look_s, looked - now)  # the first one reads its frames
                pause_s = max(LOOK_SECONDS, look_s / LOOK_SHARE)
                if self.watch.has_collapsed():
                    recoveries += 1
                    self._recover(Diverged("the head has fallen apart"), recoveries)
                    started = time.monotonic() - self.elapsed_s
                    continue
                self._stop_early()
            if now - saved > min(CHECKPOINT_SECONDS, self.limit_s / 6):
                self._save()
                saved = time.monotonic()
            if self.step % 10 == 0 and self.share < 1:
                self._tell()
        self._tell()
        self.reporter.progress(SAVING, 0, 1, "heads")
        self._look((self.step - step_then) / max(time.monotonic() - looked, 1e-3))
        self.complete = True
        path = self._save()
        self.reporter.progress(SAVING, 1, 1, "heads")
        return TrainResult(self.step, self.elapsed_s / 60, self.psnr, path)

    def _prepare(self) -> None:
        """Have the kernels compiled before the clock starts: the first time on a computer takes half a minute.

        The step is not a training's: its gradients go nowhere.
        """
        self.reporter.progress(PREPARING, 0, 1, "kernels", "the first time on a computer takes half a minute")
        self._loss()[0].backward()
        self.optimiser.zero_grad(set_to_none=True)
        frame = self.learnt[0]
        Renderer(self.field, self.kernel).render(self.camera, self.poses[frame], self.conditions[frame])
        self.field.train()
        self._reseed()
        self.reporter.progress(PREPARING, 1, 1, "kernels")

    def _look(self, steps_per_s: float) -> None:
        renderer = Renderer(self.field, self.kernel)
        self.watch.look(renderer, self.poses, self.conditions, self.step, self.elapsed_s / 60, steps_per_s)
        self.field.train()
        self.reporter.preview(str(self.watch.preview))

    def _stop_early(self) -> None:
        """Where the frames kept out gain nothing more, the rest of the time is left out, but for the last settling."""
        refined = self.refined == len(self.preset.refinements)
        if refined and not self.skipped and self.share < ANNEAL and self.watch.has_learnt_what_it_can(self._since):
            self.skipped = ANNEAL - self.share
            self.reporter.info(
                f"The frames kept out of training gain nothing more at step {self.step}: it settles and ends early."
            )

    _since = 0
    """Step of the last refinement: before it a standstill may be the poses'."""

    def _recover(self, error: Diverged, times: int) -> None:
        """Back to the last checkpoint, with slower rates.

        Raises:
            SyncTalkError: there is none, or it has happened too often.
        """
        checkpoint = checkpoints.load_newest(self.workspace, self.reporter)
        if checkpoint is None or times > MOST_RECOVERIES:
            raise SyncTalkError(
                f"Training diverged at step {self.step} ({error}): run train again; if it happens again, look for "
                "broken frames in reports/training.png and report it with the clip's size and length."
            ) from error
        step = self.step
        self._restore(checkpoint)
        self.watch.begin(self.step)
        self.slower *= 0.5
        self.rng = np.random.default_rng([self.seed, self.step, times])
        self.reporter.warning(
            f"Training diverged at step {step} ({error}): it goes on from step {self.step} at half the rate."
        )

    def _set_rates(self, share: float) -> None:
        decay = 0.1**share if share < ANNEAL else 0.1**share * ((1 - share) / (1 - ANNEAL) * 0.9 + 0.1)
        self.optimiser.param_groups[0]["lr"] = self.preset.grid_rate * decay * self.slower
        self.optimiser.param_groups[1]["lr"] = self.preset.network_rate * decay * self.slower

    def _rays(self) -> tuple[Rays, int]:
        """Rays of one step, and how many patches lie at their end."""
        preset = self.preset
        patches = preset.fine_patches if preset.fine_weight > 0 and self.share >= preset.fine else 0
        rays = max(1, preset.rays_per_image - patches * PATCH_SIDE**2 // preset.images_per_step)
        given = preset.images_per_step, rays, preset.feature_share, patches, PATCH_SIDE
        return self.pool.sample(self.rng, *given), patches

    def _train_step(self) -> None:
        # Looked for in the weights as well: compiled code may take a number that is none for any other.
        if self.step % 10 == 0 and not all(torch.isfinite(weight.sum()) for weight in self.field.parameters()):
            raise Diverged("a weight is not a number")
        loss, positions, weights = self._loss()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if not np.isfinite(float(loss.detach())):
            raise Diverged("the loss is not a number")
        self.optimiser.step()
        self.occupancy.remember(self.field, self.step, positions, weights)
        self.step += 1
        self.pool.advance(self.step)

    def _loss(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The loss of a new batch of rays, and its samples' places (M, 3) in the unit cube and weights (M)."""
        field, device = self.field, self.device
        rays, patches = self._rays()
        total = len(rays.u)
        poses = np.repeat(self.poses[rays.frames], rays.counts, axis=0)
        origins, directions = pixel_rays(self.camera, poses, rays.u, rays.v)
        towards = torch.from_numpy(directions).to(device)
        grid = field.grid(max_samples=self.preset.max_samples)
        for until, times, count in COARSE_STEPS:
            if self.step < until:
                grid = field.grid(times, min(count, self.preset.max_samples))
                break
        start = field.in_cube(torch.from_numpy(origins).to(device))
        samples = self.kernel.march(start, towards, grid, torch.rand(total, device=device))
        conditions = torch.from_numpy(self.conditions[rays.frames])
        conditions = (conditions + self._noise * torch.randn_like(conditions)).to(device)
        # Samples lie frame after frame, because rays do.
        starts = samples.offsets.cpu()[torch.from_numpy(np.concatenate([[0], np.cumsum(rays.counts)]))]
        networks = field.networks(conditions)
        density, colour, _ = self.kernel.shade(samples, towards, starts, field.tables, field.config.layout, networks)
        rgba, weights, spread = self.kernel.composite(density * samples.fade, colour, samples, grid.step)

        alpha, target = torch.from_numpy(rays.alpha).to(device), torch.from_numpy(rays.colour).to(device)
        background = torch.rand(total, 3, device=device)
        in_patches = patches * PATCH_SIDE**2
        if patches:  # one colour a patch, or its structure would be the background's noise
            background[-in_patches:] = torch.rand(patches, 3, device=device).repeat_interleave(PATCH_SIDE**2, 0)
        predicted = rgba[:, :3] + (1 - rgba[:, 3:]) * background
        truth = alpha * target + (1 - alpha) * background
        at_mouth = torch.from_numpy(rays.at_mouth).to(device)
        loss = colour_loss(predicted, truth, at_mouth, self.mouth_weight) + SPREAD_WEIGHT * spread.mean()
        if patches:
            loss = loss + self.preset.fine_weight * self._perceptual(predicted[-in_patches:], truth[-in_patches:])
        return loss, samples.positions, weights

    def _perceptual(self, predicted: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """The second term of Eq. 13, of (P·S², 3) patches: LPIPS, or `structural_loss` where its weights are absent."""
        one, other = (
            value.reshape(-1, PATCH_SIDE, PATCH_SIDE, 3).permute(0, 3, 1, 2).clamp(0, 1) for value in (predicted, truth)
        )
        if self.lpips is None:
            return structural_loss(one, other)
        return self.lpips(one, other).mean()

    # -- poses ------------------------------------------------------------------------------------------------------

    def _refine_poses(self) -> None:
        """Align every valid frame, the held-out ones too: a pose is what the tracker says of a picture, not learnt.

        All frames together then say by their perspective how the focal length should change; depths follow it.
        """
        renderer = Renderer(self.field, self.kernel)
        regions = (lip_region(self.tracking.face_head_m), *eye_regions(self.tracking.face_head_m))
        held = {frame.index: frame for frame in self.pool.held}
        frames, found, tracked = np.flatnonzero(self.tracking.valid), [], self.poses.copy()
        begun = time.monotonic()
        for done, index in enumerate(frames.tolist(), 1):
            frame = held.get(index) or read_frame(self.workspace, self.tracking, index, self.pool.size)
            refined = refine_pose(
                renderer, self.camera, self.poses[index], self.conditions[index], frame, regions, self.rng
            )
            self.poses[index] = refined.pose
            found.append(refined)
            needed = (time.monotonic() - begun) / done * len(frames)
            if done == REFINEMENT_TRIAL and self.limit_steps is None and needed > REFINEMENT_SHARE * self.limit_s:
                self.poses = tracked
                self.reporter.info(
                    "Poses are not refined by the picture: so short a training has better use of its time."
                )
                return
            self.reporter.progress("refining poses by the picture", done, len(frames))
        change = float(np.exp(np.clip(focal_step(found, FOCAL_SIGMA), -FOCAL_SIGMA, FOCAL_SIGMA)))
        self.poses[frames, 2, 3] *= change
        self._set_focal(self.tracking.camera.focal_px * change)
        self.reporter.info(
            f"Poses refined by the picture; focal length {self.tracking.camera.focal_px:.0f} px ({change - 1:+.1%})."
        )
        self.field.train()
        self._since = self.step
        self._write_poses()

    def _set_focal(self, focal_px: float) -> None:
        self.tracking.camera = replace(self.tracking.camera, focal_px=focal_px)
        self.camera = self.tracking.camera.scaled(self.pool.size, self.pool.size)
        self.watch.camera = self.camera

    def _write_poses(self) -> None:
        """Make the refined poses the workspace's own: rig, new speech and held-out frames take them from there."""
        arrays = read_arrays(self.workspace.tracking_path)
        arrays["head_to_camera"] = self.poses
        arrays["focal_px"] = np.array(self.tracking.camera.focal_px)
        write_arrays(self.workspace.tracking_path, **arrays)
