"""How visible the seam between a head and its surroundings is: the steepest step across the head's contour, over the true one."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..workspace.shapes import Float, UInt8

REACH = 0.015
"""How far to both sides of the contour the steepest step is looked for, of the image's longer side: that of `psnr_edge`."""
LOCAL = 0.08
"""Length of the contour over which the worst place is averaged, of the image's longer side."""
_SAMPLE = 0.5
"""Pixels between samples of a profile across the contour."""
_FLOOR = 1.0
"""Grey levels a pixel added to both steps where places are compared: hair against a dark wall has none to divide by."""
_HALF = 127.5


@dataclass(frozen=True)
class Contour:
    """Where a matte is one half.

    Attributes:
        points_px: x and y, about a pixel apart, the first pixel's centre at (0.5, 0.5); in runs along the border.
        normals: unit vectors across it, out of the head.
    """

    points_px: Float[np.ndarray, "k 2"]
    normals: Float[np.ndarray, "k 2"]

    @classmethod
    def of(cls, matte: UInt8[np.ndarray, "height width"]) -> Contour:
        """Of a head's matte; the image's own border, where the head is cut off, is no contour."""
        from skimage.measure import find_contours

        reach = _reach(matte.shape)
        smooth = cv2.GaussianBlur(matte.astype(np.float32), (0, 0), max(0.5 * reach, 0.8))
        rows, columns = np.gradient(smooth)
        lines = [line[:, ::-1] for line in find_contours(matte.astype(np.float32), _HALF) if len(line) > 4 * reach]
        points = np.concatenate(lines) if lines else np.zeros((0, 2))  # pixel centres at whole numbers here
        inside = ((points >= reach) & (points <= np.array(matte.shape[::-1]) - 1 - reach)).all(1)
        points = points[inside]
        outward = -np.stack([_sampled(columns, points), _sampled(rows, points)], 1)
        length = np.linalg.norm(outward, axis=1, keepdims=True)
        known = length[:, 0] > 1e-3
        return cls(points[known] + 0.5, outward[known] / length[known])


@dataclass(frozen=True)
class Seam:
    """The step across the contour of one frame, as a ratio to the true frame's: 1 as in the footage, more where an edge shows.

    NaN where the frame has no such part.

    Attributes:
        ratio: along all of the contour.
        hair: where hair borders on what is behind it.
        jaw: where skin borders on neck or clothing.
        worst: at the worst place, `LOCAL` of the image long.
        worst_px: x and y of that place.
        worst_part: what is there: `hair`, `jaw`, or `skin` before the background.
    """

    ratio: float
    hair: float
    jaw: float
    worst: float
    worst_px: tuple[float, float]
    worst_part: str


def seam(
    predicted: UInt8[np.ndarray, "height width 3"],
    truth: UInt8[np.ndarray, "height width 3"],
    contour: Contour,
    hair: UInt8[np.ndarray, "height width"],
    body: UInt8[np.ndarray, "height width"],
) -> Seam:
    """Compare the steps of two frames across the same contour.

    At each point of the contour both frames are read along its normal; the step is the largest difference of colour over a
    pixel within `REACH`, so a border that lies a pixel further out counts as what it is. A ratio is the sum of the predicted
    steps over that of the true ones.

    Args:
        contour: of the true head's matte.
        hair, body: mattes of the true frame.
    """
    reach = _reach(truth.shape)
    drawn, real = (steepest_steps(image, contour, reach) for image in (predicted, truth))
    if not len(real):
        return Seam(*(float("nan"),) * 4, (float("nan"),) * 2, "")
    inner, outer = (contour.points_px + side * reach * contour.normals - 0.5 for side in (-1, 1))
    is_hair = _sampled(hair.astype(np.float32), inner) > _HALF
    is_jaw = ~is_hair & (_sampled(body.astype(np.float32), outer) > _HALF)
    local, at = _worst_place(drawn, real, contour.points_px, LOCAL * max(truth.shape))
    return Seam(
        _ratio(drawn, real, np.ones_like(is_hair)),
        _ratio(drawn, real, is_hair),
        _ratio(drawn, real, is_jaw),
        local,
        (float(contour.points_px[at, 0]), float(contour.points_px[at, 1])),
        "hair" if is_hair[at] else "jaw" if is_jaw[at] else "skin",
    )


def steepest_steps(image: UInt8[np.ndarray, "height width 3"], contour: Contour, reach: int) -> Float[np.ndarray, " k"]:
    """The largest change of colour over a pixel across each point of a contour: root mean square of the channels, grey levels."""
    offsets = np.arange(-reach, reach + 0.5 * _SAMPLE, _SAMPLE)
    places = contour.points_px[:, None] - 0.5 + offsets[:, None] * contour.normals[:, None]
    profiles = _sampled(image.astype(np.float32), places)
    apart = round(1 / _SAMPLE)
    steps = np.sqrt(np.square(profiles[:, apart:] - profiles[:, :-apart]).mean(-1))
    return steps.max(axis=1, initial=0.0).astype(np.float64)


def _worst_place(drawn: np.ndarray, real: np.ndarray, points: np.ndarray, length: float) -> tuple[float, int]:
    """The largest ratio over an interval of the contour, and the index of its middle."""
    count = max(1, min(round(length), len(real)))
    window = np.ones(count)
    ratios = np.convolve(drawn + _FLOOR, window, "valid") / np.convolve(real + _FLOOR, window, "valid")
    # An interval that leaps from one line of the contour to the next is no place.
    whole = np.linalg.norm(points[count - 1 :] - points[: len(points) - count + 1], axis=1) <= 1.5 * count
    at = int(np.argmax(np.where(whole, ratios, 0.0)))
    return float(ratios[at]), at + count // 2


def _ratio(drawn: np.ndarray, real: np.ndarray, chosen: np.ndarray) -> float:
    chosen = chosen.astype(bool)
    total = float(real[chosen].sum())
    return float(drawn[chosen].sum()) / total if total > 0 else float("nan")


def _reach(shape: tuple[int, ...]) -> int:
    return max(round(REACH * max(shape)), 2)


def _sampled(image: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Bilinear values at (..., 2) places x and y, pixel centres at whole numbers."""
    shape = (*places.shape[:-1], *image.shape[2:])
    if not places.size:
        return np.zeros(shape, np.float32)
    flat = places.reshape(-1, 1, 2).astype(np.float32)
    rows = [
        cv2.remap(image, part[..., 0], part[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for part in np.array_split(flat, len(flat) // 30_000 + 1)  # OpenCV's images have fewer rows than 32,768
    ]
    return np.concatenate(rows).reshape(shape)
