"""What a frame of a head has besides its colour: depth, motion, normals, and the mattes of its parts (docs/delivery.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..protocol import DEPTH, HAIR, HEAD, MOUTH, NECK, NO_DEPTH_M, NORMAL, SKIN, VECTOR
from ..renderer import surface
from ..renderer.head import HeadRenderer, Moment, RenderedHead
from ..workspace.camera import Camera
from ..workspace.face_mesh import FaceMesh
from ..workspace.shapes import Float
from .face_depth import at_the_face
from .from_footage import Beneath

THROAT_M = (0.0, 0.1, 0.0)
"""The front of the neck in the head frame: what the footage's neck is taken to be no nearer than."""
_LEAST_ALPHA = 1e-3
"""A pixel with less shows nothing."""
_UPRIGHT = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], np.float32)
"""From the camera's axes to those of a world that it looks into along y, z up."""


@dataclass(frozen=True)
class Times:
    """A head now, and in the frames before and after."""

    now: Moment
    before: Moment
    after: Moment


@dataclass(frozen=True)
class PassMaker:
    """Makes the passes of one head.

    Attributes:
        face: of the same workspace.
    """

    renderer: HeadRenderer
    face: FaceMesh

    def passes(
        self,
        names: Sequence[str],
        head: RenderedHead,
        shown_alpha: Float[np.ndarray, "height width"],
        times: Times,
        beneath: Beneath | None,
    ) -> dict[str, Float[np.ndarray, "height width channels"]]:
        """Passes by their names, of `protocol.PASSES`; those that this kind of head has not are left out.

        May draw: what the renderer returned before is overwritten.

        Args:
            head: as rendered with its passes, without the footage; in memory of its own.
            shown_alpha: of the frame, with what it takes from the footage.
            beneath: where that was taken from; None for the head alone.
        """
        assert head.depth_m is not None
        camera = times.now.camera
        mattes = _mattes(head, times.now, beneath)
        is_shown = shown_alpha > _LEAST_ALPHA
        is_neck = is_shown & (shown_alpha > 2 * mattes[..., 3])
        z_m = at_the_face(surface.along_axis(head.depth_m, camera), self.face, times.now)
        # Hair of the footage reaches beyond the rendered head, and thin edges have no depth of their own.
        near = surface.nearest(z_m > 0)
        is_shown &= bool((z_m > 0).any())
        found: dict[str, np.ndarray] = {}
        for name in names:
            if name == DEPTH:
                depth_m = z_m[near]
                depth_m[is_neck] = np.maximum(depth_m[is_neck], _throat_depth_m(times.now))
                found[name] = np.where(is_shown, depth_m, np.float32(NO_DEPTH_M))[..., None]
            elif name == NORMAL:
                upright = surface.normals(z_m, camera) @ _UPRIGHT.T
                found[name] = upright[near] * (is_shown & ~is_neck)[..., None]
            elif name == VECTOR:
                moved = np.concatenate([self._pixels(head.depth_m, times, side) for side in (-1, 1)], -1)
                found[name] = moved[near] * (is_shown & ~is_neck)[..., None]
            elif name == HEAD:
                found[name] = mattes[..., 3:]
            elif name == NECK:
                found[name] = np.maximum(shown_alpha - mattes[..., 3], 0)[..., None]
            elif head.mattes is not None:
                found[name] = mattes[..., _CHANNELS[name], None]
        return found

    def _pixels(
        self, depth_m: Float[np.ndarray, "height width"], times: Times, side: int
    ) -> Float[np.ndarray, "height width 2"]:
        """X and Y of Blender's Vector pass, y up: where it was before (-1) less here, or here less where it will be (1)."""
        other = times.before if side < 0 else times.after
        return self.renderer.motion(depth_m, times.now, other) * np.float32([-side, side])


_CHANNELS = {MOUTH: 0, HAIR: 1, SKIN: 2}


def _mattes(head: RenderedHead, now: Moment, beneath: Beneath | None) -> Float[np.ndarray, "height width 4"]:
    """Mouth, hair, skin, and the alpha of the head without the neck that the footage adds."""
    alpha = head.rgba[..., 3:]
    parts = np.zeros((*alpha.shape[:2], 3), np.float32) if head.mattes is None else head.mattes
    mattes = np.concatenate([parts, alpha], -1)
    return mattes if beneath is None else beneath.mattes(mattes, now)


def _throat_depth_m(now: Moment) -> np.float32:
    return np.float32((now.head_to_camera[:3, :3] @ THROAT_M + now.head_to_camera[:3, 3])[2])


def blank(name: str, camera: Camera, channels: int) -> Float[np.ndarray, "height width channels"]:
    """A pass that a head has not."""
    return np.full((camera.height, camera.width, channels), NO_DEPTH_M if name == DEPTH else 0.0, np.float32)
