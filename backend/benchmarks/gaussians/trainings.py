"""Quality against training time: both heads, and the field alone, trained from nothing for the same minutes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...progress import Reporter
from ...workspace.checkpoint_index import FIELD, GAUSSIANS
from ...workspace.files import write_json
from ...workspace.store import Workspace
from .. import subject
from ..training import train_apart
from .quality import figures

TRAININGS = {"both": GAUSSIANS, "field": FIELD}
"""What `train --head` is given, and the head that is then evaluated."""


def trainings(
    workspaces: Iterable[Workspace], minutes: Iterable[float], preset: str, size: int, work: Path, reporter: Reporter
) -> list[dict[str, Any]]:
    """A row a training. Rows are kept in `work` as they are made: a run that was interrupted resumes behind the last, and rows of
    earlier runs, of other clips or minutes, are listed as well.

    Args:
        workspaces: processed; they are not changed.
        minutes: of the complete training, of both heads together.
    """
    kept = work / "trainings.json"
    rows: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    wanted = [(source, amount, head) for source in workspaces for amount in minutes for head in TRAININGS]
    for done, (source, amount, head) in enumerate(wanted):
        reporter.progress("trainings", done, len(wanted), "trainings")
        key = {"clip": source.root.name, "minutes": amount, "head": head, "preset": preset, "size": size}
        if not any(key.items() <= row.items() for row in rows):
            rows.append(key | _trained(source, work / "run", key))
            write_json(kept, rows)
    reporter.progress("trainings", len(wanted), len(wanted), "trainings")
    return rows


def _trained(source: Workspace, root: Path, key: dict[str, Any]) -> dict[str, Any]:
    workspace = subject.copied(source, root)
    arguments = ["--preset", key["preset"], "--minutes", str(key["minutes"]), "--head", key["head"]]
    return train_apart(workspace, arguments) | figures(workspace, TRAININGS[key["head"]], key["size"], Reporter())
