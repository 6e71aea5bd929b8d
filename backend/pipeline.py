"""The stages in order: what the command line and Blender's server both call."""

from __future__ import annotations

import datetime
import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import WorkspaceError
from .media.guard import guarded
from .options import ProcessOptions
from .progress import Reporter
from .workspace.store import Workspace
from .workspace.subject import STAGES

if TYPE_CHECKING:
    from .training.presets import Preset

_STAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "media": ("media.stage", ("video", "size")),
    "landmarks": ("head_sync.landmarks_stage", ("landmarker",)),
    "head_sync": ("head_sync.stage", ("keypoints", "bundle_adjustment", "face_model")),
    "face_sync": ("face_sync.stage", ("audio_offset_ms",)),
    "portrait_sync": ("portrait_sync.stage", ()),
}
"""Module of a stage and the options that it takes."""
# Imported when its turn comes: `models list` must not wait for PyTorch, nor a server's `hello` for MediaPipe.


def process(
    root: Path,
    options: ProcessOptions,
    reporter: Reporter,
    *,
    consent_by: str | None = None,
    only: str | None = None,
    footage: bool = False,
) -> Workspace:
    """Run the preprocessing stages that are not done yet.

    Args:
        root: the workspace; begun when it is not there.
        consent_by: who gave the consent to make a synthetic likeness; recorded with the date.
        only: one stage's name; the ones before it must be done.
        footage: write the whole source frames as well, where the working frames are a part of them (`write_footage`).
    """
    if only is not None and only not in STAGES:
        raise WorkspaceError(f"There is no stage {only}: choose one of {', '.join(STAGES)}.")
    workspace = Workspace.create(root)
    stages = STAGES if only is None else (only,)
    with workspace.locked():
        if consent_by:
            record_consent(workspace, consent_by)
        _announce(workspace, stages, footage, reporter)
        for name in stages:
            told = len(reporter.warnings)
            _run_stage(name, workspace, options, reporter)
            workspace.keep_warnings(name, reporter.warnings[told:])
            _tie_consent_to_clip(workspace, renewed=bool(consent_by))
            if name == "media":
                _announce(workspace, stages, footage, reporter)
        if footage:
            from .media.footage import write_footage

            write_footage(workspace, reporter)
    return workspace


def _run_stage(name: str, workspace: Workspace, options: ProcessOptions, reporter: Reporter) -> None:
    module_name, taken = _STAGES[name]
    module = importlib.import_module(f".{module_name}", __package__)
    if name != "media":
        module.run(workspace, reporter, **{option: getattr(options, option) for option in taken})
        if name == "head_sync":
            from .evaluation.tracking.report import write_head_sync_report

            write_head_sync_report(workspace, reporter)
        return
    folders = (workspace.root,)
    guarded(
        module.run_in,
        workspace.root,
        options.video,
        options.size,
        reporter=reporter,
        about=options.video,
        folders=folders,
    )
    workspace.subject = Workspace.open(workspace.root).subject


def _announce(workspace: Workspace, stages: tuple[str, ...], footage: bool, reporter: Reporter) -> None:
    """Tell the reporter how many frames the stages have to do; before a clip was read the first of them tells that."""
    from .media.footage import is_whole_picture

    more = ["footage"] if footage and not is_whole_picture(workspace) else []
    reporter.plan(dict.fromkeys([*stages, *more], workspace.subject.frames or None))


def _tie_consent_to_clip(workspace: Workspace, renewed: bool) -> None:
    """Consent is of the person in one clip: another clip in the same workspace needs its own."""
    consent, clip = workspace.subject.consent, workspace.subject.source_sha256
    if not consent.get("given") or consent.get("clip") == clip:
        return
    workspace.subject.consent = {**consent, "clip": clip} if renewed or "clip" not in consent else {}
    workspace.save()


def record_consent(workspace: Workspace, by: str) -> None:
    """Record that the person shown agrees to a synthetic likeness, as told by the user."""
    known = workspace.subject.consent
    if known.get("given") and known.get("by") == by and known.get("clip") == workspace.subject.source_sha256:
        return
    workspace.subject.consent = {
        "given": True,
        "by": by,
        "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "clip": workspace.subject.source_sha256,
        "statement": "The person shown agrees that a synthetic likeness of them is made and used.",
    }
    workspace.save()


def info(root: Path) -> dict[str, Any]:
    """What docs/protocol.md calls `workspace.info`."""
    workspace = Workspace.open(root)
    subject = workspace.subject
    audio_path, audio_offset_ms = workspace.aligned_audio
    return {
        "workspace": str(workspace.root),
        "format": subject.format,
        "name": subject.name,
        "source": subject.source,
        "frames": subject.frames,
        "fps": subject.fps,
        "duration_s": subject.duration_s,
        "source_size": list(subject.source_size),
        "crop": None if subject.crop is None else {"x": subject.crop.x, "y": subject.crop.y, "size": subject.crop.size},
        "size": subject.size,
        "audio_offset_ms": audio_offset_ms,
        "stages": {name: workspace.stage_state(name) for name in STAGES},
        "trained": _trained(workspace),
        "consent": subject.consent,
        "paths": {
            "footage": str(workspace.root / "frames" / "%06d.jpg"),
            "plate": str(workspace.root / "plate" / "%06d.jpg"),
            "audio": str(audio_path),
            "tracking": str(workspace.tracking_path),
            "face_mesh": str(workspace.root / "face_mesh.npz"),
            "animation": _newest_animation(workspace),
        },
    }


def _trained(workspace: Workspace) -> dict[str, Any] | None:
    try:
        state = json.loads((workspace.checkpoints / "config.json").read_text(encoding="utf-8"))
        found = {name: state[name] for name in ("step", "preset", "psnr")}
        return {**found, "minutes": state["elapsed_s"] / 60, "readiness": _readiness(workspace, state["step"])}
    except (OSError, ValueError, KeyError):
        return None


def _readiness(workspace: Workspace, step: int) -> dict[str, Any] | None:
    """What `training.readiness` measured of the checkpoint at `step`; None where it was not."""
    try:
        kept = json.loads((workspace.checkpoints / "readiness.json").read_text(encoding="utf-8"))
        return kept if kept["step"] == step else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _newest_animation(workspace: Workspace) -> str:
    found = sorted(workspace.renders.glob("*/animation.npz"), key=lambda path: path.stat().st_mtime)
    return str(found[-1]) if found else ""


def train(
    root: Path,
    preset_name: str,
    minutes: float | None,
    reporter: Reporter,
    seed: int = 0,
    steps: int | None = None,
    changes: list[str] | None = None,
    further: bool = False,
) -> dict[str, Any]:
    """Train the head of a workspace and measure it; see `training.train.train` and `training.readiness`.

    Args:
        changes: of the preset, `NAME=VALUE`.
    """
    from .training import readiness
    from .training.presets import PRESETS
    from .training.train import train as run

    if preset_name not in PRESETS:
        raise WorkspaceError(f"There is no preset {preset_name}: choose one of {', '.join(PRESETS)}.")
    workspace = Workspace.open(root)
    with workspace.locked():
        preset = PRESETS[preset_name].changed(changes or [])
        _announce_training(workspace, preset, minutes, steps, reporter)
        result = run(workspace, preset, reporter, minutes, seed, steps=steps, further=further)
        ready = readiness.measure(workspace, reporter)
    return {
        "step": result.step,
        "minutes": result.minutes,
        "psnr": result.psnr,
        "checkpoint": str(result.checkpoint),
        "readiness": None if ready is None else ready.to_json(),
    }


def _announce_training(
    workspace: Workspace, preset: Preset, minutes: float | None, steps: int | None, reporter: Reporter
) -> None:
    from .training import dataset, focal_search, readiness, train

    if steps is not None:
        reporter.plan(
            {}
        )  # how long refinements between the steps take is not known: better no time left than a wrong one
        return
    frames = min(dataset.FIRST_FRAMES, max(workspace.subject.first_test_frame, 1))
    units: dict[str, float] = {"loading frames": frames, train.HULL: 1}
    if preset.focal_factors:
        units["choosing the focal length"] = (1 + len(preset.focal_factors)) * focal_search.STEPS
    units["training"] = 60 * (preset.minutes if minutes is None else minutes)
    units |= {train.SAVING: 1, readiness.STAGE: readiness.RENDERED}
    reporter.plan(units, clock="training")


def measure(root: Path, reporter: Reporter) -> dict[str, Any] | None:
    """Measure whether mouth and eyes of the newest checkpoint move; see `training.readiness`."""
    from .training import readiness

    workspace = Workspace.open(root)
    with workspace.locked():
        reporter.plan({readiness.STAGE: readiness.RENDERED})
        ready = readiness.measure(workspace, reporter)
    return None if ready is None else ready.to_json()


def speak(
    root: Path,
    audio: Path | None,
    reporter: Reporter,
    *,
    strength: float = 1.0,
    smoothing_ms: float = 0.0,
    offset_ms: float = 0.0,
    close_in_silence: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """New sound to an animation of the rig: `renders/NAME/animation.npz` and `speech.wav`."""
    from .face_sync.speak import speak as run
    from .training.lip_gain import speech_gain

    workspace = Workspace.open(root)
    workspace.require("media", "landmarks", "head_sync", "face_sync")
    folder = out or workspace.renders / (audio.stem if audio else "reproduction")
    path = run(
        workspace,
        audio,
        folder,
        strength=strength,
        speech_gain=speech_gain(workspace),
        smoothing_ms=smoothing_ms,
        offset_ms=offset_ms,
        close_in_silence=close_in_silence,
        reporter=reporter,
    )
    with np.load(path, allow_pickle=False) as data:
        frames, fps = len(data["frame_time_s"]), float(data["fps"])
    return {
        "animation": str(path),
        "frames": frames,
        "duration_s": frames / fps,
        "audio": str(path.with_name("speech.wav")),
    }
