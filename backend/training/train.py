"""Training a head: the field, then its Gaussian twin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..progress import Reporter
from ..workspace.checkpoint_index import FIELD, GAUSSIANS
from ..workspace.store import Workspace
from .field_trainer import FieldTrainer
from .gaussians.cloud import NoSurfaceError
from .gaussians.trainer import GaussianTrainer
from .presets import Preset
from .schedule import twin_steps

BOTH = "both"


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
    device: str = "cpu",
    steps: int | None = None,
    further: bool = False,
    head: str = BOTH,
) -> TrainResult:
    """Train the workspace's head, or resume from its last checkpoint: the field, then its Gaussian twin.

    Args:
        minutes: training time, the preset's when None; it includes what an earlier run of this training took.
        device: of the field (`renderer.devices.select`).
        steps: train this many steps instead, however long they take.
        further: where the earlier training is complete, add these minutes or steps to it.
        head: `both`, `field` alone, or `gaussians` for a field that is there.

    Raises:
        ConsentError: the consent of the person shown is not recorded.
        WorkspaceError: preprocessing is missing, or too few frames show the face.
    """
    workspace.require("media", "landmarks", "head_sync", "face_sync", "portrait_sync")
    workspace.require_consent()
    minutes = minutes if minutes is not None else preset.minutes
    field_share = {BOTH: preset.field_share, FIELD: 1.0, GAUSSIANS: 0.0}[head]
    arguments = workspace, preset, reporter, minutes, seed, device, steps, field_share
    with FieldTrainer(*arguments, resume_only=head == GAUSSIANS) as trainer:
        if head != GAUSSIANS:
            if further:
                trainer.extend_if_complete()
            path = trainer.run()
        if head != FIELD:
            try:
                return _train_twin(trainer, head, steps, further)
            except NoSurfaceError as error:
                if head == GAUSSIANS:
                    raise
                reporter.warning(str(error))
        return TrainResult(trainer.step, trainer.elapsed_s / 60, trainer.psnr, path)


def _train_twin(trainer: FieldTrainer, head: str, steps: int | None, further: bool) -> TrainResult:
    """The twin of a trained field, in what is left of the time."""
    elapsed_s = trainer.elapsed_s if head == BOTH else 0.0
    twin_limit = None if steps is None else twin_steps(steps)
    twin = GaussianTrainer(trainer, trainer.total_s - elapsed_s, twin_limit)
    if further and twin.complete:
        twin.extend()
    path = twin.run()
    return TrainResult(twin.step, (trainer.elapsed_s + twin.elapsed_s) / 60, twin.psnr, path)
