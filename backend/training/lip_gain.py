"""Lip gain: how far a trained head's lips open for what its blendshapes ask; speech is driven stronger to make up for it."""

from __future__ import annotations

import json

import numpy as np

from ..workspace.files import write_json
from ..workspace.store import Workspace
from . import checkpoints

MAX_GAIN = 1.5
"""Beyond this multiple of the tracked motion the field has no training data."""

_FILE = "lip_gain.json"


def write_lip_range(workspace: Workspace, lip_range: float | None) -> None:
    """Record the newest checkpoint's lip range, rendered over real; nothing where it is None (no face was found)."""
    newest = checkpoints.newest_path(workspace)
    if newest is not None and lip_range is not None:
        write_json(workspace.checkpoints / _FILE, {"checkpoint": newest.name, "lip_range": lip_range})


def speech_gain(workspace: Workspace) -> float:
    """Factor for the mouth's motion with which the newest checkpoint opens as far as the subject, 1 to `MAX_GAIN`; 1 where
    its lip range is not known."""
    newest = checkpoints.newest_path(workspace)
    for path in sorted(workspace.checkpoints.glob("lip_*.json")):  # earlier versions wrote another name
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if newest is not None and record["checkpoint"] == newest.name:
                return float(np.clip(1 / max(float(record["lip_range"]), 1e-3), 1.0, MAX_GAIN))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return 1.0
