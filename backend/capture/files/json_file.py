"""JSON: Audio2Face-3D's exports, and frames of ARKit's names as trackers and web pages write them.

Audio2Face: `exportFps`, `facsNames`, `numFrames`, `weightMat` (a row a frame), `trackPath` of the audio. Others: a list of
frames (objects of names and values, alone or under `blendshapes` and its like, or MediaPipe's `faceBlendshapes`), alone or
under `frames` or its like; a list of names with a row a frame; or a list of values for each name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CaptureError
from ..face_capture import FaceCapture
from ..names import shape_index
from .frame_times import FrameTimes, at_rate, at_times, no_rate, stated_rate
from .values import ShapeColumns, no_known_names

_RATE_KEYS = ("exportFps", "fps", "frameRate", "frame_rate", "framerate", "rate")
_FRAME_KEYS = ("frames", "faceBlendshapes", "face_blendshapes", "samples", "data", "animation", "results")
_SHAPE_KEYS = ("blendshapes", "blendShapes", "blend_shapes", "shapes", "weights", "values", "categories")
_NAME_KEYS = ("facsNames", "names", "blendshape_names", "blendShapeNames", "blendshapeNames")
_ROW_KEYS = ("weightMat", "weights", "values", "blendshapes", "blendShapes", "frames", "data")
_TIME_KEYS = ("time", "timestamp", "t", "time_s", "timestampMs", "timestamp_ms")
_TIMES_KEYS = ("times", "timestamps", "time", "frame_time_s")

_MOST = 1e300


def read_json(path: Path, text: str, rate: Fraction | None) -> FaceCapture:
    """A take.

    Args:
        rate: from the user; None for what the file states.

    Raises:
        CaptureError: no JSON, no shapes of ARKit's, frames that differ, or no times; file, frame and what to do.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"{path} is no whole JSON ({error}): export it again.") from error
    names, rows, stamps = _named_rows(value, path) or _named_columns(value, path) or _frames(value, path)
    if not rows:
        raise CaptureError(f"{path} has no frames: export the take again.")
    found = ShapeColumns.of(names, path)
    if not found.shapes:
        raise no_known_names(path, names)
    when = _times(value, len(rows), stamps, rate, path)
    values = _numbers(rows, names, path)[when.kept][:, found.columns]
    blendshapes, present = found.filled(values, path, lambda row: _where(int(when.kept[row])))
    return FaceCapture(when.times_s, blendshapes, present, when.rate, audio=_audio(value, path))


_Rows = tuple[Sequence[str], list[list[Any]], list[Any] | None]


def _named_rows(value: Any, path: Path) -> _Rows | None:
    """A list of names, and a row of values a frame."""
    names, rows = _first(value, _NAME_KEYS), _first(value, _ROW_KEYS)
    if not (isinstance(names, list) and isinstance(rows, list) and rows and isinstance(rows[0], list)):
        return None
    stated = value.get("numFrames")
    if isinstance(stated, int) and stated != len(rows):
        raise CaptureError(f"{path} announces {stated} frames and holds {len(rows)}: export it again.")
    for at, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            count = len(row) if isinstance(row, list) else "no"
            raise CaptureError(f"{path}, {_where(at)}: it has {count} values for {len(names)} names: export it again.")
    times = _first(value, _TIMES_KEYS)
    return [str(name) for name in names], rows, times if isinstance(times, list) else None


def _named_columns(value: Any, path: Path) -> _Rows | None:
    """A list of values for each name."""
    for holder in (value, _first(value, _SHAPE_KEYS)):
        if not isinstance(holder, dict):
            continue
        columns = {
            name: held for name, held in holder.items() if shape_index(name) is not None and isinstance(held, list)
        }
        if not columns:
            continue
        lengths = {len(held) for held in columns.values()}
        if len(lengths) > 1:
            raise CaptureError(
                f"{path}: its shapes have from {min(lengths)} to {max(lengths)} values: export it again."
            )
        times = _first(value, _TIMES_KEYS)
        rows = [list(row) for row in zip(*columns.values(), strict=True)]
        return list(columns), rows, times if isinstance(times, list) else None
    return None


def _frames(value: Any, path: Path) -> _Rows:
    """A list of objects; a frame that lacks a name, or has no face, keeps its value."""
    frames = value if isinstance(value, list) else _first(value, _FRAME_KEYS)
    if not isinstance(frames, list):
        raise no_known_names(path, list(value) if isinstance(value, dict) else [])
    shown = [_shapes_of(frame) for frame in frames]
    names = list(dict.fromkeys(name for shapes in shown for name in shapes))
    rows: list[list[Any]] = []
    stamps: list[Any] = []
    for frame, shapes in zip(frames, shown, strict=True):
        if not shapes and rows:
            continue
        before = rows[-1] if rows else [0.0] * len(names)
        rows.append([shapes.get(name, before[k]) for k, name in enumerate(names)])
        stamps.append(_first(frame, _TIME_KEYS))
    is_timed = bool(stamps) and all(isinstance(stamp, int | float) for stamp in stamps)
    if not is_timed and len(rows) < len(frames):
        raise CaptureError(f"{path} has frames without a face and no times: export it with times.")
    return names, rows, stamps if is_timed else None


def _shapes_of(frame: Any) -> dict[str, Any]:
    """Names and values of one frame; none where it shows no face."""
    if isinstance(frame, dict):
        held = _first(frame, (*_SHAPE_KEYS, *_FRAME_KEYS))
        if isinstance(held, dict | list):
            return _shapes_of(held)
        return {name: number for name, number in frame.items() if shape_index(name) is not None}
    if isinstance(frame, list) and frame and isinstance(frame[0], dict):
        if "categories" in frame[0]:  # one face a list: the first
            return _shapes_of(frame[0])
        named = (
            (item.get("categoryName", item.get("name", "")), item.get("score", item.get("value"))) for item in frame
        )
        return {str(name): number for name, number in named if shape_index(str(name)) is not None}
    return {}


def _first(value: Any, keys: Sequence[str]) -> Any:
    return next((value[key] for key in keys if key in value), None) if isinstance(value, dict) else None


def _times(value: Any, count: int, stamps: list[Any] | None, rate: Fraction | None, path: Path) -> FrameTimes:
    stated = _first(value, _RATE_KEYS)
    if rate is None and stated is not None:
        rate = stated_rate(stated, path, "its frame rate")
    if stamps is not None and len(stamps) == count:
        return at_times(_numbers([[stamp] for stamp in stamps], ["time"], path)[:, 0], rate, path, _where)
    if rate is None:
        raise no_rate(path)
    return at_rate(count, rate)


def _numbers(rows: list[list[Any]], names: Sequence[str], path: Path) -> np.ndarray:
    """(n, k) float64."""
    try:
        values = np.array(rows, np.float64)
        if np.isfinite(values).all():
            return values
    except (TypeError, ValueError, OverflowError):
        pass
    for at, row in enumerate(rows):
        for name, number in zip(names, row, strict=True):
            if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < _MOST:
                raise CaptureError(f"{path}, {_where(at)}: {name} is {number!r}, which is no number: export it again.")
    raise CaptureError(f"{path} has values that are no numbers: export it again.")


def _where(frame: int) -> str:
    return f"frame {frame}"


def _audio(value: Any, path: Path) -> Path | None:
    """The audio that Audio2Face names, at its place or beside the file."""
    stated = _first(value, ("trackPath", "audio", "audioPath"))
    if not isinstance(stated, str) or not stated.strip():
        return None
    name = stated.replace("\\", "/").rsplit("/", 1)[-1]
    places = (Path(stated), path.with_name(name))
    return next((place for place in places if place.is_file()), None)
