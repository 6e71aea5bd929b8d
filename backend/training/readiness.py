"""Whether a trained head is ready: rendered frames are tracked and compared with those of the clip.

PSNR does not show this: a head whose mouth never opens reaches 28 dB. Frames of the clip give the motion that is asked
for (most shut to most open mouth, shut to open eyes), other, mostly held-out frames the pose, so that what is measured
is the head's answer to its blendshapes and not a memorised frame. `checkpoints/readiness.json`, and that of the Gaussian twin
beside it, are written here alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from ..errors import ModelError
from ..evaluation.landmarks import lip_reader
from ..evaluation.metrics import range_ratio
from ..evaluation.response import EYES, MOUTH, Response, motion_range, response
from ..face_sync.speech import MOUTH_INDEX
from ..head_sync.landmarks import landmarker_source
from ..portrait_sync.blend import over
from ..progress import Reporter
from ..protocol import BLENDSHAPE_NAMES, Stage
from ..renderer.regions import UPPER_FACE
from ..workspace.checkpoint_index import AUTO, readiness_path
from ..workspace.files import read_arrays, write_json
from ..workspace.head_track import HeadTrack
from ..workspace.landmarks import eye_opening, lip_opening
from ..workspace.store import Workspace
from . import checkpoints
from .lip_gain import write_lip_range
from .outlook import outlook

FRAMES, BASES = 32, 4
"""Motions asked for, and poses in which they are rendered; in each pose also with the blink sliders at 0 and at 1."""
SIZE = 256
"""Side of the rendered frames, pixels: gains read at 512 differ by 0.03 at most and cost three times as much."""

RENDERED = FRAMES + 2 * BASES
_BLINK_INDEX = np.array([BLENDSHAPE_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")])
_UPPER_INDEX = np.array([BLENDSHAPE_NAMES.index(name) for name in UPPER_FACE])


@dataclass(frozen=True)
class Readiness:
    """What was measured of one checkpoint.

    Attributes:
        checkpoint: its file's name.
        head: `gaussians` or `field`.
        step, minutes: how far it was trained.
        mouth, eyes: their responses.
        advice: what more training will do, or what the clip lacks; sentences for the user.
        landmarks: `task` or `mesh`, which tracked the frames.
    """

    checkpoint: str
    head: str
    step: int
    minutes: float
    mouth: Response
    eyes: Response
    advice: str
    landmarks: str

    def to_json(self) -> dict[str, Any]:
        """As it is kept and returned by `train`."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """Which frames are rendered: (N) numbers of the frames that give the pose, the mouth and the eyes."""

    pose: np.ndarray
    mouth: np.ndarray
    eyes: np.ndarray


def plan_frames(tracking: HeadTrack, first_test_frame: int) -> Plan:
    """Mouths by quantiles of their opening, eyes in equal steps of theirs (blinks are few frames), in shuffled pairs."""
    valid = np.flatnonzero(tracking.valid)
    held_out = valid[valid >= first_test_frame]
    bases = held_out if len(held_out) >= BASES else valid
    bases = bases[np.linspace(0, len(bases) - 1, BASES).astype(int)]
    openings = lip_opening(tracking.landmarks_px)[valid], eye_opening(tracking.landmarks_px)[valid]
    by_mouth = valid[np.argsort(openings[0])]
    mouth = by_mouth[np.linspace(0, len(by_mouth) - 1, FRAMES).round().astype(int)]
    ordered = np.sort(openings[1])
    trimmed = min(2, (len(ordered) - 1) // 2)
    levels = np.linspace(ordered[trimmed], ordered[-1 - trimmed], FRAMES)
    eyes = valid[np.abs(openings[1][:, None] - levels).argmin(0)]
    rng = np.random.default_rng(0)
    # One pose after another: the face mesh searches the face where it was in the frame before.
    return Plan(np.repeat(bases, FRAMES // BASES), rng.permutation(mouth), rng.permutation(eyes))


def measure(workspace: Workspace, reporter: Reporter, head: str = AUTO) -> Readiness | None:
    """Measure the newest checkpoint of a head and keep the result; also how far its lips open, for `lip_gain`.

    Args:
        head: of `checkpoint_index.HEADS`.

    Returns:
        None, with a warning, where no landmarker is installed.

    Raises:
        WorkspaceError: nothing was trained.
        Cancelled: the checkpoint stays, not measured.
    """
    checkpoint = checkpoints.load_for_rendering(workspace, reporter, head)
    tracking = workspace.head_track(head=checkpoint.kind)
    plan = plan_frames(tracking, workspace.subject.first_test_frame)
    tracked_by = str(read_arrays(workspace.root / "landmarks.npz")["source"])
    real_mouth, real_eyes = tracking.landmarks_px[plan.mouth], tracking.landmarks_px[plan.eyes]
    try:
        with lip_reader(_installed(tracked_by)) as (landmarker, read):
            rendered = np.array([read(frame) for frame in _rendered(workspace, checkpoint, tracking, plan, reporter)])
            source = landmarker.source
            if source != tracked_by:  # two landmarkers see different openings: both sides by the one that is here
                real_mouth, real_eyes = (
                    np.array([read(_resized(workspace.read_frame(index))) for index in frames.tolist()])
                    for frames in (plan.mouth, plan.eyes)
                )
    except ModelError as error:
        reporter.warning(f"Mouth and eyes could not be measured: {error}")
        return None
    reporter.progress(Stage.READINESS, RENDERED, RENDERED)
    rendered, sliders = rendered[:FRAMES], rendered[FRAMES:]
    clip = tracking.landmarks_px[tracking.valid]
    blink_range = motion_range(eye_opening(clip))
    mouth = response(lip_opening(rendered), lip_opening(real_mouth), motion_range(lip_opening(clip)), MOUTH)
    eyes = response(eye_opening(rendered), eye_opening(real_eyes), blink_range, EYES)
    at_0, at_1 = eye_opening(sliders).reshape(BASES, 2).T
    eyes = eyes.with_slider(float(np.mean(at_0 - at_1)) / max(blink_range, 1e-6), EYES)
    minutes = float(checkpoint.state.get("elapsed_s", 0.0)) / 60
    plateaued = float(checkpoint.state.get("skipped", 0.0)) > 0
    found = Readiness(
        checkpoint.path.name,
        checkpoint.kind,
        int(checkpoint.state["step"]),
        round(minutes, 2),
        mouth,
        eyes,
        outlook(mouth, eyes, minutes, workspace.subject.duration_s, plateaued),
        source,
    )
    write_json(readiness_path(workspace.checkpoints, checkpoint.kind), found.to_json())
    reporter.info(summary(found))
    write_lip_range(workspace, checkpoint.path, _finite(range_ratio(lip_opening(rendered), lip_opening(real_mouth))))
    return found


def summary(found: Readiness) -> str:
    """One line for a terminal."""
    parts = [
        f"{name} {part.grade}" + ("" if part.gain is None else f" (gain {part.gain:.2f}, r {part.correlation:.2f})")
        for name, part in (("mouth", found.mouth), ("eyes", found.eyes))
    ]
    return f"Measured on frames tracked again: {', '.join(parts)}. {found.advice}".strip()


def _rendered(
    workspace: Workspace, checkpoint: checkpoints.Checkpoint, tracking: HeadTrack, plan: Plan, reporter: Reporter
) -> Iterator[np.ndarray]:
    """The head in each pose with each mouth and eyes, then with the blink sliders at 0 and 1 in turn, over the pose's own
    background: (SIZE, SIZE, 3) uint8."""
    own = checkpoint.lips.clip_conditions(workspace, tracking.blendshapes)
    renderer = checkpoint.renderer()
    camera = tracking.camera.scaled(SIZE, SIZE)
    lips = np.concatenate([MOUTH_INDEX, np.arange(len(BLENDSHAPE_NAMES), own.shape[1])])
    asked = []
    for pose, mouth, eyes in zip(plan.pose.tolist(), plan.mouth, plan.eyes, strict=True):
        conditions = own[pose].copy()
        conditions[lips] = own[mouth][lips]
        conditions[_UPPER_INDEX] = own[eyes][_UPPER_INDEX]
        asked.append((pose, conditions))
    for pose in plan.pose[:: FRAMES // BASES].tolist():
        for slider in (0.0, 1.0):
            conditions = own[pose].copy()
            conditions[_BLINK_INDEX] = slider
            asked.append((pose, conditions))
    for done, (pose, conditions) in enumerate(asked):
        reporter.progress(Stage.READINESS, done, RENDERED)
        rgba = renderer.render(camera, tracking.head_to_camera[pose], conditions).rgba
        yield over(rgba, _resized(workspace.read_plate(pose)))


def _resized(image: np.ndarray) -> np.ndarray:
    """To the size of the rendered frames."""
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _installed(source: str) -> str:
    """The landmarker that tracked the clip, where it is still installed, else any."""
    try:
        return landmarker_source(source)
    except ModelError:
        return "auto"


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
