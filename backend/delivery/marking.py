"""How a delivery is marked: a manifest in its files, and a label that viewers see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..media.samples import Planes
from ..workspace.label import Label
from .canvas import Canvas, Layer
from .watermark import Marker, Message

if TYPE_CHECKING:
    from .provenance.signing import Seal


@dataclass(frozen=True)
class FrameMarks:
    """Marks the frames of one size."""

    label: Label | None = None
    watermark: Marker | None = None

    def on_canvas(self, planes: Planes, canvas: Canvas) -> None:
        """Mark a complete frame in place."""
        if self.label is not None:
            canvas.composite(planes, Layer(*self.label.corner, self.label.rgba.astype(np.float32)))
        if self.watermark is not None:
            self.watermark.mark_planes(planes, canvas.stored.samples)

    def alone(self, rgba: np.ndarray) -> np.ndarray:
        """A frame of a head alone, (H, W, 4) float32, premultiplied, display-encoded, marked."""
        rgba = rgba if self.label is None else self.label.draw_premultiplied(rgba)
        return rgba if self.watermark is None else self.watermark.embed_premultiplied(rgba)


@dataclass(frozen=True)
class Marking:
    """What each frame and each file of a delivery gets."""

    label: bool = False
    seal: Seal | None = None
    watermark: Message | None = None

    @property
    def key(self) -> tuple[str, ...]:
        """What frames depend on, nothing for unmarked ones: frames marked otherwise are not kept."""
        label = ("label",) if self.label else ()
        watermark = () if self.watermark is None else ("watermark", str(self.watermark.to_int()))
        return label + watermark + (("signed", *self.seal.key) if self.seal is not None else ())

    def of_frames(self, shown: tuple[int, int], stored: tuple[int, int] | None = None) -> FrameMarks:
        """What marks the frames of this width and height, with square pixels and as they are stored."""
        label = Label(*shown) if self.label else None
        return FrameMarks(label, None if self.watermark is None else Marker(*(stored or shown), self.watermark))

    def sign(self, path: Path, title: str = "") -> None:
        """Sign a complete file, last of all: whatever changes it later breaks the signature.

        Raises:
            ProvenanceError: signing failed; the unsigned file is there.
        """
        if self.seal is not None:
            self.seal.sign(path, title)


UNMARKED = Marking()
