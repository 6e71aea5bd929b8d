"""Sections of the report: the poses of head_sync, and the tracking as it is after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.images import read_image
from ...workspace.store import Workspace
from .. import charts
from ..images import data_address
from ..tracking.report import POINTS, POSES, VIDEO
from . import addresses

_CURVES = ("jawOpen", "mouthPucker", "mouthSmileLeft", "eyeBlinkLeft", "browInnerUp")


def head_sync_section(workspace: Workspace, out_path: Path) -> dict[str, Any] | None:
    """What `head_sync` wrote to be checked by eye; a video too large to embed is linked."""
    video, poses, points = (workspace.reports / "head_sync" / name for name in (VIDEO, POSES, POINTS))
    section: dict[str, Any] = {"video": None, "video_link": None, "video_size": None, "points": None, "poses": None}
    if video.exists() and video.stat().st_size <= addresses.EMBEDDED_VIDEO_BYTES:
        section["video"] = addresses.file_address(video, "video/mp4")
    elif video.exists():
        section["video_link"] = addresses.link(video, out_path)
        section["video_size"] = f"{video.stat().st_size / 1e6:.0f} MB"
    if points.exists():
        section["points"] = data_address(read_image(points), side=1440)
    if poses.exists():
        section["poses"] = addresses.file_address(poses, "image/svg+xml")
    return section if any(section.values()) else None


def tracking_section(workspace: Workspace) -> dict[str, Any] | None:
    if not workspace.tracking_path.exists():
        return None
    track = workspace.head_track()
    valid = track.valid
    if not valid.any():
        return None
    poses = track.head_to_camera
    subject = workspace.subject
    time_s = np.arange(track.frames) / subject.fps
    held_out = [(subject.first_test_frame / subject.fps, subject.frames / subject.fps)]

    def seen(values: np.ndarray) -> np.ndarray:
        return np.where(valid, values, np.nan)

    # In the camera's axes (x right, y down): yaw about y, pitch about x, roll about z.
    angles = Rotation.from_matrix(np.where(valid[:, None, None], poses[:, :3, :3], np.eye(3))).as_euler(
        "YXZ", degrees=True
    )
    moves = (poses[:, :3, 3] - np.median(poses[valid, :3, 3], axis=0)) * 1000
    names, shapes, shown = BLENDSHAPE_NAMES, track.blendshapes, _CURVES
    liveliest = sorted(np.argsort(-shapes[valid].std(axis=0))[:20])
    return {
        "focal": f"{track.focal_px:.0f} px",
        "reprojection": f"{float(np.nanmedian(np.where(valid, track.reprojection_px, np.nan))):.2f} px",
        "rotation": charts.lines(
            time_s,
            [(seen(angles[:, column]), f"s{column + 1}") for column in range(3)],
            x_label="seconds",
            y_label="degrees",
            bands=held_out,
        ),
        "translation": charts.lines(
            time_s,
            [(seen(moves[:, column]), f"s{column + 1}") for column in range(3)],
            x_label="seconds",
            y_label="millimetres",
            bands=held_out,
        ),
        "curve_names": list(enumerate(shown, 1)),
        "curves": charts.lines(
            time_s,
            [(seen(shapes[:, names.index(name)]), f"s{number}") for number, name in enumerate(shown, 1)],
            x_label="seconds",
            y_label="coefficient",
            height=220,
            bands=held_out,
            y_range=(0, max(1.0, float(shapes[valid].max()))),
        ),
        "heat_map": charts.heat_map(
            np.where(valid, shapes.T, 0)[liveliest],
            [names[row] for row in liveliest],
            time_s,
            x_label="seconds",
            height=380,
        ),
    }
