"""How large the face is in the working frame, and what would make it larger."""

from __future__ import annotations

import math

import numpy as np

from ..progress import Reporter
from ..workspace.subject import Crop
from .checks import MIN_CLIP_S, Survey
from .crop import FACE_SHARE, MULTIPLE, choose_crop
from .decode import ClipInfo

WANTED_PX = 200
"""Height of a face at which lips and eyes can be trained well."""

LEAST_PX = 64
"""Below this teeth and lids are lost: the mouth is some 20 pixels wide."""

LEAST_MOVING_PX = 120
"""The same where the face is small only because the frame holds all the places a person walks to."""

LARGEST_SIDE = 4096

_STAYS = 0.75
"""Threshold for suggesting a part of the clip: the face takes this much of the share of a person who stays."""


def report_face_size(info: ClipInfo, survey: Survey, crop: Crop, side: int, reporter: Reporter) -> None:
    """Warn of a face that is small in the working frame, with what makes it larger and by how much."""
    tall = _median_height(survey.boxes)
    face = tall * side / crop.size
    moves = tall / crop.size < _STAYS * FACE_SHARE
    if face >= (LEAST_MOVING_PX if moves else LEAST_PX):
        return
    what = f"The face in {info.path} is only {face:.0f} of the working frame's {side} pixels tall"
    advice = []
    if moves:
        reach = np.percentile(survey.boxes[:, 2], 98) - np.percentile(survey.boxes[:, 0], 2)
        what += f": the person moves over {reach:.0f} of {info.width} pixels, and the frame covers them all"
        advice += _shorter(info, survey, side)
    wanted = min(math.ceil(WANTED_PX * crop.size / tall), int(crop.size), LARGEST_SIDE) // MULTIPLE * MULTIPLE
    larger, larger_side = choose_crop(survey.boxes, info.width, info.height, wanted)
    if (gained := tall * larger_side / larger.size) > 1.2 * face:
        advice.append(f"process with --size {wanted} for a face of {gained:.0f} pixels (takes more time and memory)")
    advice = advice or ["record closer"]
    reporter.warning(f"{what}. Lips and eyes will lack detail: {', or '.join(advice)}.")


def _shorter(info: ClipInfo, survey: Survey, side: int) -> list[str]:
    """The longest part in which the person stays in place, as advice, where it is long enough for a clip."""
    seen = [index for index, found in enumerate(survey.faces) if found]
    boxes, time_s = survey.boxes, np.array(survey.time_s)[seen]
    first, best = 0, (0, 0)
    for last in range(len(boxes)):
        while not _stays(boxes[first : last + 1]):
            first += 1
        if time_s[last] - time_s[first] > time_s[best[1]] - time_s[best[0]]:
            best = first, last
    start_s, end_s = float(time_s[best[0]]), float(time_s[best[1]])
    if end_s - start_s < MIN_CLIP_S:
        return []
    part = boxes[best[0] : best[1] + 1]
    crop, part_side = choose_crop(part, info.width, info.height, side)
    face = _median_height(part) * part_side / crop.size
    return [f"cut the clip to {start_s:.1f} s to {end_s:.1f} s for a face of {face:.0f} pixels"]


def _stays(boxes: np.ndarray) -> bool:
    needed = max(np.max(boxes[:, 2:], axis=0) - np.min(boxes[:, :2], axis=0))
    return _median_height(boxes) >= _STAYS * FACE_SHARE * (needed + 0.8 * _median_height(boxes))


def _median_height(boxes: np.ndarray) -> float:
    return float(np.median(boxes[:, 3] - boxes[:, 1]))
