"""A clip's alpha channel: a person cut out before, whose hidden colours are not meant to be seen.

Alpha is taken as straight, as FFmpeg's decoders give it. The person is composited over a neutral grey in display-encoded
values, as `portrait_sync.blend` does, so that the matte and the grey give the person's own colours back exactly.
"""

from __future__ import annotations

from collections.abc import Iterable

import av
import numpy as np

from ..workspace import ALPHA_BACKGROUND

OPAQUE = 250
"""ProRes writes 4092 of 4095 for opaque, codecs with loss a few levels less than 255."""

EMPTY = 5

_LEAST_SHARE = 0.001
"""Of the pixels must be transparent for the alpha to mean something."""


def has_alpha(frame: av.VideoFrame) -> bool:
    """Whether the frame's format has an alpha channel, whatever is in it."""
    return any(component.is_alpha for component in frame.format.components)


def composited(rgba: np.ndarray) -> np.ndarray:
    """Over the grey: (H, W, 4) uint8, straight alpha, to (H, W, 4) uint8, colours as shown and nearly opaque as opaque."""
    alpha = np.where(rgba[..., 3] >= OPAQUE, 255, rgba[..., 3]).astype(np.uint8)
    if alpha.min() == 255:
        colours = rgba[..., :3]
    else:
        share = (alpha / np.float32(255))[..., None]
        colours = np.rint(ALPHA_BACKGROUND + share * (rgba[..., :3] - np.float32(ALPHA_BACKGROUND))).astype(np.uint8)
    return np.dstack([colours, alpha])


def is_transparent(picture: np.ndarray) -> bool:
    """Whether a picture (H, W, 3 or 4) uint8 is see-through somewhere."""
    return picture.shape[2] == 4 and picture.size > 0 and float((picture[..., 3] < OPAQUE).mean()) > _LEAST_SHARE


def is_empty(pictures: Iterable[np.ndarray]) -> bool:
    """Whether all pictures are see-through everywhere: the alpha was never filled in."""
    return all(picture.shape[2] == 4 and picture[..., 3].max() <= EMPTY for picture in pictures)
