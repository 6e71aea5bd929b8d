"""Lip gain: how far a trained head's lips open for what its blendshapes ask; speech is driven stronger to make up for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..workspace.checkpoint_index import AUTO, FIELD, head_paths, kind_of
from ..workspace.files import write_json
from ..workspace.store import Workspace

MAX_GAIN = 1.5
"""Beyond this multiple of the tracked motion the field has no training data."""


def write_lip_range(workspace: Workspace, checkpoint: Path, lip_range: float | None) -> None:
    """Record the lip range of a checkpoint, rendered over real; nothing where it is None (no face was found)."""
    if lip_range is not None:
        kind = kind_of(checkpoint)
        name = "lip_gain.json" if kind == FIELD else f"lip_gain_{kind}.json"
        write_json(workspace.checkpoints / name, {"checkpoint": checkpoint.name, "lip_range": lip_range})


def speech_gain(workspace: Workspace, head: str = AUTO) -> float:
    """Factor for the mouth's motion with which the newest checkpoint of a head opens as far as the subject, 1 to `MAX_GAIN`;
    1 where its lip range is not known."""
    newest = next(iter(head_paths(workspace.checkpoints, head)), None)
    for path in sorted(workspace.checkpoints.glob("lip_*.json")):  # earlier versions wrote another name
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if newest is not None and record["checkpoint"] == newest.name:
                return float(np.clip(1 / max(float(record["lip_range"]), 1e-3), 1.0, MAX_GAIN))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return 1.0
