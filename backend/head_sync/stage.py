"""Stage `head_sync`: a stable head pose for every working frame, into `head_sync.npz`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ..errors import FaceError, MediaError, ModelError
from ..media.guard import guarded
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.camera import Camera
from ..workspace.files import key_of
from ..workspace.images import read_image
from ..workspace.pose_track import PoseTrack
from ..workspace.shapes import Float, UInt8
from ..workspace.store import Workspace
from ..workspace.subject import Crop, Subject
from .cuts import find_cuts
from .face_model import FaceModel
from .face_model_file import read_face_model
from .head_motion_tracker import expected_focal_px, track_head_motion
from .head_points_tracker import track_head_points
from .landmarks_stage import Landmarks
from .shapes import Frames, Principal
from .stabilizer import StabilizedMotion, stabilize

STAGE = Stage.HEAD_SYNC
VERSION = 7
TRACKING_SHARE = 0.8
"""Of the stage's progress; the rest is that of its report (`evaluation/tracking/report.py`)."""

MIN_FRAMES = 12
"""Frames with a face that are needed to separate a head's shape from its motion."""


def run(
    workspace: Workspace,
    reporter: Reporter,
    keypoints: str = "corners",
    bundle_adjustment: str = "sparse",
    face_model: Path | None = None,
) -> None:
    """Estimate focal length, poses and the subject's face, and write `head_sync.npz`.

    Args:
        keypoints: as `track_head_points` takes it.
        bundle_adjustment: as `stabilize` takes its `method`.
        face_model: a Basel Face Model file (.mat or .h5) to take the face's relief from, in place of MediaPipe's depth.

    Raises:
        FaceError: too few frames show the face.
        Cancelled: the stage starts again next time.
    """
    workspace.require("landmarks")
    subject = workspace.subject
    key = key_of(
        STAGE,
        VERSION,
        subject.stages["landmarks"],
        keypoints,
        bundle_adjustment,
        f"{face_model.resolve()} {face_model.stat().st_size}"
        if face_model and face_model.exists()
        else str(face_model),
    )
    path = workspace.pose_track_path
    if workspace.stage_is_done(STAGE, key) and path.exists():
        return
    model = _read_face_model(face_model) if face_model else None
    workspace.stage_begins(STAGE, key)
    landmarks = Landmarks.read(workspace.root / "landmarks.npz")
    detected = landmarks.detected
    if detected.sum() < MIN_FRAMES:
        raise FaceError(
            f"The face is seen in only {int(detected.sum())} of {len(detected)} frames of "
            f"{subject.source or workspace.root}, at least {MIN_FRAMES} are needed: choose a video that "
            "shows it longer."
        )
    principal = principal_px(subject)
    cuts = find_cuts(landmarks.points_px, detected)
    # For these small systems BLAS threads cost more than they gain, many times so on a busy machine.
    with threadpool_limits(1, "blas"):
        result = _track(workspace, landmarks, cuts, principal, model, keypoints, bundle_adjustment, reporter)
    motion, focal = result.motion, result.motion.focal
    reporter.info(
        f"Focal length {focal.px:.0f} px of {subject.size} (likely {focal.low_px:.0f} to {focal.high_px:.0f})."
    )
    PoseTrack(
        camera=Camera(subject.size, subject.size, focal.px, (float(principal[0]), float(principal[1]))),
        head_to_camera=motion.poses,
        valid=motion.known,
        cuts=cuts,
        face_head_m=motion.face,
        surface_head_m=result.surface_head_m,
        points_head_m=result.points_head_m,
        points_px=result.points_px,
        points_seen=result.seen,
        reprojection_px=result.reprojection_px,
        focal_range_px=(focal.low_px, focal.high_px),
    ).write(path)
    workspace.stage_ends(STAGE, key)


def _track(
    workspace: Workspace,
    landmarks: Landmarks,
    cuts: Frames,
    principal: Principal,
    model: FaceModel | None,
    keypoints: str,
    bundle_adjustment: str,
    reporter: Reporter,
) -> StabilizedMotion:
    """Poses from landmarks, then head points, then both adjusted together."""
    subject, detected = workspace.subject, landmarks.detected
    frames = len(detected)

    def report(share: float, message: str) -> None:
        reporter.progress(STAGE, round(TRACKING_SHARE * share * frames), frames, message=message)

    report(0, "poses from landmarks")
    if cuts.any():
        at = ", ".join(f"{frame / subject.fps:.2f}" for frame in np.flatnonzero(cuts)[:8])
        reporter.info(
            f"The clip is cut at {at} s{' and later' if cuts.sum() > 8 else ''}: motion is not tracked across."
        )
    motion = track_head_motion(
        landmarks.points_px, landmarks.depth, detected, principal, expected_focal(subject), model
    )
    motion = replace(motion, fps=subject.fps)
    head_points = track_head_points(
        lambda frame: read_grey(workspace.frame_path(frame)),
        landmarks.points_px,
        motion,
        principal,
        keypoints=keypoints,
        on_frame=lambda done: report(0.15 + 0.5 * done / frames, "head points"),
    )
    return stabilize(
        motion,
        landmarks.points_px,
        head_points,
        cuts,
        principal,
        method=bundle_adjustment,
        on_step=lambda done: report(0.65 + 0.35 * done, "bundle adjustment"),
    )


def _read_face_model(path: Path) -> FaceModel:
    """The user's face model, read in a separate process: SciPy's reader can crash on a damaged file."""
    try:
        return guarded(read_face_model, path, about=path)
    except MediaError as error:
        raise ModelError(f"The face model {path} is damaged: download it again.") from error


def read_grey(path: Path) -> UInt8[np.ndarray, "h w"]:
    """An image in grey.

    Raises:
        WorkspaceError: missing or damaged.
    """
    return read_image(path, channels=1)[..., 0]


def expected_focal(subject: Subject) -> float:
    """Expected focal length of the clip, in pixels of the working frame."""
    return expected_focal_px(subject.size, _crop(subject).size, subject.source_size)


def principal_px(subject: Subject) -> Float[np.ndarray, " 2"]:
    """The centre of the source frame, where its optical axis is assumed, in pixels of the working frame."""
    crop = _crop(subject)
    return (np.array(subject.source_size) / 2 - (crop.x, crop.y)) * subject.size / crop.size


def _crop(subject: Subject) -> Crop:
    assert subject.crop is not None, "`media` gives every subject its crop"
    return subject.crop
