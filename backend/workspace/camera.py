"""A pinhole camera. OpenCV axes: x right, y down, z forward; the first pixel's centre is (0.5, 0.5)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from .poses import to_camera, to_pixels
from .shapes import Bool, Float, Int
from .subject import Subject

PIXEL_CENTRE = 0.5
"""The first pixel's centre, both ways. OpenCV counts it as 0: what comes from OpenCV gets this added, what goes to it
has it subtracted."""
_SAME_PX = 1e-3


@dataclass(frozen=True)
class Camera:
    """A pinhole camera with square pixels. All lengths are in pixels of its own image.

    Attributes:
        principal_px: x and y; (0, 0) is the top left corner of the top left pixel.
    """

    width: int
    height: int
    focal_px: float
    principal_px: tuple[float, float]

    def scaled(self, width: int, height: int) -> Camera:
        """The same view with another number of pixels (same aspect)."""
        x, y = width / self.width, height / self.height
        return Camera(width, height, self.focal_px * x, (self.principal_px[0] * x, self.principal_px[1] * y))

    def resized(self, factor: float) -> Camera:
        """The same view `factor` times as large, sides rounded to full pixels.

        The right and lower edges absorb the rounding: the scale stays even, so nothing is distorted.
        """
        x, y = self.principal_px
        width, height = (max(1, round(side * factor)) for side in (self.width, self.height))
        return Camera(width, height, self.focal_px * factor, (x * factor, y * factor))

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """The part of the image whose top left pixel is (x, y)."""
        principal = (self.principal_px[0] - x, self.principal_px[1] - y)
        return replace(self, width=width, height=height, principal_px=principal)

    def to_source(self, subject: Subject) -> Camera:
        """The camera of the full source frame, for this one of the working frame."""
        crop, scale = subject.place, subject.scale
        x, y = self.principal_px
        return Camera(*subject.source_size, self.focal_px * scale, (crop.x + x * scale, crop.y + y * scale))

    def to_working(self, subject: Subject) -> Camera:
        """The camera of the working frame, for this one of the source frame: the inverse of `to_source`."""
        crop, scale = subject.place, subject.scale
        x, y = self.principal_px
        principal = ((x - crop.x) / scale, (y - crop.y) / scale)
        return Camera(subject.size, subject.size, self.focal_px / scale, principal)

    def centred(self) -> tuple[Camera, tuple[float, float]]:
        """The least image around this one with the principal point in its middle, and where this one's top left corner is in it.

        For formats whose cameras have no principal point. Sides are whole pixels.
        """
        sides = []
        for side, principal in ((self.width, self.principal_px[0]), (self.height, self.principal_px[1])):
            reach = max(principal, side - principal)
            sides.append(side if reach - side / 2 < _SAME_PX else 2 * math.ceil(reach - _SAME_PX))
        middle = sides[0] / 2, sides[1] / 2
        corner = middle[0] - self.principal_px[0], middle[1] - self.principal_px[1]
        return Camera(sides[0], sides[1], self.focal_px, middle), corner

    def ray_lengths(self) -> Float[np.ndarray, "height width"]:
        """Of each pixel's ray, up to where its depth along the optical axis is 1."""
        x, y = self.ray_slopes()
        return np.sqrt(1 + x**2 + y**2).astype(np.float32)

    def ray_slopes(self) -> tuple[Float[np.ndarray, "1 width"], Float[np.ndarray, "height 1"]]:
        """x/z of the rays of each column, and y/z of those of each row."""
        x = (np.arange(self.width, dtype=np.float32) + 0.5 - self.principal_px[0]) / self.focal_px
        y = (np.arange(self.height, dtype=np.float32) + 0.5 - self.principal_px[1]) / self.focal_px
        return x[None], y[:, None]

    def project(
        self, head_to_camera: Float[np.ndarray, "4 4"], points_m: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
        """Pixels and depths in metres of points in the head's frame."""
        points = to_camera(head_to_camera[None], points_m)[0]
        return to_pixels(points, self.focal_px, np.array(self.principal_px)), points[:, 2]

    def places(
        self, head_to_camera: Float[np.ndarray, "4 4"], points_m: Float[np.ndarray, "n 3"]
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
        """Row and column of the pixel that each point of the head falls on, and whether that is in the image."""
        pixels, depth = self.project(head_to_camera, points_m)
        columns, rows = np.floor(pixels).astype(int).T
        visible = (depth > 0) & (columns >= 0) & (rows >= 0) & (columns < self.width) & (rows < self.height)
        return rows, columns, visible
