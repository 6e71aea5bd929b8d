"""`models list`: what there is, what it is for, and which are on this machine."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from ... import models
from ...progress import Reporter


@dataclass(frozen=True)
class Options:
    pass


def run(options: Options, reporter: Reporter) -> list[dict[str, Any]]:
    """Every model as plain values; see `models.describe`."""
    del options, reporter
    return models.describe()


def in_words(rows: list[dict[str, Any]]) -> str:
    """Two lines a model, then whether the optional kernel is in use."""
    lines = [
        f"{row['name']}: {row['purpose']}\n"
        f"    {_size_in_words(row)}, {row['licence']}; {row['path'] or row['fault'] or 'not here'}"
        for row in rows
    ]
    return "\n".join([*lines, _tinycudann()])


def _tinycudann() -> str:
    """PyTorch is asked for a GPU only where the package is installed."""
    if not importlib.util.find_spec("tinycudann"):
        reason = "is not installed."
    else:
        from ...renderer import devices
        from ...renderer.field.kernels import why_not

        reason = why_not("tinycudann", devices.current())
    return f"tinycudann: a kernel for NVIDIA GPUs that you may add (docs/install.md)\n    {reason or 'in use'}"


def _size_in_words(row: dict[str, Any]) -> str:
    if row["size"]:
        return f"{row['size']:,} bytes"
    return f"about {row['about'] / 1e6:.0f} MB" if row["about"] else "size unknown"
