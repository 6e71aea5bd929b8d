"""The static background behind the person."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from ..compilation import has_numba
from .fill import disc, push_pull
from .pixels import largest

_FEWEST_STILL, _STILL_SHARE = 6, 0.15
"""Frames that must show a pixel of `still_background`: so many, and this share."""
_AGREEING = 0.6
"""Of these, the share that shows one colour: in the others a strand may be before it."""
SELDOM = 0.3
"""Share of the frames below which a place is seldom seen."""
_USUAL, _DIFFERENT = 3.0, 2.0
"""Mean difference of frames from their median, at least, in 8-bit levels, and from how many times that on they show different things."""
_LEAST_MOTION = 0.02
"""Standard deviation of the head's place in these, in its own size: less, and its wisps are still too."""


def masked_median(frames: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median over time of the pixels that are not hidden.

    Args:
        frames: (N, H, W, 3) uint8.
        hidden: (N, H, W) bool, True where the person is (dilated by the caller).

    Returns:
        (H, W, 3) uint8, zero where a pixel is never seen, and (H, W) int, in how many frames it is seen.
    """
    count = (~hidden).sum(axis=0)
    median = np.zeros(frames.shape[1:], np.uint8)
    rows = max(1, (1 << 22) // max(1, frames.shape[0] * frames.shape[2] * 3))
    for top in range(0, frames.shape[1], rows):  # in strips: the sort would need several copies of the clip
        strip = slice(top, top + rows)
        # Hidden values are sorted to the end as 255, so the median of the visible ones is at half their count.
        values = np.where(hidden[:, strip, :, None], np.uint8(255), frames[:, strip])
        values.sort(axis=0)
        middle = np.maximum(count[strip] - 1, 0) // 2
        median[strip] = np.take_along_axis(values, middle[None, :, :, None], axis=0)[0]
    median[count == 0] = 0
    return median, count


def still_background(
    frames: np.ndarray, hidden: np.ndarray, unseen: np.ndarray, heads: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Background close to the person, which a wide margin hides: what keeps its colour while the head moves.

    A network's margin that is itself still (it takes part of a frame on the wall for hair) would else hide it for ever.

    Args:
        frames, hidden: as `masked_median`; hidden by a narrow margin.
        unseen: (H, W) bool, where it is looked for.
        heads: (N, 2) where the head is, in its own size; NaN in frames without one, which do not count.
        noise: standard deviation of the background, 8-bit levels.

    Returns:
        (H, W, 3) uint8 and (H, W) bool, where it was found.
    """
    count, height, width = hidden.shape
    result, found = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)
    tracked = np.isfinite(heads).all(axis=1)
    least = max(_FEWEST_STILL, round(_STILL_SHARE * tracked.sum()))
    pixels = np.flatnonzero(unseen & ((~hidden[tracked]).sum(axis=0) >= least))
    if not pixels.size:
        return result, found
    values = frames[tracked].reshape(-1, height * width, 3)[:, pixels]
    covered = hidden[tracked].reshape(-1, height * width)[:, pixels]
    middle, _ = masked_median(values[:, None], covered[:, None])
    residual = np.stack([np.abs(value.astype(np.int16) - middle[0]).max(axis=1) for value in values])
    shows = ~covered & (residual < 2.0 + 3.0 * noise)
    showing = shows.sum(axis=0)
    weight = shows / np.maximum(showing, 1).astype(np.float32)
    places = heads[tracked].T.astype(np.float32)
    motion = (places**2 @ weight - (places @ weight) ** 2).sum(axis=0)
    still = (showing >= least) & (showing >= _AGREEING * (~covered).sum(axis=0)) & (motion > _LEAST_MOTION**2)
    result.reshape(-1, 3)[pixels] = middle[0]
    found.reshape(-1)[pixels] = still
    return result, found


def without_specks(seen: np.ndarray, radius_px: float) -> np.ndarray:
    """What is seen, (H, W) bool, without islands and spikes that hold no disc of `radius_px`: these have the colours of the person's
    border, as only a few frames show them."""
    return cv2.morphologyEx(seen.astype(np.uint8), cv2.MORPH_OPEN, disc(radius_px)) > 0


def fill_unseen(background: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Fill never-seen pixels smoothly from their surroundings. (H, W, 3) uint8, (H, W) bool -> (H, W, 3) uint8."""
    filled = push_pull(background.astype(np.float32), seen.astype(np.float32))
    return np.where(seen[..., None], background, np.clip(np.rint(filled), 0, 255).astype(np.uint8))


def match_to_frame(background: np.ndarray, frame: np.ndarray, visible: np.ndarray, limit: float = 30.0) -> np.ndarray:
    """The background as it is in this frame, with exposure flicker and slow changes extrapolated behind the person.

    The difference between frame and background is known where the background is visible; it is low-pass filtered and
    extended smoothly into the hidden part.

    Args:
        background, frame: (H, W, 3) uint8 or float32, 0 to 255.
        visible: (H, W) float32, 1 where the frame certainly shows background.
        limit: differences beyond this (in 8-bit levels, over the three channels) are motion, not light.

    Returns:
        (H, W, 3) float32, 0 to 255.
    """
    height, width = visible.shape
    # A low-pass filter needs few pixels: the difference is taken at a quarter of the size and kept at an eighth.
    quarter, eighth = ((max(1, width // step), max(1, height // step)) for step in (4, 8))
    small, small_background, weight = (
        cv2.resize(part, quarter, interpolation=cv2.INTER_AREA) for part in (frame, background, visible)
    )
    difference = cv2.subtract(small, small_background, dtype=cv2.CV_32F)
    weight = weight * (np.einsum("hwc,hwc->hw", difference, difference) < limit**2)
    low = cv2.resize(difference * weight[..., None], eighth, interpolation=cv2.INTER_AREA)
    low_weight = cv2.resize(weight, eighth, interpolation=cv2.INTER_AREA)
    low = push_pull(low / np.maximum(low_weight, 1e-6)[..., None], low_weight)
    smooth = cv2.resize(cv2.GaussianBlur(low, (0, 0), 1.0), (width, height), interpolation=cv2.INTER_LINEAR)
    if has_numba() and background.dtype == np.uint8:
        from .fill_kernels import add_light

        add_light(background, smooth)
        return smooth
    lit = cv2.add(background, smooth, dtype=cv2.CV_32F)
    return np.clip(lit, 0.0, 255.0, out=lit)


def mean_residual(
    frames: Iterable[np.ndarray], hidden: Iterable[np.ndarray], background: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far frames differ from the background where they show it, in the mean, and in how many they do.

    Args and shapes as `masked_median`, one after the other, and its result.

    Returns:
        (H, W) float32 twice; 8-bit levels, 0 where none shows it.
    """
    height, width = background.shape[:2]
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for frame, mask in zip(frames, hidden):  # noqa: B905 (same length by construction)
        seen = np.logical_not(mask).view(np.uint8)
        cv2.accumulate(largest(cv2.absdiff(frame, background)), total, seen)
        cv2.accumulate(seen, count)
    return total / np.maximum(count, 1.0), count


def disagreeing(frames: np.ndarray, hidden: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Where the few frames that show a background show different things: skin below the hair, say, which a mask has missed.

    Args and shapes as `masked_median`, and its result.

    Returns:
        (H, W) bool.
    """
    residual, count = mean_residual(frames, hidden, background)
    often = count >= SELDOM * len(frames)
    usual = float(np.percentile(residual[often], 90)) if often.any() else 0.0
    return ~often & (count > 0) & (residual > _DIFFERENT * max(usual, _USUAL))


def temporal_noise(frames: Iterable[np.ndarray], hidden: Iterable[np.ndarray], background: np.ndarray) -> np.ndarray:
    """Residual of the visible background about its median, per pixel and smooth over the surroundings.

    Args as `mean_residual`.

    Returns:
        (H, W) float32, standard deviation in 8-bit levels, at least 1.
    """
    mean, count = mean_residual(frames, hidden, background)
    mean = push_pull(mean[..., None], (count > 0).astype(np.float32))[..., 0]
    peak = cv2.blur(cv2.dilate(mean, np.ones((3, 3), np.uint8)), (5, 5))
    return np.maximum(1.0, 1.2533 * peak)  # of a normal distribution the mean deviation is 0.8 sigma
