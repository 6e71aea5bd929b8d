"""Finding faces in an image with the detector inside the mediapipe package: for the crop and the checks of a clip."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .native_log import quiet_native_libraries

CONFIDENCE = 0.6
SURE = 0.75
"""Faces score 0.88 and more; noise and cloth reach 0.63, so what decides on a second person must be well above."""

_SAME_FACE_OVERLAP = 0.2


@dataclass(frozen=True)
class Face:
    """A face from forehead to chin, as BlazeFace draws it: a square box in pixels, and a score in [0, 1].

    roll_deg: how far it leans clockwise from upright, by the eyes and the mouth.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    roll_deg: float = 0.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom."""
        return self.x, self.y, self.x + self.width, self.y + self.height


class FaceFinder:
    """Finds all faces of an image. Use it within `face_finder`, which frees the model."""

    def __init__(self, detector) -> None:
        self._detector = detector

    def find(self, image: np.ndarray, around: Face | None = None, thorough: bool = False) -> list[Face]:
        """Faces of an image, the largest first.

        The detector sees 128 x 128 pixels: a face below an eighth of the image is found only in a part of it.

        Args:
            image: (H, W, 3) uint8, RGB.
            around: a face seen shortly before; where the full frame shows none, its surroundings are searched.
            thorough: search overlapping tiles too.
        """
        height, width = image.shape[:2]
        faces = self._detect(image, 0, 0, width, height, CONFIDENCE)
        if not faces and around is not None:
            side = max(round(4 * around.height), 64)
            left, top = round(around.x + around.width / 2 - side / 2), round(around.y + around.height / 2 - side / 2)
            faces = self._detect(image, left, top, left + side, top + side, CONFIDENCE)
        if thorough:
            side = max(min(height, width) // 2, min(height, width, 128))
            for top in _tile_starts(height, side):
                for left in _tile_starts(width, side):
                    faces += self._detect(image, left, top, left + side, top + side, SURE)
        return sorted(distinct(faces), key=lambda face: -face.height)

    def _detect(self, image: np.ndarray, left: int, top: int, right: int, bottom: int, least: float) -> list[Face]:
        height, width = image.shape[:2]
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if right - left < 16 or bottom - top < 16:
            return []
        found = []
        for detection in self._detector.process(np.ascontiguousarray(image[top:bottom, left:right])).detections or ():
            box, score = detection.location_data.relative_bounding_box, detection.score[0]
            if score >= least:
                x, y = box.xmin * (right - left) + left, box.ymin * (bottom - top) + top
                size = box.width * (right - left), box.height * (bottom - top)
                points = detection.location_data.relative_keypoints
                found.append(Face(x, y, *size, score, _roll_deg(points, right - left, bottom - top)))
        return found


@contextlib.contextmanager
def face_finder() -> Iterator[FaceFinder]:
    """Load BlazeFace, near range, from the mediapipe package."""
    from mediapipe.python.solutions.face_detection import FaceDetection

    with contextlib.ExitStack() as stack:
        with quiet_native_libraries():
            detector = stack.enter_context(FaceDetection(CONFIDENCE, 0))
            detector.process(np.zeros((128, 128, 3), np.uint8))
        yield FaceFinder(detector)


def _roll_deg(points, width: int, height: int) -> float:
    """From BlazeFace's keypoints: right eye, left eye, nose, mouth, then the ears."""
    eyes_x, eyes_y = (points[0].x + points[1].x) / 2, (points[0].y + points[1].y) / 2
    return float(np.degrees(np.arctan2((eyes_x - points[3].x) * width, (points[3].y - eyes_y) * height)))


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
