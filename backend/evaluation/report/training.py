"""Section of the report: PSNR over the training."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from ...workspace.store import Workspace
from .. import charts


def training_section(workspace: Workspace) -> dict[str, Any] | None:
    """PSNR inside the head over the training: of validation frames and, where it was measured, of training frames."""
    log = training_log(workspace)
    if len(log) < 2:
        return None
    minutes = np.array([line["minutes"] for line in log])
    validation, trained = (np.array([line[name] for line in log]) for name in ("validation", "trained"))
    series = [(validation, "s1")]
    gap = None
    if np.isfinite(trained).any():
        series.append((trained, "s2"))
        both = np.flatnonzero(np.isfinite(validation) & np.isfinite(trained))
        gap = f"{trained[both[-1]] - validation[both[-1]]:.1f} dB" if len(both) else None
    return {
        "chart": charts.points_and_lines(
            minutes, series, x_label="minutes of training", y_label="PSNR of the head, dB"
        ),
        "trained": len(series) > 1,
        "gap": gap,
    }


def training_log(workspace: Workspace) -> list[dict[str, float]]:
    """`minutes`, `validation` and `trained` (decibels, NaN where not measured) of each line of `checkpoints/log.jsonl`.

    An older line has `psnr_head` for `psnr_validation`. Unreadable lines and those without a measurement are skipped.
    """
    found = []
    path = workspace.checkpoints / "log.jsonl"
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
            read = {
                "minutes": _finite(line["minutes"]),
                "validation": _finite(line.get("psnr_validation", line.get("psnr_head"))),
                "trained": _finite(line.get("psnr_train")),
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if np.isfinite(read["minutes"]) and not np.isnan([read["validation"], read["trained"]]).all():
            found.append(read)
    return found


def _finite(value: float | str | None) -> float:
    """A number of a file, NaN for none and for what is not finite."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else math.nan
