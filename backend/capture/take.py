"""A capture becomes a take: `animation.npz` and its audio (docs/animation.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import CaptureError
from ..face_sync.footage_beneath import footage_beneath, shapes_beneath
from ..media.audio import write_take_audio
from ..media.audio_rates import DELIVERY_RATE
from ..media.guard import guarded
from ..progress import Reporter
from ..protocol import BLENDSHAPE_NAMES, HEAD_PART, Stage
from ..workspace.animation import Animation
from ..workspace.checkpoint_index import AUTO
from ..workspace.store import Workspace
from .face_capture import FaceCapture
from .parts import PARTS
from .person import PersonRange
from .retarget import Fit, driven_shapes, retargeted_poses, retargeted_shapes

STAGE = Stage.CAPTURE


def write_take(
    workspace: Workspace,
    capture: FaceCapture,
    out: Path,
    fit: Fit,
    reporter: Reporter,
    *,
    audio_offset_ms: float = 0.0,
    idle_s: Sequence[float] = (0.0, 0.0),
    head: str = AUTO,
) -> Animation:
    """Write the animation at the subject's own rate, and beside it the capture's audio.

    Args:
        workspace: processed up to `head_sync`.
        out: of the animation; its audio is `speech.wav` beside `animation.npz`, else `NAME.wav` beside `NAME.npz`.
        audio_offset_ms: how late the audio runs; it is taken out.
        idle_s: the part of the clip to stay in, from and to in seconds; twice 0 for all of it.
        head: of `checkpoint_index.HEADS`: whose poses.

    Raises:
        CaptureError: nothing of what is to be taken is in the capture.
        MediaError, AudioError: the audio cannot be read.
        WorkspaceError: the workspace is not processed, or damaged.
    """
    _check_taken(capture, fit)
    track, rate = workspace.head_track(head=head), workspace.subject.rate
    frames = int(capture.times_s[-1] * float(rate) + 1e-6) + 1
    if capture.times_s[-1] < 0:
        raise CaptureError("The face data ends before its audio begins: give its own audio with --audio.")
    reporter.progress(STAGE, 0, 2, "steps", "choosing footage")
    plate_frame = footage_beneath(workspace, track, frames, idle_s, reporter)
    beneath = shapes_beneath(track, plate_frame, idle_s, rate)
    person = PersonRange.of(track.blendshapes[track.valid])
    shapes = retargeted_shapes(capture, person, beneath, rate, fit)
    poses = retargeted_poses(capture, track.head_to_camera[track.tracked], track.head_to_camera[plate_frame], rate, fit)
    reporter.progress(STAGE, 1, 2, "steps", "writing")
    audio = None
    if capture.audio is not None:
        audio = out.with_name("speech.wav" if out.stem == "animation" else f"{out.stem}.wav")
        lasts_s = frames / float(rate)
        source, folders = capture.audio, (out.parent,)
        asked = source, lasts_s, audio, DELIVERY_RATE, audio_offset_ms / 1000
        guarded(write_take_audio, *asked, reporter=reporter, about=source, folders=folders)
    animation = Animation(shapes, poses, track.camera, plate_frame, rate, audio)
    animation.write(out)
    reporter.progress(STAGE, 2, 2, "steps")
    return animation


def taken_parts(capture: FaceCapture, take: Sequence[str]) -> tuple[str, ...]:
    """Of the parts to take those that the capture drives."""
    driven = driven_shapes(capture)
    has_head = capture.head_turn is not None or capture.head_shift_m is not None
    return tuple(part for part in take if (has_head if part == HEAD_PART else driven[PARTS[part]].any()))


def missing_shapes(capture: FaceCapture, take: Sequence[str]) -> tuple[str, ...]:
    """Names of the shapes that rest because the capture lacks them, though it drives their part."""
    parts = [PARTS[part] for part in taken_parts(capture, take) if part != HEAD_PART]
    lacking = np.concatenate([indices[~driven_shapes(capture)[indices]] for indices in parts]) if parts else ()
    return tuple(BLENDSHAPE_NAMES[index] for index in lacking)


def _check_taken(capture: FaceCapture, fit: Fit) -> None:
    if not taken_parts(capture, fit.take):
        has = taken_parts(capture, (*PARTS, HEAD_PART))
        there = f"it moves {' and '.join(has)}: take that" if has else "nothing moves in it: export the take again"
        raise CaptureError(f"The capture does not move {' or '.join(fit.take)}; {there}.")
