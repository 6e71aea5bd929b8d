"""A strip of mouths at the vowels and closures of a sentence: the real ones above, the drawn ones below."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from scipy.signal import find_peaks

from ..workspace import FPS, write_image
from .evaluate import Evaluation, Pair
from .metrics import LIPS, lip_opening

MOMENTS = 14
APART = 3
"""Frames from one moment to the next, at least."""

_WIDTH = 180


def moments(opening: np.ndarray) -> list[tuple[int, str]]:
    """Rows of (N,) lip openings at which they are widest or shut, in order of time, with `open` or `shut`."""
    filled = np.interp(np.arange(len(opening)), np.flatnonzero(np.isfinite(opening)), opening[np.isfinite(opening)])
    reach = np.subtract(*np.percentile(filled, (95, 5)))
    found = []
    for sign, kind in ((1, "open"), (-1, "shut")):
        peaks, about = find_peaks(sign * filled, distance=APART, prominence=0.2 * reach)
        best = np.argsort(-about["prominences"])[: MOMENTS // 2]
        found += [(int(peaks[index]), kind) for index in best]
    return sorted(found)


def write_strip(path: Path, pairs: Iterable[Pair], found: Evaluation) -> None:
    """Write the strip as PNG.

    Args:
        pairs: the frames that `found` was measured on, once more.
        found: openings and landmarks of real and drawn mouths.
    """
    chosen = {int(found.index[row]): (row, kind) for row, kind in moments(lip_opening(found.landmarks_truth))}
    wide = float(np.nanmedian(np.ptp(found.landmarks_truth[:, list(LIPS), 0], axis=1)))
    columns = []
    for pair in pairs:
        if pair.index not in chosen:
            continue
        row, kind = chosen[pair.index]
        around = found.landmarks_truth[row][list(LIPS)]
        if not np.isfinite(around).all():
            continue
        mouths = [_cut(picture, around.mean(0), 2.0 * wide) for picture in (pair.truth, pair.predicted)]
        label = np.full((26, _WIDTH, 3), 24, np.uint8)
        text = f"{pair.index / FPS:.2f} s  {kind}"
        cv2.putText(label, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
        columns.append(np.concatenate([*mouths, label]))
    if columns:
        half = -(-len(columns) // 2)
        rows = [columns[:half], columns[half:]]
        rows[1] += [np.full_like(columns[0], 24)] * (half - len(rows[1]))
        write_image(path, np.concatenate([np.concatenate(row, 1) for row in rows]))


def _cut(picture: np.ndarray, centre: np.ndarray, span: float) -> np.ndarray:
    height = round(0.75 * _WIDTH)
    scale = _WIDTH / span
    matrix = np.array([[scale, 0, _WIDTH / 2 - scale * centre[0]], [0, scale, height / 2 - scale * centre[1]]])
    return cv2.warpAffine(
        np.ascontiguousarray(picture), matrix, (_WIDTH, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
