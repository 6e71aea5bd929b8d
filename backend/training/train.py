"""The training loop of a head: rays of random frames, MSE over a random background, poses refined in between."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ..errors import ConsentError, SyncTalkError
from ..progress import Reporter, format_duration
from ..renderer.cameras import pixel_rays
from ..renderer.field import Field, FieldConfig, Region
from ..renderer.kernels import get_kernel
from ..renderer.render import Renderer
from ..renderer.triplane import TriplaneLayout
from ..workspace import Workspace, atomic_path, read_arrays, write_arrays, write_image
from . import checkpoints, hull
from .dataset import Tracking, load
from .pose_refinement import refine_pose
from .presets import Preset

CHECKPOINT_SECONDS = 30.0
PREVIEW_SECONDS = 20.0
OCCUPANCY_SCHEDULE = ((600, 16), (2000, 32), (5000, 128), (1 << 60, 256))
"""(until step, steps between updates of the grid)."""
OCCUPANCY_WARMUP = 150
OCCUPANCY_SETTLED = 600
"""Until this step a cell's neighbours are kept with it: the surface still moves. Later they only cost time."""
OCCUPANCY_KEEP = 0.8
"""What a cell's remembered weight is multiplied by at each update: one that no ray used for ten updates goes."""
OCCUPANCY_THRESHOLD = 0.04
SPREAD_WEIGHT = 4e-5
"""Of the rays' spread in the loss: a fog of half the samples becomes a surface, at 0.1 dB; 3e-4 costs 1.7 dB."""
COARSE_STEPS = ((250, 2, 24),)
"""(until step, times the step length, samples a ray): a hull is thick: at first it is sampled coarsely but wholly."""


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
) -> TrainResult:
    """Train the workspace's head, or go on from its last checkpoint.

    Args:
        minutes: training time, the preset's own when None.
        steps: this many steps instead, however long they take.

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
    trainer = Trainer(workspace, preset, reporter, minutes, seed, device, steps)
    return trainer.run()


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
        self.workspace, self.preset, self.reporter = workspace, preset, reporter
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.limit_s, self.limit_steps = minutes * 60, steps
        self.kernel = get_kernel(device=self.device)
        torch.manual_seed(seed)
        self.tracking = Tracking.read(workspace)
        usable = np.flatnonzero(self.tracking.valid[: workspace.subject.first_test_frame])
        self.validation_frames = usable[len(usable) // 12 :: max(len(usable) // 6, 1)][:6]
        self.data = load(workspace, self.tracking, np.setdiff1d(usable, self.validation_frames), preset.size, reporter)
        self.camera = self.tracking.camera.scaled(self.data.size, self.data.size)
        # Not tracking.npz's: an earlier training has refined those.
        self.poses = read_arrays(workspace.root / "head_sync.npz")["head_to_camera"].copy()
        self.step, self.elapsed_s, self.refined = 0, 0.0, 0
        self.log_path = workspace.checkpoints / "log.jsonl"
        checkpoint = checkpoints.load_newest(workspace, reporter)
        if (
            checkpoint is not None
            and checkpoint.state.get("tracking_key") == self._tracking_key()
            and checkpoint.state["preset"] == preset.name
        ):
            self._restore(checkpoint)
        else:
            self._begin()
        # A resumed run goes on with other rays than those it began with.
        self.rng = np.random.default_rng([seed, self.step])
        torch.manual_seed(seed + self.step)

    # -- state ------------------------------------------------------------------------------------------------------

    def _tracking_key(self) -> str:
        stages = self.workspace.subject.stages
        return "-".join(stages[name]["key"] for name in ("media", "head_sync", "face_sync", "portrait_sync"))

    def _begin(self) -> None:
        for old in self.workspace.checkpoints.glob("*"):
            old.unlink()
        self.reporter.progress("carving the hull", 0, 1, "hulls")
        pick = np.linspace(0, len(self.data.frames) - 1, min(48, len(self.data.frames))).astype(int)
        mattes, poses = [], []
        for index in pick:
            matte = np.zeros((self.data.size, self.data.size), np.uint8)
            height, width = self.data.alpha.shape[1:]
            matte[self.data.y0 : self.data.y0 + height, self.data.x0 : self.data.x0 + width] = self.data.alpha[index]
            mattes.append(matte)
            poses.append(self.poses[self.data.frames[index]])
        face = self.tracking.face_head_m
        low, side = hull.head_box(mattes, poses, self.camera, face)
        config = FieldConfig(
            box_low_m=tuple(float(value) for value in low),
            box_size_m=float(side),
            step_m=float(side) / 64,
            lip_region=lip_region(face),
            expression_region=expression_region(face),
            blendshape_centre=tuple(float(value) for value in self.tracking.blendshapes[self.data.frames].mean(0)),
            layout=TriplaneLayout(self.preset.levels, self.preset.log2_table_size, 16, self.preset.finest_resolution),
        )
        self.field = Field(config).to(self.device)
        occupied = hull.carve(mattes, poses, self.camera, low, side, config.occupancy_cells, face)
        self.field.set_occupied(torch.from_numpy(occupied))
        self.hull = torch.from_numpy(occupied)
        self.used = torch.full((config.occupancy_cells**3,), 1.0, device=self.device)
        self.reporter.progress("carving the hull", 1, 1, "hulls")
        self._make_optimiser()

    def _restore(self, checkpoint: checkpoints.Checkpoint) -> None:
        self.field = checkpoint.field(self.device)
        self._make_optimiser()
        checkpoints.restore_optimiser(checkpoint, self.field, self.optimiser)
        self.poses = checkpoint.head_to_camera.copy()
        self.step, self.elapsed_s = checkpoint.state["step"], checkpoint.state["elapsed_s"]
        self.refined = checkpoint.state["refined"]
        self.hull = checkpoint.tensors["hull"] > 0
        self.used = checkpoint.tensors["used"].float().to(self.device)
        self.reporter.info(f"Going on from step {self.step} ({format_duration(self.elapsed_s)} of training done).")

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

    def _save(self) -> Path:
        state = {
            "preset": self.preset.name,
            "elapsed_s": self.elapsed_s,
            "refined": self.refined,
            "psnr": self.validation_psnr,
            "tracking_key": self._tracking_key(),
            "synthetic": "Renders of this head are synthetic likenesses made with SyncTalk.",
        }
        occupancy = {"hull": self.hull.to(torch.uint8), "used": self.used.half()}
        return checkpoints.save(
            self.workspace, self.field, self.optimiser, self.poses, self.camera_focal(), self.step, state, occupancy
        )

    def camera_focal(self) -> float:
        """Focal length in pixels of the working frame."""
        return self.tracking.camera.focal_px

    # -- the loop ---------------------------------------------------------------------------------------------------

    @property
    def share(self) -> float:
        """How much of the training is done, 0 to 1 and above."""
        if self.limit_steps is not None:
            return self.step / self.limit_steps
        return self.elapsed_s / self.limit_s

    def _tell(self) -> None:
        message = (
            f"step {self.step}, PSNR {self.validation_psnr:.1f} dB" if self.validation_psnr else f"step {self.step}"
        )
        if self.limit_steps is not None:
            self.reporter.progress("training", self.step, self.limit_steps, "steps", message)
        else:
            self.reporter.progress("training", min(self.elapsed_s, self.limit_s), self.limit_s, "s", message)

    def run(self) -> TrainResult:
        """Train until the time is used up."""
        self.validation_psnr = self._validate() if self.step else 0.0
        path = None
        saved = previewed = time.monotonic()
        started = time.monotonic() - self.elapsed_s
        self._tell()
        while self.share < 1:
            for share in self.preset.refinements[self.refined :]:
                if self.share >= share:
                    self._refine_poses()
                    self.refined += 1
                    self.elapsed_s = time.monotonic() - started
                    path, saved = self._save(), time.monotonic()  # a minute's work on a long clip
                break
            self._set_rates(min(self.share, 1.0))
            self._train_step()
            self.elapsed_s = time.monotonic() - started
            now = time.monotonic()
            if now - previewed > PREVIEW_SECONDS:
                self.validation_psnr = self._validate(preview=True)
                self._log()
                previewed = time.monotonic()
            if now - saved > min(CHECKPOINT_SECONDS, self.limit_s / 6):
                path = self._save()
                saved = time.monotonic()
            if self.step % 10 == 0 and self.share < 1:
                self._tell()
        self.validation_psnr = self._validate(preview=True)
        self._log()
        if path is None or path.stem != f"step_{self.step:07d}":
            path = self._save()
        self._tell()
        return TrainResult(self.step, self.elapsed_s / 60, self.validation_psnr, path)

    def _set_rates(self, share: float) -> None:
        decay = 0.1**share if share < 0.85 else 0.1**share * (1 - share) / 0.15 * 0.9 + 0.1 * 0.1**share
        self.optimiser.param_groups[0]["lr"] = self.preset.grid_rate * decay
        self.optimiser.param_groups[1]["lr"] = self.preset.network_rate * decay

    def _sample(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Random pixels: (I) dataset rows, and for each ray its place in them, its column and its row in the crop."""
        preset, data, rng = self.preset, self.data, self.rng
        rows = rng.integers(0, len(data.frames), preset.images_per_step)
        of = np.repeat(np.arange(len(rows)), preset.rays_per_image)
        kind = np.where(
            rng.random(len(of)) < preset.feature_share, rng.choice([1, 1, 2, 3], len(of)), 0
        )  # as many rays to the mouth as to both eyes
        box = data.boxes[rows[of], kind]
        x = (box[:, 0] + rng.random(len(of)) * (box[:, 2] - box[:, 0])).astype(int)
        y = (box[:, 1] + rng.random(len(of)) * (box[:, 3] - box[:, 1])).astype(int)
        return rows, of, np.minimum(x, data.alpha.shape[2] - 1), np.minimum(y, data.alpha.shape[1] - 1)

    def _train_step(self) -> None:
        field, data = self.field, self.data
        rows, of, x, y = self._sample()
        frames = data.frames[rows]
        origins, directions = pixel_rays(self.camera, self.poses[frames][of], x + data.x0 + 0.5, y + data.y0 + 0.5)
        towards = torch.from_numpy(directions).to(self.device)
        grid = field.grid()
        for until, times, count in COARSE_STEPS:
            if self.step < until:
                grid = field.grid(times, count)
                break
        jitter = torch.rand(len(of), device=self.device)
        start = field.in_cube(torch.from_numpy(origins).to(self.device))
        samples = self.kernel.march(start, towards, grid, jitter)
        blendshapes = torch.from_numpy(self.tracking.blendshapes[frames])
        blendshapes = (blendshapes + self.preset.blendshape_noise * torch.randn_like(blendshapes)).to(self.device)
        # Samples lie image after image, because rays do.
        starts = samples.offsets[:: self.preset.rays_per_image].cpu()
        networks = field.networks(blendshapes)
        density, colour, _ = self.kernel.shade(samples, towards, starts, field.tables, field.config.layout, networks)
        rgba, weights, spread = self.kernel.composite(density * samples.fade, colour, samples, grid.step)
        alpha = torch.from_numpy(data.alpha[rows[of], y, x].astype(np.float32) / 255).to(self.device)[:, None]
        target = torch.from_numpy(data.colour[rows[of], y, x].astype(np.float32) / 255).to(self.device)
        background = torch.rand(len(of), 3, device=self.device)
        predicted = rgba[:, :3] + (1 - rgba[:, 3:]) * background
        loss = ((predicted - (alpha * target + (1 - alpha) * background)) ** 2).mean()
        loss = loss + SPREAD_WEIGHT * spread.mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        value = float(loss.detach())
        if not np.isfinite(value):
            raise SyncTalkError(
                f"Training diverged at step {self.step} (the loss is not a number): run train again, it goes on from "
                "the last checkpoint; if it happens again, report it with the clip's size and length."
            )
        self.optimiser.step()
        self._remember(samples.positions, weights)
        self.step += 1

    def _remember(self, positions: torch.Tensor, weights: torch.Tensor) -> None:
        """Occupancy from the rays' own weights: cells that no ray needs are dropped."""
        grid = self.field.config.occupancy_cells
        cell = (positions * grid).long().clamp(0, grid - 1)
        index = (cell[:, 0] * grid + cell[:, 1]) * grid + cell[:, 2]
        heavy = weights > OCCUPANCY_THRESHOLD
        self.used.index_fill_(0, index[heavy], 1.0)
        every = next(every for until, every in OCCUPANCY_SCHEDULE if self.step < until)
        if (self.step + 1) % every == 0:
            self.used *= OCCUPANCY_KEEP
            if self.step > OCCUPANCY_WARMUP:
                keep = (self.used > 0.1).reshape(grid, grid, grid)
                keep = _with_neighbours(keep) if self.step < OCCUPANCY_SETTLED else _without_gaps(keep)
                self.field.set_occupied(keep & self.hull.to(keep.device))

    # -- looking ----------------------------------------------------------------------------------------------------

    def _picture(self, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rendered over the plate, the truth, and the head matte of one frame, all at the training size."""
        renderer = Renderer(self.field, self.kernel)
        rgba = renderer.render(self.camera, self.poses[frame], self.tracking.blendshapes[frame]).rgba
        self.field.train()
        plate = self._reduced(self.workspace.read_plate(frame)).astype(np.float32)
        predicted = np.clip(rgba[..., :3] * 255 + (1 - rgba[..., 3:]) * plate, 0, 255)
        matte = np.ascontiguousarray(self.workspace.read_matte(frame)[..., 0])
        return predicted, self._reduced(self.workspace.read_frame(frame)), self._reduced(matte)

    def _validate(self, preview: bool = False) -> float:
        """Mean head PSNR of the validation frames, dB; writes reports/training.png."""
        errors, pictures = [], []
        for frame in self.validation_frames:
            predicted, truth, matte = self._picture(int(frame))
            difference = (predicted - truth)[matte > 127] / 255
            errors.append(-10 * np.log10(max(float((difference**2).mean()), 1e-10)))
            pictures.append(np.concatenate([truth, predicted.astype(np.uint8)], 0))
        if preview:
            path = self.workspace.reports / "training.png"
            write_image(path, np.concatenate(pictures[:4], 1))
            self.reporter.preview(str(path))
        return float(np.mean(errors))

    def _log(self) -> None:
        line = {"step": self.step, "minutes": self.elapsed_s / 60, "psnr_head": self.validation_psnr}
        old = self.log_path.read_text(encoding="utf-8") if self.log_path.exists() else ""
        with atomic_path(self.log_path) as temporary:
            temporary.write_text(old + json.dumps(line) + "\n", encoding="utf-8")

    # -- poses ------------------------------------------------------------------------------------------------------

    def _refine_poses(self) -> None:
        """Align every valid frame, the held-out ones too: a pose is what the tracker says of a picture, not learnt."""
        renderer = Renderer(self.field, self.kernel)
        data, camera = self.data, self.camera
        regions = (self.field.config.lip_region, *eye_regions(self.tracking.face_head_m))
        row_of = {int(frame): row for row, frame in enumerate(data.frames)}
        frames = np.flatnonzero(self.tracking.valid)
        for done, frame in enumerate(frames.tolist(), 1):
            if frame in row_of:
                colour, alpha, corner = data.colour[row_of[frame]], data.alpha[row_of[frame]], (data.x0, data.y0)
            else:
                matte = np.ascontiguousarray(self.workspace.read_matte(frame)[..., 0])
                colour, alpha, corner = self._reduced(self.workspace.read_frame(frame)), self._reduced(matte), (0, 0)
            self.poses[frame] = refine_pose(
                renderer,
                camera,
                self.poses[frame],
                self.tracking.blendshapes[frame],
                colour,
                alpha,
                regions,
                self.rng,
                corner,
            )
            self.reporter.progress("refining poses by the picture", done, len(frames))
        self.field.train()
        self._write_poses()

    def _reduced(self, image: np.ndarray) -> np.ndarray:
        """A working frame or matte at the training size."""
        size = (self.data.size, self.data.size)
        return image if image.shape[:2] == size else cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    def _write_poses(self) -> None:
        """Make the refined poses the workspace's own: rig, new speech and held-out frames take them from there."""
        arrays = read_arrays(self.workspace.tracking_path)
        arrays["head_to_camera"] = self.poses
        write_arrays(self.workspace.tracking_path, **arrays)


def _with_neighbours(cells: torch.Tensor) -> torch.Tensor:
    """(G, G, G) bool with the 26 neighbours of each cell."""
    return torch.nn.functional.max_pool3d(cells.float()[None, None], 3, 1, 1)[0, 0] > 0


def _without_gaps(cells: torch.Tensor) -> torch.Tensor:
    """A surface of cells closed, and one cell deeper away from the face: samples lie two cells apart, and one that
    finds the surface only a cell deep can miss it, which shows as a hole in the head."""
    closed = ~_with_neighbours(~_with_neighbours(cells)) | cells
    closed[:, :, 1:] |= closed[:, :, :-1].clone()
    return closed


def lip_region(face_head_m: np.ndarray) -> Region:
    """Where lip shape may act: mouth, jaw and cheeks, from the subject's own face (478, 3)."""
    mouth, nose, chin = face_head_m[[13, 14]].mean(0), face_head_m[2], face_head_m[152]
    width = float(np.linalg.norm(face_head_m[454] - face_head_m[234]))
    top, bottom = float(nose[1] + 0.2 * (mouth[1] - nose[1])), float(chin[1] + 0.03)
    centre = (float(mouth[0]), (top + bottom) / 2, float(mouth[2] + 0.02))
    return Region(centre, (0.55 * width, (bottom - top) / 2, 0.075))


def expression_region(face_head_m: np.ndarray) -> Region:
    """Where expression may act: brows, lids, eyes and the root of the nose."""
    eyes = face_head_m[[33, 133, 263, 362]].mean(0)
    width = float(np.linalg.norm(face_head_m[454] - face_head_m[234]))
    brow_to_eye = abs(float(face_head_m[[105, 334], 1].mean() - eyes[1]))
    return Region(
        (float(eyes[0]), float(eyes[1] - brow_to_eye * 0.6), float(eyes[2])), (0.5 * width, brow_to_eye * 2.2, 0.06)
    )


def eye_regions(face_head_m: np.ndarray) -> tuple[Region, ...]:
    """The two eyes with their lids, which move by themselves and say nothing of the head's pose."""
    regions = []
    for outer, inner in ((33, 133), (263, 362)):
        centre = face_head_m[[outer, inner]].mean(0)
        radius = 0.7 * float(np.linalg.norm(face_head_m[outer] - face_head_m[inner]))
        regions.append(Region(tuple(float(value) for value in centre), (radius, radius * 0.8, radius * 1.2), 0.003))
    return tuple(regions)
