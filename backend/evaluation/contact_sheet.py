"""Images to compare heads by eye: a sheet of poses and shapes, and a strip of open mouths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from ..renderer.head import HeadRenderer
from ..workspace.camera import Camera
from ..workspace.landmarks import LIPS, lip_opening
from ..workspace.shapes import Float, Int, UInt8
from .head_sweep import Condition, drawn, over_grey

MOUTHS = 20
MOUTHS_A_LINE = 10
MAGNIFIED = 3
APART = 3
"""Frames from one open mouth to the next, at least."""

_PAPER, _INK = 24, (235, 235, 235)
_LABEL = 24
_SPAN = 1.6
"""Side of the cut about a mouth, in widths of the mouth."""


def contact_sheet(
    heads: Mapping[str, HeadRenderer], camera: Camera, conditions: Sequence[Condition]
) -> UInt8[np.ndarray, "height width 3"]:
    """Heads side by side over grey, a row a condition, with labels.

    Args:
        heads: by the name above their column.
        camera: of one image.
    """
    columns = [
        np.concatenate([_label(name, camera.width), *(_bytes(image.rgba) for image in drawn(head, camera, conditions))])
        for name, head in heads.items()
    ]
    names = [_label("", 260), *(_label(condition.name, 260, camera.height) for condition in conditions)]
    return np.concatenate([np.concatenate(names), *columns], 1)


def open_mouths(landmarks_px: Float[np.ndarray, "n 478 2"], count: int = MOUTHS) -> Int[np.ndarray, " mouths"]:
    """Rows, in order, of the widest mouths that are at least `APART` from each other."""
    opening = lip_opening(landmarks_px)
    chosen: list[int] = []
    for row in np.argsort(-np.where(np.isfinite(opening), opening, -1)).tolist():
        if len(chosen) == count or not np.isfinite(opening[row]):
            break
        if all(abs(row - other) >= APART for other in chosen):
            chosen.append(row)
    return np.array(sorted(chosen), int)


def mouth_strip(
    rows: Mapping[str, Sequence[UInt8[np.ndarray, "height width 3"]]],
    landmarks_px: Float[np.ndarray, "mouths 478 2"],
) -> UInt8[np.ndarray, "height width 3"]:
    """The mouths of some frames, magnified, all cut at the same places.

    Args:
        rows: frames by the name before their row: the truth, then each head.
        landmarks_px: of the true frames.
    """
    lips = landmarks_px[:, list(LIPS)]
    side = round(_SPAN * float(np.median(np.ptp(lips[..., 0], axis=1))))
    centres = lips.mean(1)
    lines = []
    for first in range(0, len(centres), MOUTHS_A_LINE):
        for name, images in rows.items():
            shown = list(zip(images, centres, strict=True))[first : first + MOUTHS_A_LINE]
            cuts = [_cut(image, centre, side) for image, centre in shown]
            cuts += [np.full_like(cuts[0], _PAPER)] * (min(MOUTHS_A_LINE, len(centres)) - len(cuts))
            lines.append(np.concatenate([_label(name, 110, len(cuts[0])), *cuts], 1))
    return np.concatenate(lines)


def image_sheet(
    rows: Mapping[str, Mapping[str, UInt8[np.ndarray, "height width 3"]]],
) -> UInt8[np.ndarray, "sheet_height sheet_width 3"]:
    """Images of one size side by side, pixel for pixel, each under its name, and each row under its own."""
    lines = []
    for name, images in rows.items():
        width = next(iter(images.values())).shape[1]
        labelled = [np.concatenate([_label(column, width), image]) for column, image in images.items()]
        lines += [_label(name, width * len(images)), np.concatenate(labelled, 1)]
    return np.concatenate(lines)


def _cut(image: np.ndarray, centre: np.ndarray, side: int) -> np.ndarray:
    left, top = np.round(centre - side / 2).astype(int)
    padded = np.pad(image, ((side, side), (side, side), (0, 0)), mode="edge")
    row, column = np.clip((top + side, left + side), 0, (padded.shape[0] - side, padded.shape[1] - side))
    cut = np.ascontiguousarray(padded[row : row + side, column : column + side])
    return cv2.resize(cut, None, fx=MAGNIFIED, fy=MAGNIFIED, interpolation=cv2.INTER_NEAREST)


def _label(text: str, width: int, height: int = _LABEL) -> np.ndarray:
    paper = np.full((height, width, 3), _PAPER, np.uint8)
    place = (6, height // 2 + 5)
    return cv2.putText(paper, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, _INK, 1, cv2.LINE_AA)


def _bytes(rgba: np.ndarray) -> np.ndarray:
    return np.rint(255 * over_grey(rgba)).astype(np.uint8)
