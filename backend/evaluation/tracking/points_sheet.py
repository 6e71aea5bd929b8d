"""A contact sheet of the head points: tracked and reprojected places."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ...workspace.camera import PIXEL_CENTRE
from ..captions import draw_text, text_width
from .tracked import GROUND, NEUTRAL, QUIET, TEXT, WORST_PX, Tracked, cut_out, error_colours, in_cut_out, to_aspect

SHOWN = 6
COLUMNS = 3
CELL = (480, 440)
"""Height and width of a frame on the sheet, pixels."""

AROUND = 0.09
"""Margin around the head, in parts of its longer side."""

MAGNIFIED = 5
_GAP, _MARGIN, _CAPTION, _HEADING = 14, 22, 30, 62
_SHIFT = 4
"""Bits of a pixel's fraction that lines are drawn with."""


def points_sheet(tracked: Tracked, read_frame: Callable[[int], np.ndarray]) -> np.ndarray:
    """(H, W, 3) uint8: `SHOWN` frames spread over the clip, cropped to the head.

    A line joins a point's tracked place (the dot) with its reprojected one, `MAGNIFIED` times as long, coloured by error.
    """
    valid = np.flatnonzero(tracked.valid)
    chosen = valid[np.unique(np.linspace(0, len(valid) - 1, SHOWN).round().astype(int))]
    rows = -(-len(chosen) // COLUMNS)
    tall = CELL[0] + _CAPTION + _GAP
    sheet = np.empty(
        (_HEADING + rows * tall + _MARGIN - _GAP, 2 * _MARGIN + COLUMNS * (CELL[1] + _GAP) - _GAP, 3), np.uint8
    )
    sheet[:] = GROUND
    _heading(sheet)
    for place, frame in enumerate(chosen):
        top, left = _HEADING + place // COLUMNS * tall, _MARGIN + place % COLUMNS * (CELL[1] + _GAP)
        sheet[top : top + CELL[0], left : left + CELL[1]] = _cell(tracked, int(frame), read_frame(int(frame)))
        error = tracked.point_errors(int(frame))[2]
        end = draw_text(sheet, f"{frame / tracked.fps:.2f} s", (left, top + CELL[0] + 20), TEXT, 14)
        caption = f"frame {frame}, {len(error)} points"
        caption += f", median {np.median(error):.2f} px, worst {error.max():.1f} px" if len(error) else ""
        draw_text(sheet, caption, (end + 14, top + CELL[0] + 20), QUIET, 14)
    return sheet


def _cell(tracked: Tracked, frame: int, image: np.ndarray) -> np.ndarray:
    box = to_aspect(tracked.head_box(np.array([frame])), CELL[1] / CELL[0], AROUND)
    enlarged = cut_out(image, box, CELL, NEUTRAL, cv2.INTER_CUBIC)
    cell = np.ascontiguousarray((enlarged * 0.72).astype(np.uint8))  # darker, to set off the colours
    at, put, error = tracked.point_errors(frame)
    ends = in_cut_out(at + MAGNIFIED * (put - at), box, CELL) - PIXEL_CENTRE
    starts = in_cut_out(at, box, CELL) - PIXEL_CENTRE
    # The worst last, on top.
    for index in np.argsort(error):
        colour = tuple(int(value) for value in error_colours(error[index : index + 1])[0])
        start, end = (tuple((place[index] * 2**_SHIFT).round().astype(int).tolist()) for place in (starts, ends))
        cv2.line(cell, start, end, colour, 2, cv2.LINE_AA, _SHIFT)
        cv2.circle(cell, start, round(3.2 * 2**_SHIFT), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    return cell


def _heading(sheet: np.ndarray) -> None:
    text = (
        f"Head points: the dot is the tracked place, the line leads to the reprojected one ({MAGNIFIED} times as long)"
    )
    draw_text(sheet, text, (_MARGIN, 38), TEXT, 16)
    right, width = sheet.shape[1] - _MARGIN, 150
    last = f"{WORST_PX:g} px and more"
    right -= text_width(last, 14)
    draw_text(sheet, last, (right, 37), QUIET, 14)
    bar = slice(right - 10 - width, right - 10)
    sheet[26:38, bar] = error_colours(np.linspace(0, WORST_PX, width))
    draw_text(sheet, "0", (bar.start - 18, 37), QUIET, 14)
