"""Finding faces in a picture with the detectors inside the mediapipe package: for the crop and the checks of a clip."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_SAME_FACE_OVERLAP = 0.2
_TILE_SHARE = 0.5


@dataclass(frozen=True)
class Face:
    """A face from forehead to chin, as BlazeFace draws it: a square box in pixels, and a score in [0, 1]."""

    x: float
    y: float
    width: float
    height: float
    score: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.width, self.y + self.height


class FaceFinder:
    """Finds all faces of a picture, large and small. Use it within `face_finder`, which frees the models."""

    def __init__(self, detectors) -> None:
        self._detectors = detectors

    def find(self, picture: np.ndarray, thorough: bool = False) -> list[Face]:
        """Faces of an (H, W, 3) uint8 RGB picture, the largest first.

        Args:
            thorough: when nothing is found, look again at overlapping tiles, for a face that is small in the picture.
        """
        faces = self._detect(picture)
        if not faces and thorough:
            height, width = picture.shape[:2]
            side = round(max(min(height, width) * _TILE_SHARE, min(height, width, 128)))
            for top in _tile_starts(height, side):
                for left in _tile_starts(width, side):
                    tile = np.ascontiguousarray(picture[top : top + side, left : left + side])
                    faces += [Face(f.x + left, f.y + top, f.width, f.height, f.score) for f in self._detect(tile)]
        return sorted(distinct(faces), key=lambda face: -face.height)

    def _detect(self, picture: np.ndarray) -> list[Face]:
        height, width = picture.shape[:2]
        found = []
        for detector in self._detectors:
            for detection in detector.process(picture).detections or ():
                box = detection.location_data.relative_bounding_box
                found.append(
                    Face(
                        box.xmin * width, box.ymin * height, box.width * width, box.height * height, detection.score[0]
                    )
                )
        # The near-range detector comes first: its boxes are the steadier ones.
        return distinct(found)


@contextlib.contextmanager
def face_finder(confidence: float = 0.6) -> Iterator[FaceFinder]:
    """Load both detectors: near range (large faces) and full range (small ones)."""
    from mediapipe.python.solutions.face_detection import FaceDetection

    with FaceDetection(confidence, 0) as near, FaceDetection(confidence, 1) as full:
        yield FaceFinder((near, full))


def distinct(faces: list[Face]) -> list[Face]:
    """Without the boxes that show a face already in the list before them."""
    kept: list[Face] = []
    for face in faces:
        if not any(_overlap(face, other) > _SAME_FACE_OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(one: Face, other: Face) -> float:
    """Intersection over the smaller area: a box inside another is the same face, found twice."""
    left, top = max(one.x, other.x), max(one.y, other.y)
    right, bottom = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    shared = max(right - left, 0) * max(bottom - top, 0)
    return shared / max(min(one.width * one.height, other.width * other.height), 1e-9)


def _tile_starts(length: int, side: int) -> list[int]:
    count = int(np.ceil((length - side) / (side / 2))) + 1
    return [round(start) for start in np.linspace(0, length - side, max(count, 1))]
