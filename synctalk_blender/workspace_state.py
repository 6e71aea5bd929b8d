"""What a workspace holds, read from its files, so that the panels know it without a backend. No `bpy` here.

docs/workspace.md is the reference of the files; the backend alone writes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..backend.protocol import subject_id

FORMAT = 1
STAGES = ("media", "landmarks", "head_sync", "face_sync", "portrait_sync")


@dataclass(frozen=True)
class WorkspaceState:
    """State of one workspace at one moment."""

    exists: bool = False
    problem: str = ""
    """One sentence when subject.json cannot be used."""
    id: str = ""
    """Lasting id of the subject; empty where there is no workspace."""
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
    """Steps the newest checkpoint has learnt; 0 without one."""
    trained_preset: str = ""
    trained_psnr: float | None = None

    @property
    def tracked(self) -> bool:
        return all(self.stages.get(stage) == "done" for stage in STAGES)

    @property
    def stages_done(self) -> int:
        return sum(self.stages.get(stage) == "done" for stage in STAGES)


_cache: tuple[tuple, WorkspaceState] = ((), WorkspaceState())


def workspace_state(root: Path | None) -> WorkspaceState:
    """State of the workspace at `root`, read anew only when its files changed: cheap enough for a panel's draw."""
    global _cache
    if root is None:
        return WorkspaceState()
    # Every write of the backend is a rename, which changes these.
    signature = (root, _signature(root / "subject.json"), _signature(root / "checkpoints"))
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
        subject = json.loads(path.read_text(encoding="utf-8"))
        found = int(subject["format"])
        if found > FORMAT:
            return WorkspaceState(
                problem=f"{root} was made by a newer SyncTalk (format {found}): update the add-on, or choose another."
            )
        consent = subject.get("consent") or {}
        given = bool(consent.get("given"))
        trained = _trained(root / "checkpoints")
        return WorkspaceState(
            exists=True,
            id=subject_id(subject),
            source=str(subject.get("source", "")),
            frames=int(subject.get("frames", 0)),
            fps=float(subject.get("fps", 25.0)),
            duration_s=float(subject.get("duration_s", 0.0)),
            audio_offset_ms=float(subject.get("audio_offset_ms", 0.0)),
            consent_by=str(consent.get("by", "")) if given else "",
            consent_when=str(consent.get("when", "")) if given else "",
            stages={name: str(stage.get("state", "")) for name, stage in subject.get("stages", {}).items()},
            **trained,
        )
    except (FileNotFoundError, NotADirectoryError):
        return WorkspaceState()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return WorkspaceState(problem=f"{path} cannot be read ({error}): restore it, or choose another workspace.")


def _trained(folder: Path) -> dict[str, Any]:
    # config.json describes the newest checkpoint, but only a checkpoint file is a head.
    steps = [int(path.stem[5:]) for path in folder.glob("step_*.safetensors") if path.stem[5:].isdigit()]
    if not steps:
        return {}
    found: dict[str, Any] = {"trained_step": max(steps)}
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found["trained_preset"] = str(config.get("preset", ""))
        psnr = config.get("psnr")
        found["trained_psnr"] = float(psnr) if psnr is not None else None
    except (OSError, ValueError, AttributeError, TypeError):
        pass  # the figures are for show; the head can be used without them
    return found
