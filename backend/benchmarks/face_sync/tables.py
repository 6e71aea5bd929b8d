"""The figures of `bench face-sync` as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...face_sync.research.lip_probe import in_words as in_words_of


def in_words(result: dict[str, Any]) -> str:
    """Every part that was measured."""
    parts = [result["machine"]]
    writers: dict[str, Callable[[Any], str]] = {
        "lip_space": _lip_space,
        "sync": _sync,
        "capture": _capture,
        "driving": _driving,
        "cost": _cost,
    }
    for name, write in writers.items():
        if name in result:
            parts.append(write(result[name]))
    return "\n\n".join(parts)


def _lip_space(found: dict[str, Any]) -> str:
    lines = ["Lip space: correlation (CCC), means of clips of at least 10 s"]
    for name, table in found.items():
        if name == "clips":
            continue
        for measure, ways in table.items():
            if measure == "seconds":
                continue
            figures = ", ".join(f"{way} {in_words_of(row)}" for way, row in ways.items())
            lines.append(f"  {name:<10} {measure:<8} {figures}")
    lines.append("Every clip, opening:")
    for clip in found["clips"]:
        shown = []
        for name, table in found.items():
            if name != "clips":
                ways = table["opening"]
                shown.append(name + " " + "/".join(f"{row['clips'][clip][0]:.2f}" for row in ways.values()))
        lines.append(f"  {clip:<28} " + ", ".join(shown))
    lines.append(f"Adapting takes {found['adapted']['seconds']} s at most.")
    return "\n".join(lines)


def _sync(found: dict[str, Any]) -> str:
    shifts = found["shifts_ms"]
    lines = [f"Sync: error of the shift found, ms, for shifts of {shifts} ms"]
    for clip, row in found["clips"].items():
        errors = " ".join(f"{error:6.0f}" for error in row["errors_ms"])
        sure = f"sure of {row['sure']} of {len(shifts)}"
        lines.append(f"  {clip:<28} offset {row['offset_ms']:5.0f} ms ({row['confidence']:.2f}); {errors}; {sure}")
    return "\n".join(lines)


def _capture(found: dict[str, Any]) -> str:
    lines = ["Capture"]
    for name, row in found.get("truth", {}).items():
        worst = min(row["correlation"], key=row["correlation"].get)
        lines.append(
            f"  truth, {name}: mean absolute error {row['mean_absolute_error']:.3f} (of what moves "
            f"{row['mean_absolute_error_of_moved']:.3f}), least correlation {row['correlation'][worst]:.2f} ({worst})"
        )
    for clip, rows in found["task"].items():
        for against, row in rows.items():
            shown = ", ".join(f"{name} {'-' if value is None else f'{value:.2f}'}" for name, value in row.items())
            lines.append(f"  {clip:<28} against {against}: {shown}")
    return "\n".join(lines)


def _driving(found: dict[str, Any]) -> str:
    lines = [f"Trained head at {found['size']} px, held-out frames, tracked again"]
    for name, row in found["rows"].items():
        lines.append(f"  {name}: " + ", ".join(f"{key} {value}" for key, value in row.items()))
    lines.append("  pauses: " + ", ".join(f"{key} {value}" for key, value in found["pauses"].items()))
    for driver, row in found["disentanglement"].items():
        lines.append(f"  {driver}: " + ", ".join(f"{key} {value}" for key, value in row.items()))
    return "\n".join(lines)


def _cost(rows: list[dict[str, Any]]) -> str:
    shown = [f"  {row['minutes']} min of audio: {row['seconds']} s, {row['peak_mb']} MB" for row in rows]
    return "\n".join(["Features of long audio", *shown])
