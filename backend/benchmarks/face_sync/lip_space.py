"""What sound features tell of the lips, and whether a shift of the sound is found."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ...face_sync import adaptation, speech
from ...face_sync.audio_features import FrameFeatures
from ...face_sync.audio_offset import CONFIDENT, estimate_offset_ms
from ...face_sync.encoders import present
from ...face_sync.lip_measures import opening_of
from ...face_sync.research.lip_probe import LEARNT_SHARE, ProbeClip, agreement, encoder_table
from ...face_sync.research.lip_probe import told as told_of
from ...media.audio import RATE, read_audio
from ...progress import Reporter
from ...workspace.files import read_arrays
from ...workspace.landmarks import LEFT, RIGHT
from ...workspace.store import Workspace
from ...workspace.subject import FPS

SHIFTS_MS = (-400, -300, -200, -100, 100, 200, 300, 400)


def measure(workspaces: list[Workspace], encoders: list[str] | None, reporter: Reporter) -> dict[str, Any]:
    """Probe of each encoder, and the adapted path: correlation and CCC by measure and way.

    `adapted`: the speech model fitted on the first 80 % of a clip; its lips on the last 20 % (`same`), and driven by every
    other person's sound against that person's lips, meaned (`across`).
    """
    clips = [ProbeClip.of(workspace) for workspace in workspaces]
    names = encoders or present()
    found: dict[str, Any] = {"clips": [clip.name for clip in clips]}
    for done, name in enumerate(names):
        reporter.progress("lip space", done, len(names) + 1, "encoders", name)
        found[name] = encoder_table(name, clips)
    reporter.progress("lip space", len(names), len(names) + 1, "encoders", "adapted")
    found["adapted"] = _adapted(clips, reporter)
    reporter.progress("lip space", len(names) + 1, len(names) + 1, "encoders")
    return found


def _adapted(clips: list[ProbeClip], reporter: Reporter) -> dict[str, Any]:
    features = []
    for clip in clips:
        path, offset_ms = clip.workspace.aligned_audio
        features.append(FrameFeatures([read_audio(path)], len(clip.lips["opening"]), offset_ms)[:])
    table: dict[str, Any] = {name: {"same": {}, "across": {}} for name in ("opening", "width")}
    seconds = []
    for index, clip in enumerate(clips):
        reporter.progress("adapting", index, len(clips), "clips", clip.name)
        tracking = read_arrays(clip.workspace.tracking_path)
        shapes = read_arrays(clip.workspace.root / "face_mesh.npz")["shape_keys"][speech.MOUTH_INDEX].astype(float)
        cut = int(LEARNT_SHARE * len(features[index]))
        mouth, valid = tracking["blendshapes"][:cut, speech.MOUTH_INDEX], tracking["valid"][:cut].astype(bool)
        begun = time.monotonic()
        model = adaptation.fit(features[index][:cut], mouth, valid, shapes)
        seconds.append(time.monotonic() - begun)
        gaps = {
            "opening": opening_of(shapes),
            "width": shapes[:, LEFT.upper_lip[-1][-1], 0] - shapes[:, RIGHT.upper_lip[-1][-1], 0],
        }
        driven = [speech.predict(model, part) for part in features]
        for name, gap in gaps.items():
            pairs = []
            for other, told in zip(clips, driven, strict=True):
                part = np.isfinite(other.lips[name]) & ((np.arange(len(told)) >= cut) | (other is not clip))
                pairs.append(_agreement(told[part] @ gap, other.lips[name][part]))
            table[name]["same"][clip.name] = pairs[index]
            others = [pair for pair, other in zip(pairs, clips, strict=True) if other is not clip and other.long]
            if others:
                table[name]["across"][clip.name] = tuple(np.mean(others, axis=0))
    reporter.progress("adapting", len(clips), len(clips), "clips")
    result: dict[str, Any] = {"seconds": round(max(seconds), 1)}
    for name, ways in table.items():
        for way, values in ways.items():
            if values:
                result.setdefault(name, {})[way] = told_of(clips, values)
    return result


def _agreement(told: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Correlation and CCC; the sides of a mouth lie a constant apart in either measure, which says nothing."""
    return agreement(told - told.mean(), true - true.mean())


def shifts(workspaces: list[Workspace], reporter: Reporter) -> dict[str, Any]:
    """Offset found of each clip, and what is found of `SHIFTS_MS` more: error of each, milliseconds, and whether sure."""
    found = {}
    for done, workspace in enumerate(workspaces):
        reporter.progress("shifting the sound", done, len(workspaces), "clips")
        clip, sound = ProbeClip.of(workspace), read_audio(workspace.audio_path)
        offset, confidence = estimate_offset_ms(sound, clip.lips["opening"], FPS)
        errors, sure = [], []
        for shift_ms in SHIFTS_MS:
            seen, confident = estimate_offset_ms(_shifted(sound, shift_ms), clip.lips["opening"], FPS)
            errors.append(round(seen - offset - shift_ms, 1))
            sure.append(confident >= CONFIDENT)
        found[clip.name] = {
            "seconds": round(len(clip.lips["opening"]) / FPS, 1),
            "offset_ms": round(offset, 1),
            "confidence": round(confidence, 2),
            "errors_ms": errors,
            "sure": sum(sure),
        }
    reporter.progress("shifting the sound", len(workspaces), len(workspaces), "clips")
    return {"shifts_ms": list(SHIFTS_MS), "clips": found}


def _shifted(sound: np.ndarray, shift_ms: float) -> np.ndarray:
    """The sound so much later (earlier below zero), as long as before."""
    samples = round(shift_ms * RATE / 1000)
    moved = np.zeros_like(sound)
    if samples >= 0:
        moved[samples:] = sound[: len(sound) - samples]
    else:
        moved[:samples] = sound[-samples:]
    return moved
