"""Watching a training: PSNR of frames it learns from and of frames kept out, a preview picture, the log, early stop."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..evaluation.metrics import psnr
from ..portrait_sync.blend import over
from ..renderer.render import Renderer
from ..workspace.camera import Camera
from ..workspace.files import atomic_path
from ..workspace.images import write_image
from ..workspace.store import Workspace

SHOWN = 6
"""Frames of either kind that are looked at."""
_STRETCHES = 3
_STRETCH_FRAMES = 15
_STRETCH_SHARE = 0.03
_PATIENCE_STEPS = 2000
"""Without gain after which a training has learnt what it can."""
_GAIN_DB = 0.02
_PACE_SECONDS = 10.0
_COLLAPSE_DB = 6.0
_EQUAL_DB = 100.0


def validation_split(usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames to learn from, and frames to judge by: whole stretches, since a frame's neighbours show nearly the same.

    Three stretches, each 3 % of the clip and at most 15 frames, are kept out; of them those in the middle are judged.

    Args:
        usable: (N) indices of the frames before the held-out part.
    """
    if len(usable) < 2 * SHOWN:
        return usable, usable  # too few to learn from, which the pool of frames tells
    length = min(_STRETCH_FRAMES, max(1, int(len(usable) * _STRETCH_SHARE)))
    out, judged = np.zeros(len(usable), bool), []
    each = SHOWN // _STRETCHES
    for number in range(_STRETCHES):
        first = int(len(usable) * (number + 0.5) / _STRETCHES) - length // 2
        out[first : first + length] = True
        middle = first + (np.arange(each) + 1) * length // (each + 1)
        judged += usable[np.unique(middle)].tolist()
    return usable[~out], np.array(judged)


@dataclass(frozen=True)
class Look:
    """One look at a training; decibels inside the head's matte."""

    step: int
    minutes: float
    psnr_train: float
    psnr_validation: float
    steps_per_s: float


@dataclass
class Watch:
    """Looks at the head while it is trained.

    Args:
        learnt, kept_out: frames of the clip.
        camera: of the reduced picture.
    """

    workspace: Workspace
    learnt: np.ndarray
    kept_out: np.ndarray
    camera: Camera
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._steps: deque[tuple[float, int]] = deque()
        self._log = self.workspace.checkpoints / "log.jsonl"
        self._read: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._learnt = self.learnt[np.linspace(0, len(self.learnt) - 1, SHOWN).astype(int)]

    def begin(self, step: int) -> None:
        """Take up the log of an earlier run up to `step`; what it did after its last checkpoint is done again."""
        self.looks = []
        if step and self._log.exists():
            for line in self._log.read_text(encoding="utf-8").splitlines():
                try:
                    look = Look(**json.loads(line))
                except (ValueError, TypeError):
                    continue  # a line cut off, or of another version
                if look.step <= step:
                    self.looks.append(look)
        self._write()

    def look(
        self, renderer: Renderer, poses: np.ndarray, blendshapes: np.ndarray, step: int, minutes: float, rate: float
    ) -> Look:
        """Measure, write the log and `reports/training.png`: truth above, prediction below."""

        def judged(frames: np.ndarray) -> tuple[float, list[np.ndarray]]:
            values, pictures = [], []
            for frame in frames.tolist():
                truth, plate, head = self._known(frame)
                predicted = over(renderer.render(self.camera, poses[frame], blendshapes[frame]).rgba, plate)
                value = psnr(predicted, truth, head)
                if not np.isnan(value):  # no head in the picture
                    values.append(min(value, _EQUAL_DB))
                pictures.append(np.concatenate([truth, predicted], 0))
            return float(np.mean(values)) if values else 0.0, pictures

        learnt, _ = judged(self._learnt)
        kept_out, pictures = judged(self.kept_out)
        found = Look(step, minutes, learnt, kept_out, rate)
        write_image(self.preview, np.concatenate(pictures[:: max(1, len(pictures) // 4)][:4], 1))
        self.looks.append(found)
        self._write()
        return found

    @property
    def preview(self) -> Path:
        """The picture that `look` writes."""
        return self.workspace.reports / "training.png"

    def pace(self, step: int, now: float) -> str:
        """How fast it trains, over the last `_PACE_SECONDS`; empty until that is known. For the end of a message."""
        self._steps.append((now, step))
        while now - self._steps[0][0] > _PACE_SECONDS and len(self._steps) > 2:
            self._steps.popleft()
        began, first = self._steps[0]
        seconds = now - began
        if seconds < 1 or step <= first:
            return ""
        rate = (step - first) / seconds
        return f", {rate:.0f} steps/s" if rate >= 1 else f", {1 / rate:.1f} s a step"

    def has_learnt_what_it_can(self, since_step: int) -> bool:
        """Whether the frames kept out have not gained for `_PATIENCE_STEPS`, counted from `since_step`."""
        looks = [look for look in self.looks if look.step > since_step]
        late = [look.psnr_validation for look in looks if look.step > looks[-1].step - _PATIENCE_STEPS]
        early = [look.psnr_validation for look in looks[: len(looks) - len(late)]]
        return bool(early) and max(late) < max(early) + _GAIN_DB

    def has_collapsed(self) -> bool:
        """Whether the head has become far worse than it was: the rates were too high for it."""
        values = [look.psnr_train for look in self.looks]
        return bool(values) and values[-1] < max(values) - _COLLAPSE_DB

    def _known(self, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The true picture, the plate, and where the head is, of one frame at the training size; read once."""
        if frame not in self._read:
            size = (self.camera.width, self.camera.height)
            files = self.workspace.read_frame(frame), self.workspace.read_plate(frame), self.workspace.read_matte(frame)
            truth, plate, matte = (
                image if image.shape[1::-1] == size else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
                for image in files
            )
            self._read[frame] = truth, plate, matte[..., 0] > 127
        return self._read[frame]

    def _write(self) -> None:
        with atomic_path(self._log) as temporary:
            text = "".join(json.dumps(vars(look)) + "\n" for look in self.looks)
            temporary.write_text(text, encoding="utf-8")
