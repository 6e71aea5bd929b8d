"""Section of the report: a video that speaks new words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...progress import format_duration
from .. import charts
from ..images import data_address
from ..speech_video import CLOSE, Portrait, Speech, portraits
from .addresses import video_address

CLOSE_ROW = 10


def speech_section(speech: Speech, page: Path) -> dict[str, Any] | None:
    if not speech.images:
        return None
    close_ups = portraits(speech.images)
    spread = [frame for frame in speech.spread_frames() if frame in close_ups]
    close = [frame for frame in speech.close_frames() if frame in close_ups]
    section: dict[str, Any] = {
        "name": speech.name,
        "duration": format_duration(len(speech.audio) / speech.rate),
        "waveform": charts.waveform(
            speech.audio,
            speech.rate,
            marks=[(frame + 0.5) / speech.fps for frame in spread],
            course=speech.jaw_open,
            height=96 if speech.jaw_open is None else 150,
        ),
        "has_course": speech.jaw_open is not None,
        "spread": [
            {
                "time": f"{frame / speech.fps:.2f} s",
                "head": data_address(close_ups[frame].head),
                "mouth": data_address(close_ups[frame].mouth),
            }
            for frame in spread
        ],
        "close": [],
        "video": None if speech.video is None else video_address(speech.video, page),
    }
    if len(close) == CLOSE:
        rows = [close[:CLOSE_ROW], close[CLOSE_ROW:]]
        section["close_from"] = f"{close[0] / speech.fps:.2f} s"
        section["close"] = [_mouth_row(speech, row, close_ups) for row in rows]
    return section


def _mouth_row(speech: Speech, frames: list[int], close_ups: dict[int, Portrait]) -> dict[str, Any]:
    """Mouths one after another, each below its own interval of the audio."""
    first, last = frames[0], frames[-1] + speech.close_step
    samples = speech.audio[round(first / speech.fps * speech.rate) : round(last / speech.fps * speech.rate)]
    return {
        "waveform": charts.waveform(samples, speech.rate, start_s=first / speech.fps, height=84),
        "mouths": [
            {"time": f"{frame / speech.fps:.2f}", "image": data_address(close_ups[frame].mouth)} for frame in frames
        ],
    }
