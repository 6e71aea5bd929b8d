"""Stage `head_sync`: a steady head pose for every working frame, into `head_sync.npz`."""

from __future__ import annotations

import numpy as np

from ..errors import FaceError
from ..options import ProcessOptions
from ..progress import Reporter
from ..workspace import Subject, Workspace, key_of, write_arrays
from .bundle_adjustment import residuals_px
from .face_geometry import RIGID
from .head_motion_tracker import expected_focal_px, track_head_motion
from .landmarks_stage import Landmarks

STAGE = "head_sync"
VERSION = 1
LEAST_FRAMES = 12
"""Frames with a face below which a head's shape and motion cannot be told apart."""


def run(workspace: Workspace, options: ProcessOptions, reporter: Reporter) -> None:
    """Estimate focal length, poses and the subject's face, and write `head_sync.npz`.

    Raises:
        FaceError: too few frames show the face.
        Cancelled: the stage begins anew next time.
    """
    workspace.require("landmarks")
    subject = workspace.subject
    key = key_of(STAGE, VERSION, subject.stages["landmarks"])
    path = workspace.root / "head_sync.npz"
    if workspace.stage_is_done(STAGE, key) and path.exists():
        return
    workspace.stage_begins(STAGE, key)
    landmarks = Landmarks.read(workspace.root / "landmarks.npz")
    detected = landmarks.detected
    if detected.sum() < LEAST_FRAMES:
        raise FaceError(
            f"The face is seen in only {int(detected.sum())} of {len(detected)} frames of {subject.source or workspace.root}, "
            f"and {LEAST_FRAMES} are needed: choose a video that shows it longer."
        )
    reporter.progress(STAGE, 0, len(detected), message="poses from landmarks")
    principal = principal_px(subject)
    expected = expected_focal_px(subject.size, subject.crop.size, subject.source_size)
    motion = track_head_motion(landmarks.points_px, landmarks.depth, detected, principal, expected)
    focal = motion.focal
    reporter.info(
        f"Focal length {focal.px:.0f} px of {subject.size} (likely {focal.low_px:.0f} to {focal.high_px:.0f})."
    )
    error = residuals_px(landmarks.points_px[:, RIGID], motion.face[RIGID], motion.poses, focal.px, principal)
    write_arrays(
        path,
        head_to_camera=motion.poses,
        focal_px=focal.px,
        principal_px=principal,
        face_head_m=motion.face,
        points_head_m=np.zeros((0, 3)),
        points_px=np.zeros((len(detected), 0, 2), np.float32),
        points_seen=np.zeros((len(detected), 0), bool),
        reprojection_px=np.where(detected, np.sqrt((error**2).mean(1)), 0.0),
        valid=motion.known,
    )
    reporter.progress(STAGE, len(detected), len(detected))
    workspace.stage_ends(STAGE, key)


def principal_px(subject: Subject) -> np.ndarray:
    """The centre of the source picture, where its optical axis is taken to be, in pixels of the working frame."""
    corner = np.array([subject.crop.x, subject.crop.y])
    return (np.array(subject.source_size) / 2 - corner) * subject.size / subject.crop.size
