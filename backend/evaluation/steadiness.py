"""Temporal steadiness: what of a frame's change is not motion, against the true video.

The warping error of Lai et al. 2018 (Learning Blind Video Temporal Consistency): the frame before is warped by the optical flow
of the true video, and what still differs is flicker, swimming, or noise.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..workspace.shapes import Bool, Float, UInt8

_ROUND_TRIP, _ROUND_TRIP_PX2 = 0.01, 0.5
"""Flow there and back may miss by this, of its squared length and in square pixels (Sundaram, Brox, Keutzer 2010)."""


def optical_flow(
    image: UInt8[np.ndarray, "height width 3"], before: UInt8[np.ndarray, "height width 3"]
) -> tuple[Float[np.ndarray, "height width 2"], Bool[np.ndarray, "height width"]]:
    """Where each pixel of a frame was in the frame before, and where that can be relied on.

    Returns:
        Displacement in pixels (dense inverse search, Kroeger et al. 2016), and where the flow there and back agree: what was
        hidden in one of the frames has none.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    now, then = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (image, before))
    back = search.calc(now, then, None)
    forth = search.calc(then, now, None)
    returned = warped(forth, back)
    missed = np.square(back + returned).sum(-1)
    length = np.square(back).sum(-1) + np.square(returned).sum(-1)
    return back, missed <= _ROUND_TRIP * length + _ROUND_TRIP_PX2


def warped(before: np.ndarray, flow: Float[np.ndarray, "height width 2"]) -> np.ndarray:
    """An image (H, W, C) as a displacement in pixels reads it, bilinear."""
    rows, columns = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
    places = columns + flow[..., 0], rows + flow[..., 1]
    return cv2.remap(before, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def warping_error(
    image: UInt8[np.ndarray, "height width 3"],
    before: UInt8[np.ndarray, "height width 3"],
    flow: Float[np.ndarray, "height width 2"],
    mask: Bool[np.ndarray, "height width"],
) -> float:
    """mean |I_t − warp(I_{t−1})| of pixels and channels inside a mask, grey levels of 255; NaN where it is empty."""
    difference = np.abs(image.astype(np.float32) - warped(before.astype(np.float32), flow))[mask]
    return float(difference.mean()) if difference.size else float("nan")
