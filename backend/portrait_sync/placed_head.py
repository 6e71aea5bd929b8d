"""A rendered head with all that says where it is: what composes it needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..workspace.camera import Camera
from ..workspace.shapes import Float


@dataclass(frozen=True)
class PlacedHead:
    """A rendered head and what it was rendered with.

    Attributes:
        rgba: float32, premultiplied, display-encoded, in [0, 1]; may be a renderer's own buffer.
        frame: the footage's frame beneath.
        camera: of the image.
        head_to_camera: metres.
        blendshapes: the 52 of `protocol.BLENDSHAPE_NAMES`.
    """

    rgba: Float[np.ndarray, "height width 4"]
    frame: int
    camera: Camera
    head_to_camera: Float[np.ndarray, "4 4"]
    blendshapes: Float[np.ndarray, " 52"]
