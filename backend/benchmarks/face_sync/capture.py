"""The 52 coefficients: against the sample's truth, and the solver without the landmarker's scores against these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...actor import SAMPLE
from ...face_sync import blendshape_basis, blendshapes, calibration
from ...progress import Reporter
from ...protocol import BLENDSHAPE_NAMES
from ...workspace.arrays import correlation
from ...workspace.files import read_arrays
from ...workspace.pose_track import PoseTrack
from ...workspace.store import Workspace

MOVED = 0.2
"""Range of a coefficient in the truth from which it is judged by correlation."""

SCORED_RANGE = 0.1
"""Range (5th to 95th percentile) of a score from which a clip counts."""

COMPARED = {
    "blink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "jaw open": ("jawOpen",),
    "brow up": ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    "brow down": ("browDownLeft", "browDownRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "pucker": ("mouthPucker",),
}


def measure(workspaces: list[Workspace], work: Path, reporter: Reporter) -> dict[str, Any]:
    """`truth` where the sample is among the clips; `task` of every clip whose landmarks came with scores."""
    found: dict[str, Any] = {"task": {}}
    for done, workspace in enumerate(workspaces):
        reporter.progress("capture", done, len(workspaces), "clips", workspace.root.name)
        landmarks, head = read_arrays(workspace.root / "landmarks.npz"), workspace.pose_track()
        scores = landmarks["scores"] if len(landmarks["scores"]) else None
        if workspace.root.name == "sample":
            found["truth"] = {
                name: against_truth(captured(landmarks, head, prior))
                for name, prior in (("with scores", scores), ("without scores", None))
                if name == "without scores" or prior is not None
            }
        if scores is not None:
            valid = head.valid
            alone = captured(landmarks, head, None)[valid]
            found["task"][workspace.root.name] = {
                "scores": _together(alone, scores[valid], scores[valid]),
                "capture with scores": _together(alone, captured(landmarks, head, scores)[valid], scores[valid]),
            }
    reporter.progress("capture", len(workspaces), len(workspaces), "clips")
    return found


def captured(landmarks: dict[str, np.ndarray], head: PoseTrack, scores: np.ndarray | None) -> np.ndarray:
    """(N, 52) by the solver, with or without the landmarker's scores."""
    view = blendshapes.View(head.head_to_camera, head.camera.focal_px, head.principal_px)
    points, valid = landmarks["landmarks_px"].astype(np.float32), head.valid
    face = calibration.neutral_face(head.face_head_m, points, view, valid)
    return blendshapes.capture(points, view, face, blendshape_basis.displacements(face), valid, scores)


def against_truth(found: np.ndarray) -> dict[str, Any]:
    """Mean absolute error over all coefficients, and correlation of each that the sample moves."""
    truth = np.load(SAMPLE / "truth.npz", allow_pickle=False)["blendshapes"]
    count = min(len(truth), len(found))
    truth, found = truth[:count], found[:count]
    moved = np.flatnonzero(np.ptp(truth, axis=0) > MOVED)
    names = [BLENDSHAPE_NAMES[k] for k in moved]
    return {
        "mean_absolute_error": round(float(np.abs(truth - found).mean()), 4),
        "mean_absolute_error_of_moved": round(float(np.abs(truth - found)[:, moved].mean()), 4),
        "correlation": dict(
            zip(names, np.nan_to_num(correlation(truth[:, moved], found[:, moved])).round(3).tolist(), strict=True)
        ),
    }


def _together(found: np.ndarray, other: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """Correlation of each of `COMPARED`; None where the clip hardly moves it."""
    result: dict[str, float | None] = {}
    for name, parts in COMPARED.items():
        columns = [BLENDSHAPE_NAMES.index(part) for part in parts]
        reach = np.subtract(*np.quantile(scores[:, columns].mean(1), (0.95, 0.05)))
        moves = reach > SCORED_RANGE
        agreement = np.nan_to_num(correlation(found[:, columns].mean(1), other[:, columns].mean(1)))
        result[name] = round(float(agreement), 3) if moves else None
    return result
