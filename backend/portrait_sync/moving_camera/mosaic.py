"""The background of a clip whose camera moves: one mosaic in the reference frame, from samples that were registered to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import tee

import cv2
import numpy as np

from ...workspace.camera_path import CameraPath
from ..background import masked_median, temporal_noise
from .registration import View, moved_places, pixels

LARGEST = 4.0
"""Of a mosaic, in sides of the frame: a camera that shows more has left its background."""
_LARGEST_PX = 4096
_MARGIN = 0.03
"""Around what the samples show, in sides of the frame: frames between them may show a little more."""
_FINEST = 1.5
"""Where the camera zooms in, the mosaic is up to so many times as fine as the reference frame."""
_STRIP_BYTES = 1 << 25
_RIM_PX = 2
"""At the edge of a frame interpolation would show what is beyond it."""
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


@dataclass(frozen=True)
class Canvas:
    """The mosaic's place: `path` is that of the samples, `size` its width and height in pixels."""

    path: CameraPath
    size: tuple[int, int]

    @classmethod
    def around(cls, transforms: np.ndarray, residual: np.ndarray, side: int) -> Canvas | None:
        """That holds all samples of `side` pixels; None where they show more than `LARGEST`.

        Args:
            transforms: (N, 3, 3) from each sample's places to the reference's.
            residual: (N), shares of the side.
        """
        places = np.concatenate([moved_places(_CORNERS, transform) for transform in transforms])
        low, high = places.min(0) - _MARGIN, places.max(0) + _MARGIN
        finer = float(np.percentile(CameraPath(transforms, residual, low, 1.0).scales(), 90))
        scale = side * float(np.clip(finer, 1.0, _FINEST))
        width, height = (int(np.ceil(extent * scale)) for extent in high - low)
        if not np.isfinite(places).all() or (high - low).max() > LARGEST or max(width, height) > _LARGEST_PX:
            return None
        return cls(CameraPath(transforms, residual * side, low, scale), (width, height))

    def median(self, frames: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`masked_median` of samples (N, S, S, 3) and masks (N, S, S) moved onto the canvas, a strip at a time."""
        width, height = self.size
        rows = max(8, _STRIP_BYTES // (4 * len(frames) * width))
        parts = []
        for top in range(0, height, rows):
            strip = [*self._moved(frames, hidden, top, min(rows, height - top))]
            parts.append(masked_median(*(np.stack(part) for part in zip(*strip, strict=True))))
        background, seen = (np.concatenate(part) for part in zip(*parts, strict=True))
        return background, seen

    def noise(self, frames: np.ndarray, hidden: np.ndarray, background: np.ndarray) -> np.ndarray:
        """`temporal_noise` on the canvas; where samples do not match to a fraction of a pixel, edges are noise."""
        images, masks = tee(self._moved(frames, hidden, 0, self.size[1]))
        return temporal_noise((image for image, _ in images), (mask for _, mask in masks), background)

    def view(self, background: np.ndarray, seen: np.ndarray) -> View:
        """The mosaic, for frames to be registered to it, its places those of the reference frame."""
        grey = cv2.cvtColor(background, cv2.COLOR_RGB2GRAY)
        return View(grey, seen.astype(np.uint8) * 255, self.path.to_pixels)

    def _moved(
        self, frames: np.ndarray, hidden: np.ndarray, top: int, rows: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the canvas as each sample shows them, and where it does not."""
        side = frames.shape[1]
        down = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
        for frame, mask, transform in zip(frames, hidden, self.path.to_reference, strict=True):
            warp = down @ self.path.to_pixels @ transform @ np.linalg.inv(pixels(side))
            mask = mask.astype(np.uint8)
            mask[:_RIM_PX] = mask[-_RIM_PX:] = mask[:, :_RIM_PX] = mask[:, -_RIM_PX:] = 1
            size = self.size[0], rows
            image = cv2.warpPerspective(frame, warp, size, flags=cv2.INTER_LANCZOS4)
            yield image, cv2.warpPerspective(mask, warp, size, flags=cv2.INTER_NEAREST, borderValue=1) > 0


def seen_by(image: np.ndarray, path: CameraPath, index: int, side: int, flags: int = cv2.INTER_CUBIC) -> np.ndarray:
    """What frame `index` of `side` pixels shows of the mosaic, or of a map of its size; beyond its edge the edge repeats."""
    warp = path.to_pixels @ path.to_reference[index] @ np.linalg.inv(pixels(side))
    if path.mosaic_scale != side:
        image_side = path.mosaic_scale / path.scales()[index]
        if flags == cv2.INTER_CUBIC and image_side > 1.2 * side:  # finer than the frame: it would alias
            image = cv2.GaussianBlur(image, (0, 0), 0.5 * float(np.sqrt((image_side / side) ** 2 - 1.0)))
    return cv2.warpPerspective(
        image, warp, (side, side), flags=flags | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )


def shown_in(seen: np.ndarray, path: CameraPath, index: int, side: int) -> np.ndarray:
    """(side, side) bool: where frame `index` shows what is True in `seen`, of the mosaic's size."""
    warp = path.to_pixels @ path.to_reference[index] @ np.linalg.inv(pixels(side))
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(seen.astype(np.uint8), warp, (side, side), flags=flags, borderValue=0) > 0
