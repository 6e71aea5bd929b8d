"""A pinhole camera in pixels, as docs/protocol.md has it. No `bpy` here."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Pinhole:
    """A pinhole camera with square pixels. All lengths are in pixels of its own picture."""

    width: int
    height: int
    focal_px: float
    principal_px: tuple[float, float]
    """x to the right, y down; the top left corner of the top left pixel is (0, 0)."""

    def resized(self, factor: float) -> Pinhole:
        """The same view in a picture `factor` times as large, sides rounded to whole pixels.

        Rounding is taken up by the lower and right edges: the scale stays even, so that nothing is distorted.
        """
        x, y = self.principal_px
        return Pinhole(
            max(1, round(self.width * factor)),
            max(1, round(self.height * factor)),
            self.focal_px * factor,
            (x * factor, y * factor),
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> Pinhole:
        """The part of the picture whose top left pixel is (x, y)."""
        return replace(
            self, width=width, height=height, principal_px=(self.principal_px[0] - x, self.principal_px[1] - y)
        )
