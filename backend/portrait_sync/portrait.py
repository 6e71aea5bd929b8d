"""The one choice of how a rendered head is put into the footage: a `Portrait` composes the frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..protocol import OURS
from ..workspace.camera import Camera
from ..workspace.shapes import Float, UInt8
from .blend import over


@dataclass(frozen=True)
class PlacedHead:
    """A rendered head and what it was rendered with.

    Attributes:
        rgba: premultiplied, display-encoded, in [0, 1].
        frame: the footage's frame beneath.
        camera: of the image.
        blendshapes: the 52 of `protocol.BLENDSHAPE_NAMES`.
    """

    rgba: Float[np.ndarray, "height width 4"]
    frame: int
    camera: Camera
    head_to_camera: Float[np.ndarray, "4 4"]
    blendshapes: Float[np.ndarray, " 52"]


class Surroundings(Protocol):
    """The images of a clip that a head is put into, all of one size, by the number of the frame."""

    def frame(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """As it was recorded."""
        ...

    def plate(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """Without its head."""
        ...

    def background(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """Without the person, where the working frame shows it."""
        ...

    def to_image(self, points_px: Float[np.ndarray, "*points 2"]) -> Float[np.ndarray, "*points 2"]:
        """Pixels of the working frame in pixels of these images."""
        ...


class Portrait(Protocol):
    """Composes frames from rendered heads and a clip."""

    def compose(self, head: PlacedHead) -> UInt8[np.ndarray, "height width 3"]:
        """The complete frame."""
        ...


@dataclass(frozen=True)
class OverPlate:
    """Ours: the complete head, hair included, over the frame without its head.

    Attributes:
        soften_share: standard deviation of the edge's blur, of the image's longer side; see `blend.over`.
    """

    surroundings: Surroundings
    soften_share: float = 0.0

    def compose(self, head: PlacedHead) -> UInt8[np.ndarray, "height width 3"]:
        soften_px = self.soften_share * max(head.rgba.shape[:2])
        return over(head.rgba, self.surroundings.plate(head.frame), soften_px)


@dataclass(frozen=True)
class Alone:
    """The head alone before the clip's background: without neck and body."""

    surroundings: Surroundings

    def compose(self, head: PlacedHead) -> UInt8[np.ndarray, "height width 3"]:
        return over(head.rgba, self.surroundings.background(head.frame))


def open_portrait(name: str, surroundings: Surroundings) -> Portrait:
    """The portrait of a name in `protocol.PORTRAITS`."""
    return OverPlate(surroundings) if name == OURS else Alone(surroundings)
