"""Our own landmarks of one image after the other become a face: shapes about the person's neutral, and the head's turn.

A short calibration finds the person's face and focal length, as `process` does for a subject; from then on an image takes
some milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from ...face_sync import blendshape_basis, blendshapes, calibration
from ...face_sync.blendshapes import View
from ...head_sync.bundle_adjustment import refine_poses
from ...head_sync.head_motion_tracker import LANDMARK_SIGMA, track_head_motion
from ...head_sync.landmarks import Face
from ...protocol import BLENDSHAPE_NAMES
from ...workspace.landmarks import LEFT_PUPIL, RIGHT_PUPIL, RIGID, RIGID_WEIGHTS
from ...workspace.poses import mean_rotation, rotation_exp, rotation_log
from ...workspace.shapes import Float
from .sample import LiveFace

CAMERA_FOCAL = 0.9
"""Focal length to expect of a webcam, in widths of its image: 58° of view."""

_JITTER, _STILL_SHARE = 0.08, 0.4
"""A shape that changes by this or more is followed at once; one that changes by nothing, by this share an image."""
_JITTER_RAD = 0.03


@dataclass(frozen=True)
class _Person:
    """Who is before the camera.

    Attributes:
        face: neutral, head frame, metres.
        shapes: (52, 478, 3) what each blendshape adds to it.
        rest: the head's rotation in the camera, in the middle of the calibration.
    """

    face: Float[np.ndarray, "478 3"]
    shapes: Float[np.ndarray, "52 478 3"]
    focal_px: float
    rest: Float[np.ndarray, "3 3"]


class FaceTracker:
    """One person before one camera, in the order of the images."""

    def __init__(self, width: int, height: int, focal_px: float | None = None) -> None:
        """
        Args:
            focal_px: to expect; None for that of a webcam.
        """
        self._principal = np.array([width / 2, height / 2])
        self._expected_px = CAMERA_FOCAL * width if focal_px is None else focal_px
        self._person: _Person | None = None
        self._pose = np.eye(4)
        self._values: Float[np.ndarray, " 52"] | None = None
        self._turn = np.eye(3)

    @property
    def is_calibrated(self) -> bool:
        """Whether `face` can be called."""
        return self._person is not None

    def calibrate(self, seen: list[Face]) -> None:
        """Find the person's face, focal length and resting pose.

        Args:
            seen: of some seconds, with the mouth shut in a quarter of them; the more the head turns, the better.
        """
        points = np.stack([face.points_px for face in seen])
        depth = np.stack([face.depth for face in seen])
        detected = np.ones(len(seen), bool)
        with threadpool_limits(1, "blas"):
            motion = track_head_motion(points, depth, detected, self._principal, self._expected_px)
            view = View(motion.poses, motion.focal.px, self._principal)
            face = calibration.neutral_face(motion.face, points, view, detected)
            shapes = blendshape_basis.displacements(face)
        rest = mean_rotation(motion.poses[:, :3, :3])
        self._person, self._pose = _Person(face, shapes, motion.focal.px, rest), motion.poses[-1]

    def face(self, seen: Face) -> LiveFace:
        """The face of an image, after `calibrate`."""
        person = self._person
        assert person is not None
        points = seen.points_px[None].astype(np.float64)
        pupils_px = float(np.linalg.norm(points[0, LEFT_PUPIL] - points[0, RIGHT_PUPIL]))
        weights = (RIGID_WEIGHTS / (LANDMARK_SIGMA * max(pupils_px, 1.0)))[None]
        rigid = person.face[RIGID]
        with threadpool_limits(1, "blas"):
            poses = refine_poses(points[:, RIGID], weights, rigid, self._pose[None], person.focal_px, self._principal)
            view = View(poses, person.focal_px, self._principal)
            values = blendshapes.capture(points, view, person.face, person.shapes, np.ones(1, bool))[0]
        self._pose = poses[0]
        self._steady(values, person.rest.T @ poses[0, :3, :3])
        assert self._values is not None
        return LiveFace(self._values.astype(np.float32), _SHOWN, self._turn)

    def _steady(self, values: np.ndarray, turn: np.ndarray) -> None:
        """Follow what moves at once, and what jitters slowly: the past is all that there is."""
        if self._values is None:
            self._values, self._turn = values.astype(np.float64), turn
            return
        change = values - self._values
        self._values = self._values + change * _share(np.abs(change) / _JITTER)
        about = rotation_log((self._turn.T @ turn)[None])[0]
        self._turn = self._turn @ rotation_exp(about * _share(np.linalg.norm(about) / _JITTER_RAD))


_SHOWN = np.array([name != "tongueOut" for name in BLENDSHAPE_NAMES])
"""Landmarks do not show the tongue."""


def _share(change: np.ndarray | np.floating) -> np.ndarray:
    return _STILL_SHARE + (1 - _STILL_SHARE) * np.minimum(change, 1.0)
