"""Seconds and memory of features for an hour of audio, in a separate process."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ...media.audio import read_audio, write_wav
from ...media.audio_rates import RATE
from ...progress import Reporter
from ...workspace.store import Workspace
from ..apart import run_apart

MINUTES = (6, 60)
"""Of audio: memory must not grow between them by more than the result."""


def measure(workspace: Workspace, work: Path, reporter: Reporter) -> list[dict[str, Any]]:
    """Features of the clip's own audio, repeated."""
    audio = read_audio(workspace.audio_path)
    rows = []
    for done, minutes in enumerate(MINUTES):
        reporter.progress("features of long audio", done, len(MINUTES), "files", f"{minutes} min")
        path, out = work / f"audio_{minutes}min.wav", work / "features.npz"
        times = math.ceil(minutes * 60 * RATE / len(audio))
        write_wav(path, (audio for _ in range(times)))
        run = run_apart("backend", "encoder", "features", str(path), "--out", str(out), "--json")
        frames, peak_mb = json.loads(run.out)["frames"], round(run.memory_mb)
        rows.append({"minutes": minutes, "seconds": round(run.seconds, 1), "peak_mb": peak_mb, "frames": frames})
        path.unlink()
        out.unlink()
    reporter.progress("features of long audio", len(MINUTES), len(MINUTES), "files")
    return rows
