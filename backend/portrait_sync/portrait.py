"""The one choice of how a rendered head is put into the footage: a `Portrait` composes the frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from ..protocol import OURS, PAPER
from ..workspace.camera import Camera
from ..workspace.face_mesh import FaceMesh
from ..workspace.head_track import HeadTrack
from ..workspace.shapes import Float, UInt8
from ..workspace.store import Workspace
from .blend import behind_cover, over
from .colours import Neck
from .head_region import smooth_landmarks
from .model_file import finished_model
from .paper_blend import BlendedFace, neck_colour, paper_blend
from .placed_head import PlacedHead


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

    def cover(self, index: int) -> Float[np.ndarray, "height width"] | None:
        """How much of a pixel is before the head, in [0, 1]; None where nothing is."""
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
        rgba = behind_cover(head.rgba, self.surroundings.cover(head.frame))
        return over(rgba, self.surroundings.plate(head.frame), soften_px)


@dataclass(frozen=True)
class Alone:
    """The head alone before the clip's background: without neck and body."""

    surroundings: Surroundings

    def compose(self, head: PlacedHead) -> UInt8[np.ndarray, "height width 3"]:
        return over(head.rgba, self.surroundings.background(head.frame))


@dataclass(frozen=True)
class PaperGenerator:
    """The paper's portrait-sync generator: the rendered face in the original frame, whose hair stays (`paper_blend`).

    The frame shows the head in its own pose, so this is for heads in the footage's pose.

    Attributes:
        track: of the head that is rendered.
        neck: of the clip, where a collar hides the frame's.
        fill_gap: whether the neck's colour fills the gap below a rendered jaw that is higher than the frame's.
    """

    surroundings: Surroundings
    track: HeadTrack
    mesh: FaceMesh
    neck: Neck
    fill_gap: bool = True

    def compose(self, head: PlacedHead) -> UInt8[np.ndarray, "height width 3"]:
        return self.blended(head).image

    def blended(self, head: PlacedHead) -> BlendedFace:
        """The complete frame, and where it may differ from the original one."""
        frame = self.surroundings.frame(head.frame)
        rgba = behind_cover(head.rgba, self.surroundings.cover(head.frame))
        rendered, source = self.landmarks_px(head)
        if source is None or not self.fill_gap:
            return paper_blend(rgba, frame, rendered, None, self.neck.colour)
        return paper_blend(rgba, frame, rendered, source, neck_colour(frame, source, self.neck))

    def landmarks_px(self, head: PlacedHead) -> tuple[Float[np.ndarray, "478 2"], Float[np.ndarray, "478 2"] | None]:
        """Landmarks of the rendered head and of the frame in pixels of the image; None for a frame without a face.

        Those of the rendered head are the frame's own, moved as the face mesh moves from the frame's pose and expression to the
        head's: the mesh's own errors cancel, and a head that does what the frame does has the frame's landmarks.
        """
        rendered = self._mesh_px(head.camera, head.head_to_camera, head.blendshapes)
        points, usable = self._source
        pose = self.track.head_to_camera[head.frame]
        if not usable[head.frame] or not np.isfinite(pose).all():
            return rendered, None
        source = self.surroundings.to_image(points[head.frame].astype(np.float64))
        mesh = self._mesh_px(self.track.camera, pose, self.track.blendshapes[head.frame])
        return source + rendered - self.surroundings.to_image(mesh), source

    def _mesh_px(self, camera: Camera, pose: np.ndarray, blendshapes: np.ndarray) -> np.ndarray:
        vertices = self.mesh.vertices_m + np.tensordot(blendshapes.astype(np.float64), self.mesh.shape_keys, 1)
        return camera.project(pose, vertices)[0]

    @cached_property
    def _source(self) -> tuple[np.ndarray, np.ndarray]:
        return smooth_landmarks(self.track.landmarks_px, self.track.valid, self.track.fps)


def open_portrait(name: str, surroundings: Surroundings, workspace: Workspace, track: HeadTrack) -> Portrait:
    """The portrait of a name in `protocol.PORTRAITS`.

    Args:
        track: of the head that is rendered.

    Raises:
        WorkspaceError: the paper's needs the face mesh and the model of the clip, and they are missing or damaged.
    """
    if name == PAPER:
        return PaperGenerator(surroundings, track, workspace.face_mesh(), finished_model(workspace).neck)
    return OverPlate(surroundings) if name == OURS else Alone(surroundings)
