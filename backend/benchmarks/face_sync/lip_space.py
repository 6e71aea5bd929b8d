"""How well audio features predict the lips, and whether a shift of the audio is found."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ...face_sync import adaptation, speech
from ...face_sync.audio_features import StepFeatures
from ...face_sync.audio_offset import CONFIDENT, estimate_offset_ms
from ...face_sync.encoders import present
from ...face_sync.lip_measures import opening_of
from ...face_sync.research.lip_probe import TRAINING_SHARE, ProbeClip, agreement, encoder_table, summary
from ...face_sync.steps import STEP_RATE, all_at_steps, at_steps
from ...media.audio import read_audio
from ...media.audio_rates import RATE
from ...progress import Reporter
from ...workspace.landmarks import LEFT, RIGHT
from ...workspace.store import Workspace

SHIFTS_MS = (-400, -300, -200, -100, 100, 200, 300, 400)


def measure(workspaces: list[Workspace], encoders: tuple[str, ...], reporter: Reporter) -> dict[str, Any]:
    """Probe of each encoder, and the adapted path: correlation and CCC by measure and way.

    `adapted`: the speech model fitted on the first 80 % of a clip; its lips on the last 20 % (`same`), and driven by every
    other person's audio against that person's lips, the mean (`across`).
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
        features.append(StepFeatures([read_audio(path)], len(clip.lips["opening"]), offset_ms)[:])
    table: dict[str, Any] = {name: {"same": {}, "across": {}} for name in ("opening", "width")}
    seconds = []
    for index, clip in enumerate(clips):
        reporter.progress("adapting", index, len(clips), "clips", clip.name)
        track = clip.workspace.head_track()
        shapes = clip.workspace.face_mesh().shape_keys[speech.MOUTH_INDEX]
        cut = int(TRAINING_SHARE * len(features[index]))
        rate, steps = clip.workspace.subject.rate, len(features[index])
        mouth = at_steps(track.blendshapes[:, speech.MOUTH_INDEX], steps, rate)[:cut]
        valid = all_at_steps(track.valid, steps, rate)[:cut]
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
            for other, predicted in zip(clips, driven, strict=True):
                part = np.isfinite(other.lips[name]) & ((np.arange(len(predicted)) >= cut) | (other is not clip))
                pairs.append(_agreement(predicted[part] @ gap, other.lips[name][part]))
            table[name]["same"][clip.name] = pairs[index]
            others = [pair for pair, other in zip(pairs, clips, strict=True) if other is not clip and other.long]
            if others:
                table[name]["across"][clip.name] = tuple(np.mean(others, axis=0))
    reporter.progress("adapting", len(clips), len(clips), "clips")
    result: dict[str, Any] = {"seconds": round(max(seconds), 1)}
    for name, ways in table.items():
        for way, values in ways.items():
            if values:
                result.setdefault(name, {})[way] = summary(clips, values)
    return result


def _agreement(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Correlation and CCC; both measures differ by a constant, which does not count."""
    return agreement(predicted - predicted.mean(), true - true.mean())


def shifts(workspaces: list[Workspace], reporter: Reporter) -> dict[str, Any]:
    """Offset found of each clip, and the errors for shifts of `SHIFTS_MS`, milliseconds, with their confidence."""
    found = {}
    for done, workspace in enumerate(workspaces):
        reporter.progress("shifting the audio", done, len(workspaces), "clips")
        clip, audio = ProbeClip.of(workspace), read_audio(workspace.audio_path)
        offset, confidence = estimate_offset_ms(audio, clip.lips["opening"], float(STEP_RATE))
        errors, sure = [], []
        for shift_ms in SHIFTS_MS:
            seen, confident = estimate_offset_ms(_shifted(audio, shift_ms), clip.lips["opening"], float(STEP_RATE))
            errors.append(round(seen - offset - shift_ms, 1))
            sure.append(confident >= CONFIDENT)
        found[clip.name] = {
            "seconds": round(len(clip.lips["opening"]) / float(STEP_RATE), 1),
            "offset_ms": round(offset, 1),
            "confidence": round(confidence, 2),
            "errors_ms": errors,
            "sure": sum(sure),
        }
    reporter.progress("shifting the audio", len(workspaces), len(workspaces), "clips")
    return {"shifts_ms": list(SHIFTS_MS), "clips": found}


def _shifted(audio: np.ndarray, shift_ms: float) -> np.ndarray:
    """The audio delayed (below zero: advanced), its length unchanged."""
    samples = round(shift_ms * RATE / 1000)
    moved = np.zeros_like(audio)
    if samples >= 0:
        moved[samples:] = audio[: len(audio) - samples]
    else:
        moved[:samples] = audio[-samples:]
    return moved
