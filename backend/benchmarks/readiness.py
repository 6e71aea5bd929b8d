"""`bench readiness`: do the grades of `training.readiness` agree with new speech and the blink sliders?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..commands import measure, speak
from ..evaluation.landmarks import lip_reader
from ..evaluation.response import motion_range
from ..face_sync.speech import MOUTH_INDEX
from ..portrait_sync.blend import over
from ..progress import Reporter
from ..protocol import BLENDSHAPE_NAMES
from ..renderer.head import HeadRenderer
from ..training import checkpoints
from ..workspace.arrays import correlation, ridge
from ..workspace.checkpoint_index import FIELD
from ..workspace.head_track import HeadTrack
from ..workspace.landmarks import eye_opening, lip_opening
from ..workspace.store import Workspace
from . import pages
from .markdown import table
from .options import Readiness as Options

SIZE, EVERY, POSES = 256, 5, 6
"""Side of the frames in pixels; every fifth frame of the speech; poses in which the sliders are moved."""
RIDGE = 1e-2
_BLINK = [BLENDSHAPE_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures of docs/benchmarks.md."""
    result = {"heads": [_head(Workspace.open(root), options, reporter) for root in options.workspace]}
    return pages.kept("readiness", options, result, in_words(result))


def _head(workspace: Workspace, options: Options, reporter: Reporter) -> dict[str, Any]:
    checkpoint = checkpoints.load_for_rendering(workspace, reporter, options.head)
    kind, renderer = checkpoint.kind, checkpoint.renderer()
    graded = measure.run(measure.Options(workspace=workspace.root, head=kind), reporter).readiness
    tracking = workspace.head_track(head=kind)
    with tempfile.TemporaryDirectory() as folder:
        asked_for = speak.Options(workspace=workspace.root, audio=options.audio, out=Path(folder), head=kind)
        spoken = speak.run(asked_for, Reporter())
        animation = workspace.animation(spoken.animation)
        conditions = checkpoint.lips.animation_conditions(workspace, animation)
    frames = np.arange(0, len(conditions), EVERY)
    asked = _openings_asked_for(tracking, animation.blendshapes[frames])
    camera = animation.camera.scaled(SIZE, SIZE)

    def speech() -> Iterator[np.ndarray]:
        for frame in frames.tolist():
            rgba = renderer.render(camera, animation.head_to_camera[frame], conditions[frame]).rgba
            yield over(rgba, _plate(workspace, int(animation.plate_frame[frame])))

    mouth = lip_opening(_tracked(speech(), graded))
    seen = np.isfinite(mouth)
    return {
        "workspace": workspace.root.name,
        "head": kind,
        "step": graded["step"] if graded else checkpoint.state["step"],
        "readiness": graded,
        "speech_gain": float(np.polyfit(asked[seen], mouth[seen], 1)[0]) if seen.sum() > 2 else None,
        "speech_correlation": float(correlation(mouth, asked)),
        "blink": _blink(workspace, tracking, renderer, checkpoint, graded),
        "frames_without_face": int((~seen).sum()),
    }


def _openings_asked_for(tracking: HeadTrack, blendshapes: np.ndarray) -> np.ndarray:
    """(N) mouth openings that (N, 52) blendshapes ask of this person, by ridge regression over the clip."""
    known = np.c_[tracking.blendshapes[tracking.valid][:, MOUTH_INDEX], np.ones(tracking.valid.sum())]
    openings = lip_opening(tracking.landmarks_px[tracking.valid])
    weights = ridge(known.T @ known, known.T @ openings, RIDGE)
    return np.c_[blendshapes[:, MOUTH_INDEX], np.ones(len(blendshapes))] @ weights


def _blink(
    workspace: Workspace,
    tracking: HeadTrack,
    renderer: HeadRenderer,
    checkpoint: checkpoints.Checkpoint,
    graded: dict[str, Any] | None,
) -> float:
    """How far both blink sliders shut the eyes from 0 to 1, relative to the person's widest blink."""
    valid = np.flatnonzero(tracking.valid)
    poses = valid[(np.linspace(0.08, 0.83, POSES) * len(valid)).astype(int)]
    conditions = checkpoint.lips.clip_conditions(workspace, tracking.blendshapes)
    camera = tracking.camera.scaled(SIZE, SIZE)

    def eyes() -> Iterator[np.ndarray]:
        for pose in poses.tolist():
            for slider in (0.0, 1.0):
                values = conditions[pose].copy()
                values[_BLINK] = slider
                rgba = renderer.render(camera, tracking.head_to_camera[pose], values).rgba
                yield over(rgba, _plate(workspace, pose))

    seen = eye_opening(_tracked(eyes(), graded)).reshape(POSES, 2)
    return float(
        np.nanmean(seen[:, 0] - seen[:, 1]) / max(motion_range(eye_opening(tracking.landmarks_px[valid])), 1e-6)
    )


def _plate(workspace: Workspace, index: int) -> np.ndarray:
    return cv2.resize(workspace.read_plate(index), (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def _tracked(frames: Iterator[np.ndarray], graded: dict[str, Any] | None) -> np.ndarray:
    with lip_reader(graded["landmarks"] if graded else "auto") as (_, read):
        return np.array([read(frame) for frame in frames])


def in_words(result: dict[str, Any]) -> str:
    """A table for docs/benchmarks.md."""
    heading = ["head", "steps", "mouth: grade (gain, correlation)", "new speech: gain, correlation"]
    heading += ["eyes: grade (gain, correlation)", "blink sliders at 1"]
    rows = []
    for head in result["heads"]:
        mouth, eyes = (_graded(head["readiness"], name) for name in ("mouth", "eyes"))
        speech = f"{_number(head['speech_gain'])}, {_number(head['speech_correlation'])}"
        name = f"{head['workspace']} ({head.get('head', FIELD)})"
        rows.append((name, f"{head['step']:,}", mouth, speech, eyes, _number(head["blink"])))
    return "\n".join(table(heading, rows))


def _graded(ready: dict[str, Any] | None, name: str) -> str:
    if ready is None:
        return "–"
    part = ready[name]
    return f"{part['grade']} ({_number(part['gain'])}, {_number(part['correlation'])})"


def _number(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.2f}"
