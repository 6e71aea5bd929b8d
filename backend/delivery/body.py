"""The person of the footage without head and background: to be shown under a head where the footage itself is not shown."""

from __future__ import annotations

import cv2
import numpy as np

from ..portrait_sync.blend import resample
from ..portrait_sync.body_layer import body_layer
from ..portrait_sync.clip_background import ClipBackground
from ..portrait_sync.head_region import face_frame
from ..workspace.store import Workspace
from .layers import FootageLayers, FootageTrack
from .place import Place

_TORSO = 2
"""Channel of a frame's mattes."""


class Body(FootageLayers[np.ndarray]):
    """Neck, torso and hanging hair, where the footage has them; the neck continues behind the head."""

    def __init__(self, workspace: Workspace, footage: FootageTrack) -> None:
        super().__init__(workspace, footage)
        self._background = ClipBackground(workspace)

    def under(self, rgba: np.ndarray, frame: int, place: Place) -> np.ndarray:
        """A head over the body in a frame of the footage: both (H, W, 4) float32, premultiplied, display-encoded.

        Args:
            place: of the working frame in the image.
        """
        body = self._layer(frame)
        if body is None:
            return rgba
        height, width = rgba.shape[:2]
        step = 1.0 / place.scale
        placed = resample(body, (-place.x * step, -place.y * step), step, (width, height)).astype(np.float32)
        placed *= np.float32(1 / 255)
        placed[..., :3] = np.minimum(placed[..., :3], placed[..., 3:])  # cubic interpolation overshoots
        return rgba + (1.0 - rgba[..., 3:]) * placed

    def _made(self, frame: int) -> np.ndarray:
        """(S, S, 4) uint8, premultiplied."""
        plate, mattes = self._workspace.read_plate(frame), self._workspace.read_matte(frame)
        background, axes = self._background.at(frame), face_frame(self._footage.landmarks_px[frame])
        alpha = mattes[..., _TORSO].astype(np.float32) / 255
        colour = np.clip(plate - (1.0 - alpha)[..., None] * background, 0, 255 * alpha[..., None])
        body = cv2.convertScaleAbs(np.dstack([colour, 255 * alpha]))
        near = body_layer(plate, mattes, background, axes.height, axes.centre)
        if near is not None:
            body[near.y : near.y + near.height, near.x : near.x + near.width] = near.body
        return body
