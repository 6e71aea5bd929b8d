"""How both heads look: at held-out frames, by their own lips and by audio, and at poses and shapes outside of the clip."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...delivery.footage import resized
from ...evaluation import reenactment
from ...evaluation.contact_sheet import contact_sheet, mouth_strip, open_mouths
from ...evaluation.continuity import continuity
from ...evaluation.evaluate import Evaluation, FramePair, evaluate
from ...evaluation.grain import MEASURES, Grain, grain
from ...evaluation.head_depth import depth_difference
from ...evaluation.head_sweep import Condition, middle, of_frames, shape_alone, shapes_alone, turn, turned
from ...evaluation.reenactment import RenderedPair
from ...evaluation.sharpness import mean_sharpness, sharpness
from ...evaluation.strip import keeping
from ...progress import Reporter
from ...workspace.checkpoint_index import FIELD, GAUSSIANS
from ...workspace.images import write_image
from ...workspace.store import Workspace
from ..face_sync.driving import disentanglement
from .heads import KINDS, TrainedHead, held_out, trained_on

FRAMES = 24
"""Frames of the clip that stand for its poses and shapes."""
STEADY_FRAMES = 4
WORST_SHARE = 0.05
SHOWN_SHAPES = (
    ("jawOpen", 1.3), ("jawOpen", -0.3), ("mouthPucker", 1.3), ("mouthFunnel", 1.0), ("mouthSmileLeft", 1.3),
    ("mouthClose", 1.0), ("mouthUpperUpLeft", 1.3), ("eyeBlinkLeft", 1.3), ("eyeWideLeft", 1.0), ("eyeLookOutLeft", 1.0),
    ("browInnerUp", 1.3), ("browDownLeft", 1.3), ("cheekPuff", 1.0), ("tongueOut", 1.0),
)  # fmt: skip
ASKED_YAWS, ASKED_PITCHES = (-12.0, 0.0, 12.0), (-10.0, 0.0, 10.0)
"""Degrees that a director asks for."""
SHOWN_GRAIN = 6
"""Rows of the sheet for the conditions with the most grain."""

_FIGURES = (
    "psnr_head", "psnr_mouth", "psnr_edge", "ssim", "ms_ssim", "lpips", "lmd_px", "lip_correlation", "lip_amplitude",
    "lip_range", "temporal_steadiness", "frames_without_face", "landmarks",
)  # fmt: skip
_SPOKEN = ("psnr_mouth", "lmd_px", "lip_correlation", "lip_amplitude", "lip_range")


def figures(workspace: Workspace, kind: str, size: int, reporter: Reporter) -> dict[str, Any]:
    """What `evaluate` measures of one head at the held-out frames, and how sharp it is."""
    rows: list[dict[str, float]] = []
    pairs = reenactment.test_frames(workspace, reenactment.Reenactment(size, kind), reporter)
    found = evaluate(_measured(workspace, pairs, size, rows), fps=workspace.subject.fps)
    return _figures(workspace, kind, size, reporter, found) | {"sharpness": mean_sharpness(rows)}


def _figures(workspace: Workspace, kind: str, size: int, reporter: Reporter, found: Evaluation) -> dict[str, Any]:
    how = reenactment.Reenactment(size, kind)
    spoken = evaluate(reenactment.audio_driven_test_frames(workspace, how, reporter)).figures
    return {
        **{name: found.figures[name] for name in _FIGURES},
        "worst": _worst(found.psnr_head),
        "audio": {name: spoken[name] for name in _SPOKEN},
    }


def _worst(decibels: np.ndarray) -> float | None:
    """Mean of the worst 5 % of frames."""
    known = np.sort(decibels[np.isfinite(decibels)])
    return round(float(known[: math.ceil(WORST_SHARE * len(known))].mean()), 3) if len(known) else None


def _measured(
    workspace: Workspace, pairs: Iterator[RenderedPair], size: int, rows: list[dict[str, float]]
) -> Iterator[RenderedPair]:
    """Pass on pairs of frames and put their sharpness into `rows`."""
    landmarks = workspace.head_track().landmarks_px * (size / workspace.subject.size)
    for pair in pairs:
        hair = resized(np.ascontiguousarray(workspace.read_matte(pair.index)[..., 1]), (size, size))
        rows.append(sharpness(pair.predicted, pair.truth, landmarks[pair.index], hair))
        yield pair


def measure(
    workspace: Workspace, heads: dict[str, TrainedHead], size: int, out: Path | None, reporter: Reporter
) -> dict[str, Any]:
    """Figures of both heads by kind, how far their surfaces lie apart, and sheets of images in `out`."""
    own = {kind: _own(workspace, head) for kind, head in heads.items()}
    result: dict[str, Any] = {}
    grains: dict[str, Grain] = {}
    for kind, head in heads.items():
        reporter.progress("heads", len(result), len(KINDS), "heads")
        base, frames = own[kind]
        camera = head.track.camera.scaled(size, size)
        far = [*shapes_alone(base), *turned(base)]
        asked = [*shapes_alone(base, (1.0,)), *turned(base, ASKED_YAWS, ASKED_PITCHES)]
        every = {condition.name: condition for condition in (*far, *asked)}
        found = grain(head.renderer, camera, frames, list(every.values()))
        grains[kind] = found.of([condition.name for condition in far])
        figures_asked = found.of([condition.name for condition in asked]).figures
        steady = [*frames[:: max(len(frames) // STEADY_FRAMES, 1)], turn(base, 12), turn(base, -12)]
        result[kind] = figures(workspace, kind, size, Reporter()) | {
            "grain": {"asked": figures_asked, "far": grains[kind].figures},
            "continuity": continuity(head.renderer, camera, steady).to_json(),
            "disentanglement": disentanglement(workspace, head.checkpoint, head.track),
        }
    result["depth"] = _depth(heads, own, size)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_image(out / "sheet.png", _sheet(heads, own[GAUSSIANS][0], grains[GAUSSIANS], size))
        if (mouths := _mouths(workspace, size)) is not None:
            write_image(out / "mouths.png", mouths)
    return result


def _own(workspace: Workspace, head: TrainedHead) -> tuple[Condition, list[Condition]]:
    """The middle of the clip, and frames that the head was trained on."""
    frames = trained_on(workspace, head.track, FRAMES)
    return middle(head.track, head.conditions), of_frames(head.track, head.conditions, frames)


def _depth(
    heads: dict[str, TrainedHead], own: dict[str, tuple[Condition, list[Condition]]], size: int
) -> dict[str, dict[str, float | None]]:
    """The Gaussians' depth against the field's, in the clip's poses and in those of the sweep, metres."""
    base, frames = own[GAUSSIANS]
    camera = heads[GAUSSIANS].track.camera.scaled(size, size)
    found: dict[str, dict[str, float | None]] = {}
    for name, conditions in (("trained", frames), ("turned", turned(base))):
        apart = depth_difference(heads[GAUSSIANS].renderer, heads[FIELD].renderer, camera, conditions)
        values = {"median_m": apart.median_m, "p95_m": apart.p95_m, "bias_m": apart.bias_m}
        found[name] = {key: value if apart.pixels else None for key, value in values.items()}
    return found


def _sheet(heads: dict[str, TrainedHead], base: Condition, found: Grain, size: int) -> np.ndarray:
    """The middle, every turn, some shapes, and where the Gaussians have the most grain."""
    outside = [*shapes_alone(base), *turned(base)]
    worst = np.argsort(-np.nan_to_num(found.ratios[:, MEASURES.index("chroma_rms")]))[:SHOWN_GRAIN].tolist()
    rows = [base, *turned(base), *(shape_alone(base, *shape) for shape in SHOWN_SHAPES), *(outside[at] for at in worst)]
    camera = heads[GAUSSIANS].track.camera.scaled(size, size)
    return contact_sheet({kind: head.renderer for kind, head in heads.items()}, camera, rows)


def _mouths(workspace: Workspace, size: int) -> np.ndarray | None:
    """The widest mouths of the held-out frames: the truth, then each head; None where no face was found."""
    track = workspace.head_track()
    frames = held_out(workspace, track, track.frames)
    landmarks = track.landmarks_px[frames] * (size / workspace.subject.size)
    wide = open_mouths(landmarks)
    if not len(wide):
        return None
    rows: dict[str, list[np.ndarray]] = {}
    for kind in KINDS:
        kept: dict[int, FramePair] = {}
        pairs = reenactment.self_reenactment(workspace, frames[wide], reenactment.Reenactment(size, kind), Reporter())
        for _ in keeping(pairs, frames[wide].tolist(), kept):
            pass
        shown = [kept[index] for index in frames[wide].tolist()]
        rows.setdefault("truth", [pair.truth for pair in shown])
        rows[kind] = [pair.predicted for pair in shown]
    return mouth_strip(rows, landmarks[wide])
