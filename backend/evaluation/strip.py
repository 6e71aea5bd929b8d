"""Mouths at the vowels and closures of a sentence: the real ones above, the drawn ones below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.signal import find_peaks

from ..workspace.landmarks import LIPS, lip_opening
from .evaluate import Evaluation, FramePair, Pair

MOMENTS = 14
APART_S = 0.12
"""From one moment to the next, at least."""

PROMINENCE = 0.2
"""Of the lips' range: by how much a vowel or a closure exceeds its surroundings."""

_WIDTH = 180


@dataclass(frozen=True)
class Moment:
    """One moment: its time, what the real lips do (`open` or `shut`), and both mouths, (135, 180, 3) uint8."""

    time_s: float
    kind: str
    truth: np.ndarray
    predicted: np.ndarray


def moments(found: Evaluation) -> dict[int, str]:
    """Frame numbers at which the real lips are widest or shut, and which of the two."""
    opening = lip_opening(found.landmarks_truth)
    known = np.isfinite(opening)
    apart = max(1, round(APART_S * found.fps))
    if known.sum() < max(apart, 3):
        return {}
    filled = np.interp(np.arange(len(opening)), np.flatnonzero(known), opening[known])
    reach = float(np.subtract(*np.percentile(filled, (95, 5))))
    chosen: dict[int, str] = {}
    for sign, kind in ((1, "open"), (-1, "shut")):
        peaks, about = find_peaks(sign * filled, distance=apart, prominence=max(PROMINENCE * reach, 1e-9))
        best = peaks[np.argsort(-about["prominences"])[: MOMENTS // 2]]
        chosen |= {int(found.index[row]): kind for row in best if known[row]}
    return dict(sorted(chosen.items()))


def keeping(pairs: Iterable[Pair], wanted: Iterable[int], kept: dict[int, FramePair]) -> Iterator[Pair]:
    """Pass on pairs of frames and put those whose number is wanted into `kept`."""
    chosen = set(wanted)
    for pair in pairs:
        if pair.index in chosen:
            kept[pair.index] = FramePair(pair.index, pair.predicted.copy(), pair.truth.copy())
        yield pair


def strip(found: Evaluation, kinds: dict[int, str], kept: dict[int, FramePair]) -> list[Moment]:
    """The mouths of the pairs that were kept, all cut at one scale about the real lips.

    Args:
        found: landmarks of the real frames; kinds: from `moments`; kept: from `keeping`.
    """
    if not kinds:
        return []
    wide = float(np.nanmedian(np.ptp(found.landmarks_truth[:, list(LIPS), 0], axis=1)))
    shown = []
    for index, kind in kinds.items():
        around = found.landmarks_truth[int(np.flatnonzero(found.index == index)[0])][list(LIPS)]
        if index in kept and np.isfinite(around).all():
            pair, centre = kept[index], around.mean(0)
            mouths = [_cut(image, centre, 2.0 * wide) for image in (pair.truth, pair.predicted)]
            shown.append(Moment(index / found.fps, kind, *mouths))
    return shown


def strip_image(shown: list[Moment]) -> np.ndarray:
    """All moments in one image, (H, W, 3) uint8: two rows of real over drawn mouths with their times."""
    columns = []
    for moment in shown:
        label = np.full((26, _WIDTH, 3), 24, np.uint8)
        text = f"{moment.time_s:.2f} s  {moment.kind}"
        cv2.putText(label, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (235, 235, 235), 1, cv2.LINE_AA)
        columns.append(np.concatenate([moment.truth, moment.predicted, label]))
    half = -(-len(columns) // 2)
    rows = [columns[:half], columns[half:]]
    rows[1] += [np.full_like(columns[0], 24)] * (half - len(rows[1]))
    return np.concatenate([np.concatenate(row, 1) for row in rows])


def _cut(image: np.ndarray, centre: np.ndarray, span: float) -> np.ndarray:
    height = round(0.75 * _WIDTH)
    scale = _WIDTH / span
    matrix = np.array([[scale, 0, _WIDTH / 2 - scale * centre[0]], [0, scale, height / 2 - scale * centre[1]]])
    return cv2.warpAffine(image, matrix, (_WIDTH, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
