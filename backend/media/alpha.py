"""A clip's alpha channel: a person who was keyed before, over colours that are not meant to be seen.

Alpha is taken as straight, as most editors write it, unless the frames show that their colours are multiplied by it
(matted with black). The person is composited over a neutral grey in display-encoded
values, as `portrait_sync.blend` does, which lets matte and grey restore the person's colours exactly.
"""

from __future__ import annotations

import av
import numpy as np

from ..workspace.subject import ALPHA_BACKGROUND

OPAQUE = 250
"""ProRes writes 4092 of 4095 for opaque, codecs with loss a few levels less than 255."""

_EMPTY = 5

_THIN, _THICK = (38, 102), (153, 217)
"""Ranges of alpha, of 255, of the two groups of soft pixels that are compared in brightness."""

_LEAST_SOFT = 200
_PREMULTIPLIED = 0.6
"""Brightness of thin pixels over that of thick ones: 0.38 where colours are multiplied by alpha, about 1 where not."""

_LEAST_SHARE = 0.001
"""Of the pixels must be transparent for the alpha to mean something."""


def has_alpha(frame: av.VideoFrame) -> bool:
    """Whether the frame's format has an alpha channel, even an empty one."""
    return any(component.is_alpha for component in frame.format.components)


class AlphaMeter:
    """Measures the alpha channel of full frames, one a second.

    Attributes:
        frames: how many frames with an alpha channel were measured.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._highest = 0
        self._next_s = 0.0
        self._soft: list[tuple[np.ndarray, np.ndarray]] = []
        self._hidden = self._exceeding = 0

    def see(self, frame: av.VideoFrame, time_s: float) -> None:
        """Take the clip's next frame."""
        if not has_alpha(frame) or time_s < self._next_s:
            return
        self._next_s = time_s + 1.0
        self.frames += 1
        rgba = frame.to_ndarray(format="rgba").reshape(-1, 4)
        alpha, bright = rgba[:, 3], rgba[:, :3].max(axis=1)
        self._highest = max(self._highest, int(alpha.max()))
        soft = (alpha >= _THIN[0]) & (alpha <= _THICK[1])
        self._soft.append((alpha[soft], bright[soft]))
        # Multiplied colours are never brighter than their alpha, and black where nothing is.
        self._exceeding += int((bright[soft] > alpha[soft].astype(int) + 12).sum())
        self._hidden += int((bright[alpha == 0] > 12).sum())

    @property
    def empty(self) -> bool:
        """Whether all is transparent: the alpha was never filled in."""
        return self.frames > 0 and self._highest <= _EMPTY

    @property
    def premultiplied(self) -> bool:
        """Whether the colours are multiplied by alpha."""
        if not self.frames:
            return False
        alpha, bright = (np.concatenate(part) for part in zip(*self._soft, strict=True))
        thin, thick = bright[alpha <= _THIN[1]], bright[alpha >= _THICK[0]]
        if min(len(thin), len(thick)) < _LEAST_SOFT or self._exceeding > 0.02 * len(alpha):
            return False
        few = 0.001 * self.frames * len(alpha)
        return bool(self._hidden <= few and thin.mean() < _PREMULTIPLIED * max(thick.mean(), 1.0))


def composited(rgba: np.ndarray, premultiplied: bool = False) -> np.ndarray:
    """Over the grey: (H, W, 4) uint8 to (H, W, 4) uint8, colours as shown and nearly opaque as opaque.

    Args:
        premultiplied: the colours are multiplied by alpha.
    """
    alpha = np.where(rgba[..., 3] >= OPAQUE, 255, rgba[..., 3]).astype(np.uint8)
    if alpha.min() == 255:
        colours = rgba[..., :3]
    else:
        share = (alpha / np.float32(255))[..., None]
        own = rgba[..., :3] if premultiplied else share * rgba[..., :3]
        colours = np.rint(np.minimum(own + (1.0 - share) * ALPHA_BACKGROUND, 255.0)).astype(np.uint8)
    return np.dstack([colours, alpha])


def is_transparent(image: np.ndarray) -> bool:
    """Whether an image (H, W, 3 or 4) uint8 is transparent somewhere."""
    return image.shape[2] == 4 and image.size > 0 and float((image[..., 3] < OPAQUE).mean()) > _LEAST_SHARE
