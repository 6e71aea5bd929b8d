"""Where the footage lies in a rendered image."""

from __future__ import annotations

from dataclasses import dataclass

from ..workspace.camera import Camera
from ..workspace.subject import Subject


@dataclass(frozen=True)
class Place:
    """Where the working frame lies in the rendered image: its point p at (x, y) + scale · p, all in pixels."""

    scale: float
    x: float
    y: float

    @classmethod
    def in_source(cls, subject: Subject, width: float, x: float = 0.0, y: float = 0.0) -> Place:
        """In an image where the complete source frame is `width` pixels wide, its top left corner at (x, y)."""
        pixels = width / subject.source_size[0]
        return cls(subject.scale * pixels, x + subject.place.x * pixels, y + subject.place.y * pixels)

    def to_working(self, camera: Camera, size: int) -> Camera:
        """A camera of the rendered image in pixels of the working frame."""
        x, y = camera.principal_px
        principal = ((x - self.x) / self.scale, (y - self.y) / self.scale)
        return Camera(size, size, camera.focal_px / self.scale, principal)
