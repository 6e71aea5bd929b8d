"""The plots of `bench head-sync`: rotation against the truth, and the cost over the length of a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ...evaluation import chart_svg, charts
from ...evaluation.tracking.measures import aligned_to
from ...workspace.files import atomic_path


def write_turns(path: Path, poses: dict[str, np.ndarray], truth: np.ndarray, fps: float) -> None:
    """Pitch, yaw and roll of several methods' poses {name: (N, 4, 4)} over the truth (N, 4, 4), as SVG.

    Head frames are aligned once.
    """
    shown = {"truth": truth} | {name: aligned_to(some, truth) for name, some in poses.items()}
    angles = {
        name: Rotation.from_matrix(some[:, :3, :3]).as_euler("YXZ", degrees=True)[:, [1, 0, 2]]
        for name, some in shown.items()
    }
    names = list(angles)[::-1]  # the truth last, on top
    colours = dict(zip(list(angles), ("ink", "s2", "s1", "s3"), strict=False))
    rows = [
        charts.Row(f"{angle}, degrees", [(angles[name][:, axis], colours[name], name) for name in names], 170)
        for axis, angle in enumerate(("pitch", "yaw", "roll"))
    ]
    svg = charts.stacked(np.arange(len(truth)) / fps, rows, x_label="seconds")
    _write(path, svg)


def write_cost(path: Path, costs: list[dict[str, Any]]) -> None:
    """Seconds of tracking and adjustment over the frames of a clip, as SVG."""
    frames = np.array([0] + [cost["frames"] for cost in costs])
    seconds = np.array([0.0] + [cost["seconds"] for cost in costs])
    svg = charts.points_and_lines(frames, [(seconds, "s1")], x_label="frames", y_label="seconds")
    _write(path, svg)


def _write(path: Path, svg: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(chart_svg.standalone(svg), encoding="utf-8")
