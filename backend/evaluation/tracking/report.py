"""The report of `head_sync`: `stabilized.mp4`, `poses.svg` and `points.png` in `reports/head_sync/`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ...head_sync.stage import STAGE, TRACKING_SHARE
from ...progress import Reporter
from ...workspace.files import atomic_path
from ...workspace.images import write_image
from ...workspace.store import Workspace
from .. import chart_svg, charts
from .points_sheet import points_sheet
from .stabilized_video import write_stabilized_video
from .tracked import Tracked

VIDEO, POSES, POINTS = "stabilized.mp4", "poses.svg", "points.png"
MAX_DRAWN = 6000
"""Frames of a curve; of a longer clip every second, third and so on is drawn."""


def write_head_sync_report(workspace: Workspace, reporter: Reporter) -> list[Path]:
    """Write the stabilised video, the pose curves and the points of `head_sync.npz`, unless they are newer than it; each
    file is complete or absent. `process` calls it after the stage.

    Returns:
        The files, in `reports/head_sync/`; none where no frame has a pose.

    Raises:
        WorkspaceError: `head_sync.npz` or a frame is missing or damaged.
        StorageError: the disk is full or the place is read-only.
        Cancelled: files that were finished stay.
    """
    tracking = workspace.pose_track_path
    files = [workspace.reports / "head_sync" / name for name in (VIDEO, POSES, POINTS)]
    video_path, poses_path, points_path = files
    # The video is written last: it alone shows how old the files are.
    if (
        all(path.exists() for path in (tracking, *files))
        and video_path.stat().st_mtime_ns > tracking.stat().st_mtime_ns
    ):
        return files
    tracked = Tracked.of(workspace.pose_track(), workspace.subject.fps)
    frames = tracked.frames

    def on_frame(done: int) -> None:
        share = TRACKING_SHARE + (1 - TRACKING_SHARE) * done / max(frames, 1)
        reporter.progress(STAGE, round(share * frames), frames, message="report of the tracking")

    on_frame(0)
    if not tracked.valid.any():
        return []
    with atomic_path(poses_path) as temporary:
        temporary.write_text(pose_curves(tracked), encoding="utf-8")
    write_image(points_path, points_sheet(tracked, workspace.read_frame))
    write_stabilized_video(video_path, tracked, workspace.frame_path, workspace.subject.size, on_frame)
    return files


def pose_curves(tracked: Tracked) -> str:
    """SVG: pitch, yaw and roll in degrees, place in mm about its median, and reprojection error, over seconds.

    In the camera's axes, x right, y down, z forward: pitch turns about x, yaw about y, roll about z.
    """
    known = tracked.finite
    poses = np.where(known[:, None, None], tracked.head_to_camera, np.eye(4))
    yaw, pitch, roll = Rotation.from_matrix(poses[:, :3, :3]).as_euler("YXZ", degrees=True).T
    place = (poses[:, :3, 3] - np.median(poses[tracked.valid, :3, 3], axis=0)) * 1000
    error = np.where(tracked.valid, tracked.reprojection_px, np.nan)
    every = -(-tracked.frames // MAX_DRAWN)

    def curve(values: np.ndarray, colour: str, name: str) -> tuple[np.ndarray, str, str]:
        return np.where(known, values, np.nan)[::every], colour, name

    low, high = tracked.focal_range_px
    heading = f"Focal length {tracked.camera.focal_px:.0f} px, likely {low:.0f} to {high:.0f} px"
    heading += f".  Reprojection error: median {np.nanmedian(error):.2f} px, at most {np.nanmax(error):.2f} px."
    if not tracked.valid.all():
        heading += "  Shaded: bridged."
    if tracked.cuts.any():
        heading += "  Dashed: cut."
    time_s = np.arange(tracked.frames) / tracked.fps
    turns = [curve(pitch, "s2", "pitch"), curve(yaw, "s1", "yaw"), curve(roll, "s3", "roll")]
    moves = [(place[:, 0], "s1", "x, right"), (place[:, 1], "s2", "y, down"), (place[:, 2], "s3", "z, away")]
    svg = charts.stacked(
        time_s[::every],
        [
            charts.Row("degrees", turns, 190),
            charts.Row("mm from median", [curve(*move) for move in moves], 190),
            charts.Row("error, px", [curve(error, "s4", "reprojection")], 110, y_range=(0, None)),
        ],
        x_label="seconds",
        bands=[(start / tracked.fps, end / tracked.fps) for start, end in tracked.bridged_runs()],
        marks=np.flatnonzero(tracked.cuts) / tracked.fps,
        heading=heading,
    )
    return chart_svg.standalone(svg)
