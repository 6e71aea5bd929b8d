"""A trained head driven by audio: its lips, pauses and closures, and where each driver moves the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ...commands import render
from ...evaluation.evaluate import Evaluation, FramePair, evaluate
from ...evaluation.reenactment import Reenactment, audio_driven_blendshapes, self_reenactment
from ...evaluation.strip import Moment, keeping, moments, strip, strip_image
from ...face_sync import speech
from ...face_sync.audio_features import StepFeatures
from ...face_sync.lip_measures import opening_of
from ...face_sync.speech import SpeechModel
from ...face_sync.steps import STEP_RATE, at_frames, steps_over
from ...media.audio import audio_blocks
from ...progress import Reporter
from ...protocol import BLENDSHAPE_NAMES
from ...renderer.field.rays import surface_points
from ...renderer.regions import Region, region_weight
from ...training import checkpoints
from ...workspace.camera import Camera
from ...workspace.frame_rate import frames_of
from ...workspace.head_track import HeadTrack
from ...workspace.images import write_image
from ...workspace.intervals import intervals
from ...workspace.landmarks import LIPS, lip_opening
from ...workspace.store import Workspace

CLOSES_WITHIN_S = 0.2
"""Time within which lips must close in silence."""

CLOSED, OPEN = 0.15, 0.25
"""Shares of the speaking range: the real lips are closed below the first, and drawn ones still count below the second."""

NEAR_S = 0.08
"""By which a drawn closure may be early or late."""

LIP_DRIVERS = ("jawOpen", "mouthPucker", "mouthFunnel", "mouthSmileLeft mouthSmileRight", "mouthLowerDownLeft")
EXPRESSION_DRIVERS = (
    "eyeBlinkLeft eyeBlinkRight", "browInnerUp", "browDownLeft browDownRight", "browOuterUpLeft browOuterUpRight",
)  # fmt: skip
_UPPER_FACE = (
    *range(46, 56), 63, 65, 66, 70, 105, 107, *range(276, 286), 293, 295, 296, 300, 334, 336, 33, 133, 263, 362,
)  # fmt: skip


def measure(
    head: Workspace,
    by_audio: Workspace | None,
    size: int,
    out: Path | None,
    audio_files: tuple[Path, ...],
    kind: str,
    reporter: Reporter,
) -> dict[str, Any]:
    """Rows of `figures` by what drives the held-out frames, pauses, and shares of energy where it should not be."""
    checkpoint = checkpoints.load_for_rendering(head, reporter, kind)
    tracking = head.head_track(head=checkpoint.kind)
    model = SpeechModel.load(head.root / "speech.safetensors")
    subject = head.subject
    path, offset_ms = head.aligned_audio
    features = StepFeatures(audio_blocks(path), steps_over(subject.frames, subject.rate), offset_ms)
    spoken = audio_driven_blendshapes(head, kind)
    frames = np.arange(subject.first_test_frame, subject.frames)
    quiet = _pauses_in_frames(head, features)
    rows: dict[str, Any] = {}
    runs = {"tracked lips": (head, None), "audio": (head, spoken)}
    if by_audio is not None:
        runs["audio alone, no lip shape"] = (by_audio, None)
    kinds: dict[int, str] = {}
    kept: dict[int, FramePair] = {}
    shown: list[Moment] = []
    for name, (workspace, blendshapes) in runs.items():
        pairs = self_reenactment(workspace, frames, Reenactment(size, kind), reporter, blendshapes)
        found = evaluate(keeping(pairs, kinds, kept) if name == "audio" else pairs, fps=subject.fps)
        rows[name] = _figures(found, quiet)
        kinds = kinds or moments(found)
        shown = strip(found, kinds, kept) if name == "audio" else shown
    result = {
        "size": size,
        "head": checkpoint.kind,
        "rows": rows,
        "pauses": _pauses(head, tracking, model, features),
        "disentanglement": disentanglement(head, checkpoint, tracking),
    }
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        if shown:
            write_image(out / "strip.png", strip_image(shown))
        for audio in audio_files:
            video = out / f"{audio.stem}.mp4"
            render.run(render.Options(workspace=head.root, out=video, audio=audio, size=size, head=kind), reporter)
    return result


def _figures(found: Evaluation, quiet: np.ndarray) -> dict[str, Any]:
    """Of one run, tracked again in its frames."""
    figures = found.figures
    drawn, real = lip_opening(found.landmarks_predicted), lip_opening(found.landmarks_truth)
    low, high = np.nanpercentile(real, (5, 95))
    drawn, real = (drawn - low) / (high - low), (real - low) / (high - low)
    closures = [int(start + np.nanargmin(real[start:stop])) for start, stop in intervals(real < CLOSED)]
    near = max(1, round(NEAR_S * found.fps))
    met = [bool(np.nanmin(drawn[max(at - near, 0) : at + near + 1]) < OPEN) for at in closures]
    silent = quiet[found.index]
    kept = ("psnr_mouth", "psnr_head", "lmd_px", "lip_correlation", "lip_range", "landmarks")
    return {name: figures[name] for name in kept} | {
        "closures": len(closures),
        "closures_met": round(float(np.mean(met)), 3) if met else None,
        "steps": _number(np.nanmean(np.abs(np.diff(drawn, n=2))) / np.nanmean(np.abs(np.diff(real, n=2)))),
        "opening_in_silence": _number(drawn[silent].mean()) if silent.any() else None,
        "real_opening_in_silence": _number(real[silent].mean()) if silent.any() else None,
    }


def _pauses(
    workspace: Workspace, tracking: HeadTrack, model: SpeechModel, features: StepFeatures
) -> dict[str, float | None]:
    """Opening in all pauses of the clip by the coefficients, in shares of the speaking range above its closed end."""
    shapes = workspace.face_mesh().shape_keys[speech.MOUTH_INDEX]
    gap = opening_of(shapes)
    frames, rate = tracking.frames, workspace.subject.rate
    real, predicted = tracking.blendshapes[:, speech.MOUTH_INDEX] @ gap, speech.predict(model, features)
    predicted = at_frames(predicted, frames, rate)
    share = at_frames(speech.shut_share(features)[:, None], frames, rate)[:, 0]
    shut = speech.closed_in_pauses(model, predicted, share) @ gap
    predicted = predicted @ gap
    silent = _pauses_in_frames(workspace, features)
    quiet = silent & tracking.valid
    opening_frames = frames_of(float(speech.OPENING_STEPS / STEP_RATE), rate)
    low, high = np.quantile(real[tracking.valid & ~quiet], (0.05, 0.95))
    span = high - low
    late, twitches = [], 0
    for start, stop in intervals(silent):
        inner = shut[start + frames_of(CLOSES_WITHIN_S, rate) : stop - opening_frames]
        late += inner.tolist()
        # Anything that opens again while it is silent.
        twitches += int((np.diff(inner) > 0.02 * span).any()) if len(inner) > 1 else 0
    return {
        "pauses": len(intervals(silent)),
        "real": _number((real[quiet].mean() - low) / span) if quiet.any() else None,
        "audio": _number((predicted[quiet].mean() - low) / span) if quiet.any() else None,
        "closed_after_0.2_s": _number((np.mean(late) - low) / span) if late else None,
        "twitches": twitches,
    }


def _pauses_in_frames(workspace: Workspace, features: StepFeatures) -> np.ndarray:
    """(N,) bool: the frames in pauses."""
    silent = speech.pauses(features)[:, None].astype(np.float32)
    return at_frames(silent, workspace.subject.frames, workspace.subject.rate)[:, 0] > 0.5


def disentanglement(
    workspace: Workspace, head: checkpoints.Checkpoint, tracking: HeadTrack
) -> dict[str, dict[str, float]]:
    """With one driver moved over its range: shares of the changed pixels' energy outside its region, and in the other's
    organs (lips; brows and eyes)."""
    if head.lips.inputs:
        return {}
    renderer, (lip_region, expression_region) = head.renderer(), head.regions()
    valid = np.flatnonzero(tracking.valid)
    typical = tracking.blendshapes[valid]
    middle = np.median(typical, axis=0)
    frame = int(valid[np.argmin(((typical - middle) ** 2).sum(1))])
    pose, camera = tracking.head_to_camera[frame], tracking.camera.scaled(512, 512)
    points = tracking.landmarks_px[frame] * 512 / workspace.subject.size
    organs = {"lips": _hull(points[list(LIPS)], 0.3), "upper face": _hull(points[list(_UPPER_FACE)], 0.1)}
    still = renderer.render(camera, pose, middle, passes=True)
    assert still.depth_m is not None
    depth_m, unmoved = still.depth_m.copy(), still.rgba.copy()  # the renderer draws the next into them
    found = {}
    for drivers, region, other in (
        (LIP_DRIVERS, lip_region, "upper face"),
        (EXPRESSION_DRIVERS, expression_region, "lips"),
    ):
        for driver in drivers:
            columns = [BLENDSHAPE_NAMES.index(name) for name in driver.split()]
            energy = np.zeros(unmoved.shape[:2])
            inside = _inside(depth_m, camera, pose, region)
            for share in (0.02, 0.98):
                moved = middle.copy()
                moved[columns] = np.quantile(typical[:, columns], share, axis=0)
                image = renderer.render(camera, pose, moved, passes=True)
                energy += ((image.rgba - unmoved) ** 2).sum(-1)
                assert image.depth_m is not None
                # A chin that sinks moves in front of what was no head before.
                inside |= _inside(image.depth_m, camera, pose, region)
            total = max(float(energy.sum()), 1e-9)
            found[driver] = {
                "energy": _number(total),
                "outside": round(float(energy[~inside].sum()) / total, 4),
                f"in {other}": round(float(energy[organs[other]].sum()) / total, 4),
            }
    return found


def _inside(depth_m: np.ndarray, camera: Camera, pose: np.ndarray, region: Region) -> np.ndarray:
    """(H, W) bool: where the region's weight on the surface is above a tenth, its soft border with it."""
    inside = np.zeros(depth_m.shape, bool)
    rows, columns = np.nonzero(depth_m > 0)
    points = surface_points(camera, pose, depth_m, rows, columns).astype(np.float32)
    inside[rows, columns] = region_weight(torch.from_numpy(points), region).numpy() > 0.1
    return inside


def _hull(points: np.ndarray, margin: float) -> np.ndarray:
    """(512, 512) bool: the points' convex hull, larger by `margin` of its size."""
    centre = points.mean(0)
    hull = cv2.convexHull(((points - centre) * (1 + margin) + centre).astype(np.float32))
    mask = np.zeros((512, 512), np.uint8)
    cv2.fillConvexPoly(mask, hull.astype(np.int32), 1)
    return mask.astype(bool)


def _number(value: float) -> float:
    return round(float(value), 3)
