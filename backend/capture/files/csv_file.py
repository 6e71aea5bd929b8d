"""CSV: Live Link Face's takes, and plain tables of ARKit's names.

Live Link Face writes `Timecode,BlendShapeCount` and 61 values: ARKit's 52 in PascalCase, and yaw, pitch and roll of the
head and of both eyes, in radians. Columns are found by their names alone.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ...progress import Reporter
from ...workspace.frame_rate import Timecode
from ..axes import turn_of
from ..face_capture import FaceCapture
from .frame_times import FrameTimes, at_rate, at_times, no_rate
from .table import HEAD_ANGLES, Table
from .timecodes import code_times
from .values import ShapeColumns, no_known_names

_TIMES = ("time", "time_s", "time_ms", "times", "timestamp", "timestamp_ms", "t", "seconds", "ms")
_FRAMES = ("frame", "frames", "frame_number", "frameindex", "frame_index")


def read_csv(table: Table, rate: Fraction | None, video_rate: Fraction | None, reporter: Reporter) -> FaceCapture:
    """A take.

    Args:
        rate: of the samples, or of the time codes; None for what the file shows.
        video_rate: of the take's video; decides between 59.94 and 60.

    Raises:
        CaptureError: values, times or names that cannot be used: file, line and what to do.
    """
    found = ShapeColumns.of(table.header, table.path)
    angles = [table.column(name) for name in HEAD_ANGLES]
    if not found.shapes and None in angles:
        raise no_known_names(table.path, table.header)
    when, start = _times(table, rate, video_rate, reporter)
    table = table.only(when.kept.tolist())
    blendshapes, present = found.filled(table.numbers(found.columns), table.path, table.where)
    head = None
    if None not in angles:
        values = table.numbers([column for column in angles if column is not None])
        head = turn_of(values) if np.ptp(values, 0).any() else None
    return FaceCapture(when.times_s, blendshapes, present, when.rate, head, start=start)


def _times(
    table: Table, rate: Fraction | None, video_rate: Fraction | None, reporter: Reporter
) -> tuple[FrameTimes, Timecode | None]:
    column = table.column("timecode", "time code")
    if column is not None:
        return code_times(table, column, rate, video_rate, reporter)
    column = table.column(*_TIMES)
    if column is not None:
        return at_times(table.numbers([column])[:, 0], rate, table.path, table.where), None
    if rate is None:
        raise no_rate(table.path)
    column = table.column(*_FRAMES)
    if column is not None:
        numbers = table.numbers([column])[:, 0] / float(rate)
        return at_times(numbers, rate, table.path, table.where), None
    return at_rate(len(table.rows), rate), None
