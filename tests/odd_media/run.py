"""Reads hundreds of odd clips and fails where one is lost silently: `python -m tests.odd_media.run --out FOLDER`.

Needs the ffmpeg executable. Not run by pytest: it takes minutes, and what it makes depends on ffmpeg's encoders.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from backend.errors import SyncTalkError
from backend.media import stage
from backend.media.guard import guarded
from backend.progress import Reporter

from . import master, variations
from .reading import Reading, read

LOSS_S = 0.2
"""A silent loss of more is a fault."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder for clips and results")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of single variations; their clips are kept")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    source = options.out / "master.mkv"
    audio = master.write_master(source)
    rows = []
    started = time.monotonic()
    pool = _pool()
    for number in options.only or range(options.count):
        variation = variations.make(number, options.seed, source, options.out)
        try:
            reading = pool.submit(read, variation.path, options.out / "workspace", audio).result(timeout=300)
        except concurrent.futures.process.BrokenProcessPool:
            pool = _pool()
            reading = _read_guarded(variation.path, options.out / "workspace")
        faults = judge(variation, reading)
        rows.append(_row(variation, reading, faults))
        print(_line(rows[-1]), flush=True)
        if not faults and not options.only:
            variation.path.unlink()
    return _summary(rows, options.out, time.monotonic() - started)


def _pool() -> concurrent.futures.ProcessPoolExecutor:
    return concurrent.futures.ProcessPoolExecutor(1)


def _read_guarded(path: Path, root: Path) -> Reading:
    """What a user meets with a clip on which the reading process dies: the product's own guard."""
    try:
        guarded(stage.run_in, root, path, 256, reporter=Reporter(), about=path)
    except SyncTalkError as error:
        return Reading("refused", str(error), ["the reading process died"])
    return Reading("died", "the reading process died, and not when guarded")


def judge(variation: variations.Variation, reading: Reading) -> list[str]:
    """What is wrong with how a variation was read; nothing where it is right, or refused or reported with reason."""
    if reading.state in ("traceback", "died"):
        return [reading.text.strip().splitlines()[-1]]
    if reading.state == "refused":
        return _judge_refusal(variation, reading.text)
    faults = [*_judge_video(variation, reading), *_judge_audio(variation, reading)]
    if variation.cut and (reading.warnings or not variation.states_length):
        return [fault for fault in faults if "late" in fault]
    return faults


def _judge_refusal(variation: variations.Variation, text: str) -> list[str]:
    if not text.endswith(".") or "\n" in text:
        return [f"not a sentence: {text}"]
    expected = variation.cut or (not variation.has_audio and "has no audio" in text)
    return [] if expected else [f"refused: {text}"]


def _judge_video(variation: variations.Variation, reading: Reading) -> list[str]:
    faults = []
    lost_s = variation.lasts_s - reading.frames / reading.fps
    if abs(lost_s) > LOSS_S:
        faults.append(f"video is {lost_s:+.2f} s shorter")
    if len(reading.numbers) < 0.6 * reading.frames:
        return [*faults, f"only {len(reading.numbers)} of {reading.frames} frame numbers can be read"]
    late_s = np.array([time_s + variation.starts_s - number / master.FPS for time_s, number in reading.numbers])
    tolerance_s = 1 / variation.rate + 0.06
    wrong = np.abs(late_s - np.median(late_s)) > tolerance_s
    if variation.dropped:  # held images are late
        wrong = late_s - np.median(late_s) < -tolerance_s
    if wrong.mean() > 0.03:
        faults.append(f"{wrong.mean():.0%} of the frames are not at their time")
    if abs(np.median(late_s)) > tolerance_s:
        faults.append(f"video is {np.median(late_s):+.2f} s late")
    return faults


def _judge_audio(variation: variations.Variation, reading: Reading) -> list[str]:
    if not variation.has_audio:
        return ["read without audio"]
    heard = [(time_s, at_s) for time_s, at_s, likeness in reading.audio if likeness > 0.5]
    late_s = np.array([time_s + variation.starts_s - at_s for time_s, at_s in heard])
    if not len(late_s):
        return ["the audio is another"]
    faults = []
    seen_s = np.median([time_s + variation.starts_s - number / master.FPS for time_s, number in reading.numbers] or [0])
    off_s = float(np.median(late_s) - min(seen_s, 0.5 / variation.rate) - variation.audio_late_s)
    if abs(off_s) > 0.05 + 0.5 / variation.rate:
        faults.append(f"audio is {off_s:+.3f} s late against the video")
    if (np.abs(late_s - np.median(late_s)) > 0.05).mean() > 0.1:
        faults.append("parts of the audio are not at their time")
    # Between where the track begins and ends all of it must be there.
    first_s, last_s = max(variation.audio_late_s, 0) + 0.1, variation.lasts_s + min(variation.audio_late_s, 0) - 1.0
    lost = [time_s for time_s, _, likeness in reading.audio if first_s <= time_s <= last_s and likeness <= 0.5]
    if lost:
        faults.append(f"the audio is lost near {', '.join(f'{time_s:.1f}' for time_s in lost)} s")
    return faults


def _row(variation: variations.Variation, reading: Reading, faults: list[str]) -> dict:
    row = dataclasses.asdict(variation) | {"state": reading.state, "text": reading.text, "warnings": reading.warnings}
    return row | {"path": variation.path.name, "frames": reading.frames, "faults": faults}


def _line(row: dict) -> str:
    mark = "FAULT" if row["faults"] else "ok   "
    shown = row["faults"] or [row["text"], *row["warnings"]]
    return (
        f"{row['number']:4} {mark} {row['state']:9} {'; '.join(row['what'])} | {' | '.join(filter(None, shown))[:200]}"
    )


def _summary(rows: list[dict], out: Path, seconds: float) -> int:
    faulty = [row for row in rows if row["faults"]]
    states = Counter(row["state"] for row in rows)
    summary = {
        "variations": len(rows),
        "states": dict(states),
        "reported": sum(bool(row["warnings"]) for row in rows),
        "reader_died": sum("the reading process died" in row["warnings"] or row["state"] == "died" for row in rows),
        "faults": {row["number"]: row["faults"] for row in faulty},
        "seconds": round(seconds),
    }
    (out / "summary.json").write_text(json.dumps({"summary": summary, "rows": rows}, indent=1), encoding="utf-8")
    print(json.dumps(summary, indent=1))
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
