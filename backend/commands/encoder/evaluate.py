"""`encoder evaluate`: how well an encoder's features predict the lips of processed clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...progress import Reporter
from ..option import option


@dataclass(frozen=True)
class Options:
    workspaces: tuple[Path, ...] = option("processed clips", positional=True, nargs="+", metavar="WS")
    encoder: tuple[str, ...] = option("as of features; may be given again (all that are here)", (), metavar="NAME")


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """`clips`, their names, and `encoders`, the table of each.

    Raises:
        SyncTalkError: a workspace is not processed, or an encoder is not here.
    """
    from ...face_sync.encoders import present
    from ...face_sync.research import lip_probe
    from ...workspace.store import Workspace

    clips = [lip_probe.ProbeClip.of(Workspace.open(root)) for root in options.workspaces]
    names = options.encoder or present()
    tables = {}
    for done, name in enumerate(names):
        reporter.progress("encoders", done, len(names), "encoders", name)
        tables[name] = lip_probe.encoder_table(name, clips)
    reporter.progress("encoders", len(names), len(names), "encoders")
    return {"clips": [clip.name for clip in clips], "encoders": tables}


def in_words(result: dict[str, Any]) -> str:
    """A line for each encoder and measure."""
    from ...face_sync.research import lip_probe

    lines = [f"clips: {', '.join(result['clips'])}", "correlation (CCC), means of clips of at least 10 s"]
    for encoder, table in result["encoders"].items():
        for measure, ways in table.items():
            figures = ", ".join(f"{way} {lip_probe.in_words(row)}" for way, row in ways.items())
            lines.append(f"{encoder:>12} {measure:>8}: {figures}")
    return "\n".join(lines)
