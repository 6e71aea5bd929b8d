"""What a rendered head takes from the footage beneath it: the hair over it, and the neck under it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..portrait_sync.blend import behind_cover
from ..workspace.camera import Camera
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace
from .covers import cover_in
from .hair import Hair
from .neck import Neck
from .place import Place

if TYPE_CHECKING:  # a live frame needs neither
    from ..portrait_sync.portrait import PlacedHead, Portrait
    from ..renderer.head import Moment


@dataclass(frozen=True)
class FromFootage:
    """Of one workspace and one of its heads; a part that is None stays as it is rendered, or where the footage has it."""

    hair: Hair | None
    neck: Neck | None

    @classmethod
    def of(cls, workspace: Workspace, track: HeadTrack, rendered_hair: bool, fixed_neck: bool) -> FromFootage:
        """
        Args:
            track: of the head that is rendered.
            rendered_hair: leave the hair as it is rendered.
            fixed_neck: leave neck, collar and hanging hair where the footage has them.

        Raises:
            WorkspaceError: files are missing or damaged.
        """
        return cls(
            None if rendered_hair else Hair(workspace, track),
            None if fixed_neck else Neck(workspace, track),
        )

    def without(self, hair: bool, neck: bool) -> FromFootage:
        """The same, less what is named."""
        return FromFootage(None if hair else self.hair, None if neck else self.neck)

    @contextlib.contextmanager
    def put(
        self,
        rgba: np.ndarray,
        frame: int,
        camera: Camera,
        head_to_camera: np.ndarray,
        blendshapes: np.ndarray,
        place: Place,
    ) -> Iterator[np.ndarray]:
        """The head with both, in the same memory until the `with` ends; arguments as `Hair.over` and `Neck.under` have them."""
        with contextlib.ExitStack() as stack:
            if self.hair is not None:
                rgba = stack.enter_context(self.hair.over(rgba, frame, camera, head_to_camera, place))
            if self.neck is not None:
                given = rgba, frame, camera, head_to_camera, blendshapes, place
                rgba = stack.enter_context(self.neck.under(*given))
            yield rgba


@dataclass(frozen=True)
class Beneath:
    """A frame of the footage beneath a head, and what is taken from it.

    Attributes:
        frame: of the footage.
        place: of the working frame in the image.
    """

    workspace: Workspace
    taken: FromFootage
    frame: int
    place: Place

    @contextlib.contextmanager
    def put(self, rgba: np.ndarray, now: Moment) -> Iterator[np.ndarray]:
        """A head as it lies over the footage's plate: with what it takes from there, behind what covers it; valid until the `with`
        ends, when `rgba` is as it was.

        Args:
            rgba: (H, W, 4) float32 of the head `now`, premultiplied, display-encoded: may be a renderer's own buffer.
        """
        given = self.frame, now.camera, now.head_to_camera, now.blendshapes
        with self.taken.put(rgba, *given, self.place) as head:
            yield self._uncovered(head)

    def mattes(self, mattes: np.ndarray, now: Moment) -> np.ndarray:
        """What mattes of the head alone become by that, less the neck: (H, W, 4) float32 of mouth, hair, skin and the head's alpha."""
        if self.taken.hair is None:
            return self._uncovered(mattes)
        given = self.frame, now.camera, now.head_to_camera, self.place
        with self.taken.hair.mattes_over(mattes.copy(), *given) as found:
            return self._uncovered(found).copy()

    def _uncovered(self, image: np.ndarray) -> np.ndarray:
        cover = cover_in(self.workspace, self.frame, self.place, (image.shape[0], image.shape[1]))
        return behind_cover(image, cover)


@dataclass(frozen=True)
class WithFootage:
    """A portrait of the head with what it takes from the footage; `place` is of the working frame in the image."""

    portrait: Portrait
    taken: FromFootage
    place: Place

    def compose(self, head: PlacedHead) -> np.ndarray:
        """As `Portrait.compose`."""
        given = head.rgba, head.frame, head.camera, head.head_to_camera, head.blendshapes
        with self.taken.put(*given, self.place) as rgba:
            return self.portrait.compose(replace(head, rgba=rgba))
