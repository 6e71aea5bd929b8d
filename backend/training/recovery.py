"""A training that diverged resumes from its last checkpoint with lower rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SyncTalkError
from . import checkpoints

if TYPE_CHECKING:
    from .field_trainer import FieldTrainer
    from .gaussians.trainer import GaussianTrainer

MAX_RECOVERIES = 3


class Diverged(Exception):
    """A loss or a weight is not finite, or the head has collapsed."""


def recover(trainer: FieldTrainer | GaussianTrainer, error: Diverged, times: int) -> None:
    """Restore the last checkpoint and halve the rates.

    Args:
        times: recoveries of this run, this one included.

    Raises:
        SyncTalkError: there is no checkpoint, or training has diverged too often.
    """
    checkpoint = checkpoints.load_newest(trainer.workspace, trainer.reporter, trainer.kind)
    if checkpoint is None or times > MAX_RECOVERIES:
        raise SyncTalkError(
            f"Training diverged at step {trainer.step} ({error}): run train again. If it recurs, check "
            "reports/training.png for broken frames, and report it with the clip's size and length."
        ) from error
    step = trainer.step
    trainer.restore(checkpoint)
    trainer.monitor.begin(trainer.step)
    trainer.rate_scale *= 0.5
    trainer.reseed(times)
    trainer.reporter.warning(
        f"Training diverged at step {step} ({error}): it resumes from step {trainer.step} at half the learning rate."
    )
