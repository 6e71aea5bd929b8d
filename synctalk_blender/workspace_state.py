"""What a workspace holds, read from its files: the panels know it without a backend. No `bpy` here.

docs/workspace.md is the reference of the files; the backend alone writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backend.workspace import SyncTalkError
from ..backend.workspace.checkpoint_index import head_paths, readiness_of, step_of, training_config
from ..backend.workspace.store import Workspace
from ..backend.workspace.subject import STAGES


@dataclass(frozen=True)
class Readiness:
    """What the backend measured on rendered and tracked frames of the newest head (docs/training.md)."""

    mouth: str
    """`not yet`, `moves`, `clear`, or `not shown` where the clip itself does not show the motion."""
    eyes: str
    mouth_gain: float | None = None
    """How far the mouth opens relative to the person's; 1 when as far."""
    eyes_gain: float | None = None
    advice: str = ""
    """What more training will do, or what the clip lacks."""

    @property
    def speaks(self) -> bool:
        """Whether the mouth moves enough to speak."""
        return self.mouth in ("moves", "clear")

    @property
    def shortcoming(self) -> str:
        """What is not clear yet, in two or three words; empty when nothing."""
        words = {"not yet": "not yet", "moves": "weak", "not shown": "not in clip"}
        for name, grade in (("Mouth", self.mouth), ("Eyes", self.eyes)):
            if grade in words and not (name == "Eyes" and grade == "not shown"):
                return f"{name} {words[grade]}"
        return ""


@dataclass(frozen=True)
class WorkspaceState:
    """State of one workspace at one moment."""

    exists: bool = False
    problem: str = ""
    """One sentence when subject.json cannot be used."""
    id: str = ""
    """Persistent id of the subject; empty where there is no workspace."""
    source: str = ""
    frames: int = 0
    fps: float = 25.0
    duration_s: float = 0.0
    audio_offset_ms: float = 0.0
    consent_by: str = ""
    """Who gave the recorded consent; empty when none is recorded."""
    consent_when: str = ""
    stages: dict[str, str] = field(default_factory=dict)
    """`partial` or `done` for each stage that was begun."""
    trained_step: int = 0
    """Steps that the newest checkpoint was trained for; 0 without one."""
    trained_preset: str = ""
    trained_psnr: float | None = None
    trained_minutes: float = 0.0
    readiness: Readiness | None = None
    """None where the newest checkpoint was not measured."""

    @property
    def tracked(self) -> bool:
        return all(self.stages.get(stage) == "done" for stage in STAGES)

    @property
    def stages_done(self) -> int:
        return sum(self.stages.get(stage) == "done" for stage in STAGES)


_cache: tuple[tuple, WorkspaceState] = ((), WorkspaceState())


def workspace_state(root: Path | None) -> WorkspaceState:
    """State of the workspace at `root`, read again only when its files changed: cheap enough for a panel's draw."""
    global _cache
    if root is None:
        return WorkspaceState()
    # Every write of the backend is a rename, which changes these.
    files = ("subject.json", "checkpoints", "checkpoints/readiness.json", "checkpoints/readiness_gaussians.json")
    signature = (root, *(_signature(root / name) for name in files))
    if _cache[0] != signature:
        _cache = (signature, read_workspace(root))
    return _cache[1]


def _signature(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino


def read_workspace(root: Path) -> WorkspaceState:
    """State of the workspace at `root`, read now."""
    path = root / "subject.json"
    try:
        if not path.exists():
            return WorkspaceState()
        subject = Workspace.open(root).subject
        consent = subject.consent if subject.consent.get("given") else {}
        return WorkspaceState(
            exists=True,
            id=subject.id,
            source=subject.source,
            frames=int(subject.frames),
            fps=float(subject.fps),
            duration_s=float(subject.duration_s),
            audio_offset_ms=float(subject.audio_offset_ms),
            consent_by=str(consent.get("by", "")),
            consent_when=str(consent.get("when", "")),
            stages={name: str(stage.get("state", "")) for name, stage in subject.stages.items()},
            **_trained(root / "checkpoints"),
        )
    except SyncTalkError as error:
        return WorkspaceState(problem=str(error))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return WorkspaceState(problem=f"{path} cannot be read ({error}): restore it, or choose another workspace.")


def _trained(folder: Path) -> dict[str, Any]:
    # config.json describes the newest checkpoint, but only a checkpoint file is a head.
    checkpoints = head_paths(folder)
    if not checkpoints:
        return {}
    found: dict[str, Any] = {"trained_step": step_of(checkpoints[0])}
    config = training_config(folder)
    try:
        found["trained_preset"] = str(config.get("preset", ""))
        psnr = config.get("psnr")
        found["trained_psnr"] = float(psnr) if psnr is not None else None
        found["trained_minutes"] = float(config.get("elapsed_s", 0.0)) / 60
    except (ValueError, TypeError):
        pass  # the figures are for show; the head can be used without them
    found["readiness"] = _readiness(readiness_of(folder))
    return found


def _readiness(kept: dict[str, Any] | None) -> Readiness | None:
    if kept is None:
        return None
    try:
        mouth, eyes = kept["mouth"], kept["eyes"]
        return Readiness(str(mouth["grade"]), str(eyes["grade"]), _gain(mouth), _gain(eyes), advice=str(kept["advice"]))
    except (ValueError, KeyError, TypeError):
        return None


def _gain(part: dict[str, Any]) -> float | None:
    """The smallest gain that was measured."""
    known = [float(value) for value in (part["gain"], part.get("slider")) if value is not None]
    return min(known, default=None)
