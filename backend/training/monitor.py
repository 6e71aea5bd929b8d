"""Evaluations during a training: PSNR of training and validation frames, a preview image, the log, early stopping."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ..evaluation.metrics import psnr
from ..portrait_sync.blend import behind_cover, over
from ..renderer.head import HeadRenderer
from ..workspace.camera import Camera
from ..workspace.files import atomic_path
from ..workspace.frame_rate import frames_of
from ..workspace.images import write_image
from ..workspace.store import Workspace

EVALUATED_FRAMES = 6
"""Of either kind."""
_RUNS, _RUN_S, _RUN_SHARE = 3, 0.6, 0.03
_PATIENCE_STEPS = 2000
"""Without gain after which a training has plateaued."""
_GAIN_DB = 0.02
_PACE_SECONDS = 10.0
_COLLAPSE_DB = 6.0
_EQUAL_DB = 100.0


def validation_split(usable: np.ndarray, rate: Fraction) -> tuple[np.ndarray, np.ndarray]:
    """Training frames and the validation frames that are evaluated.

    Three runs, each 3 % of the clip and at most 0.6 s, are not trained on, as neighbouring frames are nearly equal;
    those in their middle are evaluated.

    Args:
        usable: (N) indices of the frames before the test frames.
        rate: frames a second.
    """
    if len(usable) < 2 * EVALUATED_FRAMES:
        return usable, usable  # too few to train on, which FramePool reports
    length = min(frames_of(_RUN_S, rate), max(1, int(len(usable) * _RUN_SHARE)))
    excluded, evaluated = np.zeros(len(usable), bool), []
    each = EVALUATED_FRAMES // _RUNS
    for number in range(_RUNS):
        first = int(len(usable) * (number + 0.5) / _RUNS) - length // 2
        excluded[first : first + length] = True
        middle = first + (np.arange(each) + 1) * length // (each + 1)
        evaluated += usable[np.unique(middle)].tolist()
    return usable[~excluded], np.array(evaluated)


@dataclass(frozen=True)
class EvalRecord:
    """One evaluation of a training; decibels inside the head's matte."""

    step: int
    minutes: float
    psnr_train: float
    psnr_validation: float
    steps_per_s: float


@dataclass
class Monitor:
    """Evaluates the head while it is trained.

    Args:
        training_frames, validation_frames: indices in the clip.
        camera: of the frames at the training size.
    """

    workspace: Workspace
    training_frames: np.ndarray
    validation_frames: np.ndarray
    camera: Camera
    records: list[EvalRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._later: list[EvalRecord] = []
        self._steps: deque[tuple[float, int]] = deque()
        self._log = self.workspace.checkpoints / "log.jsonl"
        self._references: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]] = {}
        evaluated = np.linspace(0, len(self.training_frames) - 1, EVALUATED_FRAMES).astype(int)
        self._evaluated_training_frames = self.training_frames[evaluated]

    def begin(self, step: int, keep_later: bool = False) -> None:
        """Read the log of an earlier run up to `step`.

        Args:
            keep_later: later records are those of the twin of a field that is complete, which `resume` takes back; else they
                belong to steps that are trained again, and go.
        """
        self.records, self._later = [], []
        if step and self._log.exists():
            for line in self._log.read_text(encoding="utf-8").splitlines():
                try:
                    record = EvalRecord(**json.loads(line))
                except (ValueError, TypeError):
                    continue  # a line cut off, or of another version
                if record.step <= step or keep_later:
                    (self.records if record.step <= step else self._later).append(record)
        self._write()

    def resume(self, step: int) -> None:
        """Take back the records up to `step` that `begin` has set aside."""
        self.records += [record for record in self._later if record.step <= step]
        self._later = []
        self._write()

    def evaluate(
        self, renderer: HeadRenderer, poses: np.ndarray, conditions: np.ndarray, step: int, minutes: float, rate: float
    ) -> EvalRecord:
        """Measure, write the log and `reports/training.png`: truth above, prediction below."""

        def measured(frames: np.ndarray) -> tuple[float, list[np.ndarray]]:
            values, images = [], []
            for frame in frames.tolist():
                truth, plate, head, cover = self._reference(frame)
                rgba = renderer.render(self.camera, poses[frame], conditions[frame]).rgba
                predicted = over(behind_cover(rgba, cover), plate)
                value = psnr(predicted, truth, head)
                if not np.isnan(value):  # no head in the frame
                    values.append(min(value, _EQUAL_DB))
                images.append(np.concatenate([truth, predicted], 0))
            return float(np.mean(values)) if values else 0.0, images

        psnr_train, _ = measured(self._evaluated_training_frames)
        psnr_validation, images = measured(self.validation_frames)
        record = EvalRecord(step, minutes, psnr_train, psnr_validation, rate)
        write_image(self.preview, np.concatenate(images[:: max(1, len(images) // 4)][:4], 1))
        self.records.append(record)
        self._write()
        return record

    @property
    def preview(self) -> Path:
        """The image that `evaluate` writes."""
        return self.workspace.reports / "training.png"

    def pace(self, step: int, now: float) -> str:
        """Speed over the last `_PACE_SECONDS`, for the end of a message; empty until known."""
        self._steps.append((now, step))
        while now - self._steps[0][0] > _PACE_SECONDS and len(self._steps) > 2:
            self._steps.popleft()
        began, first = self._steps[0]
        seconds = now - began
        if seconds < 1 or step <= first:
            return ""
        rate = (step - first) / seconds
        return f", {rate:.0f} steps/s" if rate >= 1 else f", {1 / rate:.1f} s a step"

    def has_plateaued(self, since_step: int) -> bool:
        """Whether the validation frames have gained nothing for `_PATIENCE_STEPS`, counted from `since_step`."""
        records = [record for record in self.records if record.step > since_step]
        late = [record.psnr_validation for record in records if record.step > records[-1].step - _PATIENCE_STEPS]
        early = [record.psnr_validation for record in records[: len(records) - len(late)]]
        return bool(early) and max(late) < max(early) + _GAIN_DB

    def has_collapsed(self) -> bool:
        """Whether the head has become far worse than before: the learning rates were too high."""
        values = [record.psnr_train for record in self.records]
        return bool(values) and values[-1] < max(values) - _COLLAPSE_DB

    def _reference(self, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """The true frame, the plate, where the head is, and what covers it, at the training size; read once."""
        if frame not in self._references:
            size = (self.camera.width, self.camera.height)
            files = self.workspace.read_frame(frame), self.workspace.read_plate(frame), self.workspace.read_matte(frame)
            truth, plate, matte = (
                image if image.shape[1::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                for image in files
            )
            cover = self.workspace.read_cover(frame)
            if cover is not None:
                cover = cv2.resize(cover, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
            self._references[frame] = truth, plate, matte[..., 0] > 127, cover
        return self._references[frame]

    def _write(self) -> None:
        with atomic_path(self._log) as temporary:
            text = "".join(json.dumps(vars(record)) + "\n" for record in [*self.records, *self._later])
            temporary.write_text(text, encoding="utf-8")
