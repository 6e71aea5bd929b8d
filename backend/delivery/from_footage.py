"""What a rendered head takes from the footage beneath it: the hair over it, and the neck under it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..portrait_sync.blend import behind_cover
from ..portrait_sync.placed_head import PlacedHead
from ..protocol import BLENDSHAPE_NAMES
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace
from .covers import cover_in
from .hair import Hair
from .layers import FootageTrack, LastImages
from .neck import Neck
from .place import Place

if TYPE_CHECKING:  # a live frame needs neither
    from ..portrait_sync.portrait import Portrait
    from ..renderer.head import Moment


@dataclass(frozen=True)
class Taking:
    """What a head takes from the footage.

    Attributes:
        hair: else it is as rendered.
        neck: collar and hanging hair as well; else they are where the footage has them.
    """

    hair: bool = True
    neck: bool = True


EVERYTHING = Taking()


class Copies:
    """Copies of images in memory that is used again: new memory for each costs more than the copy."""

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []

    @contextlib.contextmanager
    def of(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """A copy, to be changed until the `with` ends; from any thread."""
        try:
            copy = self._free.pop()
        except IndexError:
            copy = np.empty(0, image.dtype)
        if copy.shape != image.shape or copy.dtype != image.dtype:
            copy = np.empty_like(image, order="C")
        np.copyto(copy, image)
        try:
            yield copy
        finally:
            self._free.append(copy)


@dataclass(frozen=True)
class FromFootage:
    """Of one workspace and one of its heads; a part that is None stays as it is rendered, or where the footage has it.

    Attributes:
        images: that both are made of, where there is a part.
    """

    hair: Hair | None
    neck: Neck | None
    images: LastImages | None = None
    _copies: Copies = field(default_factory=Copies)

    @classmethod
    def of(cls, workspace: Workspace, track: HeadTrack, taking: Taking = EVERYTHING) -> FromFootage:
        """
        Args:
            track: of the head that is rendered.

        Raises:
            WorkspaceError: files are missing or damaged.
        """
        footage, images = FootageTrack.of(track), LastImages(workspace)
        return cls(
            Hair(workspace, footage, images) if taking.hair else None,
            Neck(workspace, footage, images) if taking.neck else None,
            images,
        )

    def only(self, taking: Taking) -> FromFootage:
        """The same, less what is not to be taken."""
        return replace(self, hair=self.hair if taking.hair else None, neck=self.neck if taking.neck else None)

    @contextlib.contextmanager
    def put(self, head: PlacedHead, place: Place) -> Iterator[np.ndarray]:
        """The head with both: (H, W, 4) float32, valid until the `with` ends.

        Args:
            place: of the working frame in the image.
        """
        if self.hair is None and self.neck is None:
            yield head.rgba
            return
        with self._copies.of(head.rgba) as rgba:
            copied = replace(head, rgba=rgba)
            if self.hair is not None:
                self.hair.over(copied, place)
            if self.neck is not None:
                self.neck.under(copied, place)
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
        ends.

        Args:
            rgba: (H, W, 4) float32 of the head `now`, premultiplied, display-encoded: may be a renderer's own buffer, and stays as it is.
        """
        with self.taken.put(self._placed(rgba, now), self.place) as head:
            yield self._uncovered(head)

    def mattes(self, mattes: np.ndarray, now: Moment) -> np.ndarray:
        """What mattes of the head alone become by that, less the neck: (H, W, 4) float32 of mouth, hair, skin and the head's alpha."""
        found = self._placed(mattes.copy(), now)
        if self.taken.hair is not None:
            self.taken.hair.mattes_over(found, self.place)
        if self.taken.neck is not None:
            self.taken.neck.end_at_jaw(found, self.place)
        return self._uncovered(found.rgba)

    def _placed(self, image: np.ndarray, now: Moment) -> PlacedHead:
        shapes = now.blendshapes[: len(BLENDSHAPE_NAMES)]
        return PlacedHead(image, self.frame, now.camera, now.head_to_camera, shapes)

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
        with self.taken.put(head, self.place) as rgba:
            return self.portrait.compose(replace(head, rgba=rgba))
