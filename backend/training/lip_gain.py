"""How far a trained head's lips open against what its blendshapes ask for: speech is driven that much stronger."""

from __future__ import annotations

import json

import numpy as np

from ..workspace.files import write_json
from ..workspace.store import Workspace
from . import checkpoints

MOST = 1.5
"""Times the tracked motion at most: beyond that the field has seen nothing."""

_FILE = "lip_response.json"


def keep(workspace: Workspace, lip_range: float | None) -> None:
    """Remember of the newest checkpoint how far its lips open, drawn over real; None where no face was found."""
    newest = checkpoints.newest_path(workspace)
    if newest is not None and lip_range is not None:
        write_json(workspace.checkpoints / _FILE, {"checkpoint": newest.name, "lip_range": lip_range})


def amplitude(workspace: Workspace) -> float:
    """By what the mouth's motion is to be multiplied for the newest checkpoint to open as far as the subject: 1 to `MOST`;
    1 where nothing was measured."""
    newest = checkpoints.newest_path(workspace)
    try:
        kept = json.loads((workspace.checkpoints / _FILE).read_text(encoding="utf-8"))
        if newest is None or kept["checkpoint"] != newest.name:
            return 1.0
        return float(np.clip(1 / max(float(kept["lip_range"]), 1e-3), 1.0, MOST))
    except (OSError, ValueError, KeyError, TypeError):
        return 1.0
