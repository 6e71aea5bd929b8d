"""What `head_sync` found, to be looked at: `stabilized.mp4`, `poses.svg` and `points.png` in `reports/head_sync/`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ...progress import Reporter
from ...workspace.files import atomic_path, read_arrays
from ...workspace.images import write_image
from ...workspace.store import Workspace
from .. import charts
from .points_sheet import points_sheet
from .stabilized_video import write_stabilized_film
from .tracked import Tracked

STAGE = "head_sync"
FILM, POSES, POINTS = "stabilized.mp4", "poses.svg", "points.png"
MOST_DRAWN = 6000
"""Frames a curve is drawn of; of a longer clip every second, third and so on."""

REPORT_SHARE = 0.2
"""Of the stage's time: progress counts on from the tracking's, or time left would be told as none."""


def write_head_sync_report(workspace: Workspace, reporter: Reporter) -> list[Path]:
    """Write the stabilised film, the pose curves and the points of `head_sync.npz`; each file whole or not at all.

    Returns:
        The files, in `reports/head_sync/`.

    Raises:
        WorkspaceError: `head_sync.npz` or a frame is missing or damaged.
        StorageError: the disk is full or the place is read-only.
        Cancelled: files that were finished stay.
    """
    folder = workspace.reports / "head_sync"
    tracked = Tracked.of(read_arrays(workspace.root / "head_sync.npz"), workspace.subject.fps)
    frames = tracked.frames

    def tell(done: int) -> None:
        share = 1 - REPORT_SHARE * (1 - done / max(frames, 1))
        reporter.progress(STAGE, round(share * frames), frames, message="pictures of the tracking")

    tell(0)
    if not tracked.valid.any():
        return []
    with atomic_path(folder / POSES) as temporary:
        temporary.write_text(pose_curves(tracked), encoding="utf-8")
    write_image(folder / POINTS, points_sheet(tracked, workspace.read_frame))
    write_stabilized_film(folder / FILM, tracked, workspace.frame_path, workspace.subject.size, tell)
    return [folder / name for name in (FILM, POSES, POINTS)]


def pose_curves(tracked: Tracked) -> str:
    """SVG: pitch, yaw and roll in degrees, place in mm about its median, and reprojection error, over seconds.

    In the camera's axes, x right, y down, z forward: pitch turns about x, yaw about y, roll about z.
    """
    known = tracked.finite
    poses = np.where(known[:, None, None], tracked.poses, np.eye(4))
    yaw, pitch, roll = Rotation.from_matrix(poses[:, :3, :3]).as_euler("YXZ", degrees=True).T
    place = (poses[:, :3, 3] - np.median(poses[tracked.valid, :3, 3], axis=0)) * 1000
    error = np.where(tracked.valid, tracked.reprojection_px, np.nan)
    every = -(-tracked.frames // MOST_DRAWN)

    def curve(values: np.ndarray, colour: str, name: str) -> tuple[np.ndarray, str, str]:
        return np.where(known, values, np.nan)[::every], colour, name

    low, high = tracked.focal_range_px
    heading = f"Focal length {tracked.focal_px:.0f} px, likely {low:.0f} to {high:.0f} px"
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
    return charts.standalone(svg)
