"""`head_sync.npz` as the report of the tracking reads it, and crops of frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ...head_sync.head_points_choice import HEAD_OUTLINE_M
from ...workspace.camera import PIXEL_CENTRE
from ...workspace.intervals import intervals
from ...workspace.pose_track import PoseTrack
from ...workspace.poses import project, rotation_log

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, pixels."""

GROUND, NEUTRAL, TEXT, QUIET = (22, 22, 24), (72, 72, 74), (236, 236, 233), (160, 162, 168)
"""Colours: background, beyond a frame, text, and secondary text."""

WORST_PX = 2.0
"""Error that is shown in the last colour, in pixels of the working frame."""

_SCALE = np.array([(45, 212, 232), (255, 221, 64), (255, 52, 40)], np.float64)


@dataclass(frozen=True)
class Tracked(PoseTrack):
    """A `PoseTrack` of N frames and K points as the report shows it: `valid` frames have a pose, the others are bridged."""

    fps: float

    @classmethod
    def of(cls, track: PoseTrack, fps: float) -> Tracked:
        """The track of a clip with `fps` frames a second."""
        finite = np.isfinite(track.head_to_camera).all((1, 2))
        return cls(**{**vars(track), "valid": track.valid & finite}, fps=fps)

    @property
    def frames(self) -> int:
        return len(self.head_to_camera)

    @cached_property
    def finite(self) -> np.ndarray:
        """(N) bool: frames with a pose."""
        return np.isfinite(self.head_to_camera).all((1, 2))

    def bridged_runs(self) -> list[tuple[int, int]]:
        """Runs of frames [start, end) whose pose is interpolated."""
        return intervals(~self.valid)

    def median_frame(self) -> int:
        """The valid frame whose rotation and distance are nearest the clip's medians: a reference."""
        frames = np.flatnonzero(self.valid)
        turns = rotation_log(self.head_to_camera[frames, :3, :3])
        away = self.head_to_camera[frames, 2, 3]
        off = np.linalg.norm(turns - np.median(turns, axis=0), axis=1) + np.abs(np.log(away / np.median(away)))
        return int(frames[np.argmin(off)])

    def head_box(self, frames: np.ndarray) -> Box:
        """Bounding box of the head in `frames`, pixels."""
        around = np.concatenate([self.face_head_m, HEAD_OUTLINE_M])
        at = project(self.head_to_camera[frames], around, self.camera.focal_px, self.principal_px)
        return *at.min((0, 1)), *at.max((0, 1))

    def point_errors(self, frame: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The points that `frame` sees, tracked (M, 2) and reprojected (M, 2), and their distance (M)."""
        seen = self.points_seen[frame]
        tracked = self.points_px[frame, seen].astype(np.float64)
        put = project(
            self.head_to_camera[frame][None], self.points_head_m[seen], self.camera.focal_px, self.principal_px
        )[0]
        return tracked, put, np.linalg.norm(put - tracked, axis=1)


def error_colours(error_px: np.ndarray) -> np.ndarray:
    """Colours (M, 3) uint8 of errors (M): cyan for none, yellow for half of `WORST_PX`, red from there on."""
    at = np.clip(error_px / WORST_PX, 0, 1) * (len(_SCALE) - 1)
    return np.stack([np.interp(at, range(len(_SCALE)), channel) for channel in _SCALE.T], 1).round().astype(np.uint8)


def reduced(box: Box, divisor: float) -> Box:
    """The box in an image that was read at a part of its size."""
    left, top, right, bottom = box
    return left / divisor, top / divisor, right / divisor, bottom / divisor


def to_aspect(box: Box, width_by_height: float, margin: float) -> Box:
    """The smallest box of an aspect about another, grown on each side by `margin` of its longer side first."""
    left, top, right, bottom = box
    grow = margin * max(right - left, bottom - top)
    width, height = right - left + 2 * grow, bottom - top + 2 * grow
    width, height = max(width, height * width_by_height), max(height, width / width_by_height)
    x, y = (left + right) / 2, (top + bottom) / 2
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def cut_out(
    image: np.ndarray,
    box: Box,
    shape: tuple[int, int],
    outside: tuple[int, int, int],
    interpolation: int = cv2.INTER_LINEAR,
) -> np.ndarray:
    """A box of an image at `shape` (height, width); `outside` is the colour beyond the image."""
    step = _step(box, shape)
    corner = np.array(box[:2]) + PIXEL_CENTRE * step - PIXEL_CENTRE
    to_frame = np.array([[step[0], 0, corner[0]], [0, step[1], corner[1]]])
    return cv2.warpAffine(image, to_frame, shape[::-1], flags=interpolation | cv2.WARP_INVERSE_MAP, borderValue=outside)


def in_cut_out(points_px: np.ndarray, box: Box, shape: tuple[int, int]) -> np.ndarray:
    """Points (M, 2) of the frame in pixels of `cut_out` with the same box and shape."""
    step = _step(box, shape)
    return (points_px - np.array(box[:2])) / step


def _step(box: Box, shape: tuple[int, int]) -> np.ndarray:
    """Pixels of the frame, across and down, for one of `cut_out`."""
    return np.array([(box[2] - box[0]) / shape[1], (box[3] - box[1]) / shape[0]])
