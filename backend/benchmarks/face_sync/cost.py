"""Seconds and memory of features for an hour of audio, in a separate process."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from ...errors import SyncTalkError
from ...media.audio import read_audio, write_wav
from ...media.audio_rates import RATE
from ...progress import Reporter
from ...workspace.store import Workspace

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
        begun = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "backend", "encoder", "features", str(path), "--out", str(out), "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
        ) as process:  # fmt: skip
            peak, watched = 0, psutil.Process(process.pid)
            while process.poll() is None:
                with contextlib.suppress(psutil.Error):
                    peak = max(peak, watched.memory_info().rss)
                time.sleep(0.05)
            output, error = process.communicate()
        if process.returncode:
            raise SyncTalkError(error.strip().splitlines()[-1].removeprefix("Error: "))
        seconds = time.monotonic() - begun
        frames = json.loads(output)["frames"]
        rows.append({"minutes": minutes, "seconds": round(seconds, 1), "peak_mb": round(peak / 1e6), "frames": frames})
        path.unlink()
        out.unlink()
    reporter.progress("features of long audio", len(MINUTES), len(MINUTES), "files")
    return rows
