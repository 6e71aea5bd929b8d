"""Face landmarks of one image, from MediaPipe: the Face Landmarker task where its file is present, else the face mesh of
the wheel.

Each image is detected alone. MediaPipe's video mode filters one face over time, which delays it by half a frame and
halves the fastest movements (docs/head-sync.md): too much for lips and nods. Head points and bundle adjustment make the
poses stable.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import ModelError
from ..media.native_log import quiet_native_libraries
from ..protocol import BLENDSHAPE_NAMES
from ..workspace.shapes import Float

TASK_FILE = "face_landmarker.task"
MAX_FACES = 3
"""Faces searched in an image: a second one must not replace the one that is tracked."""

MAX_FRAME_MOTION = 0.08
"""Largest motion from one frame to the next, and change of size, over a face's size; only a cut or an error exceeds it."""

REDETECTIONS = 2
"""Further detections in the same image after such a jump."""


@dataclass(frozen=True)
class Face:
    """One face of one image.

    Attributes:
        depth: pixels at the face's own scale, smaller is nearer.
        scores: in [0, 1], in the order of `protocol.BLENDSHAPE_NAMES`.
    """

    points_px: Float[np.ndarray, "478 2"]
    depth: Float[np.ndarray, " 478"]
    scores: Float[np.ndarray, " 52"] | None = None

    @property
    def centre_px(self) -> Float[np.ndarray, " 2"]:
        return (self.points_px.min(0) + self.points_px.max(0)) / 2

    @property
    def size_px(self) -> float:
        """Geometric mean of the bounding box's sides."""
        return float(np.sqrt(np.prod(self.points_px.max(0) - self.points_px.min(0))))


class FaceLandmarker(Protocol):
    """Detects faces. `source` is `task` or `mesh`; it needs `warm_up` images before the first one that counts."""

    source: str
    warm_up: int

    def detect(self, image: np.ndarray) -> list[Face]:
        """All faces of an (H, W, 3) uint8 RGB image."""
        ...

    def close(self) -> None:
        """Free the network."""
        ...


def open_landmarker(kind: str = "auto") -> FaceLandmarker:
    """The best landmarker available: `task`, `mesh`, or `auto` for the task with the mesh as its fallback.

    Raises:
        ModelError: the requested one is missing or damaged.
    """
    path = _find_task() if landmarker_source(kind) == "task" else None
    return _MeshLandmarker() if path is None else _TaskLandmarker(path)


def landmarker_source(kind: str = "auto") -> str:
    """`task` or `mesh`: what `open_landmarker(kind)` opens, without opening it.

    Raises:
        ModelError: the requested one is missing.
    """
    if kind not in ("auto", "task", "mesh"):
        raise ModelError(f"There is no landmarker {kind!r}: choose task, mesh or auto.")
    if kind != "mesh" and _find_task() is not None:
        return "task"
    if kind == "task":
        raise ModelError(f"{TASK_FILE} is missing: fetch it with `python -m backend models fetch {TASK_FILE}`.")
    if not _has_mesh():
        raise ModelError(
            "This version of MediaPipe has no built-in face mesh: run `python -m backend models fetch "
            f"{TASK_FILE}`, or install mediapipe 0.10.21."
        )
    return "mesh"


def choose_face(faces: list[Face], last: Face | None) -> Face | None:
    """The face to track: first the largest, then the nearest to `last`.

    A face more than its own size away, or of less than half or more than twice the size, is another person.
    """
    if last is None:
        return max(faces, key=lambda face: face.size_px, default=None)
    near = [face for face in faces if _distance(face, last) < 1.0 and 0.5 < face.size_px / last.size_px < 2.0]
    return min(near, key=lambda face: _distance(face, last), default=None)


def _distance(face: Face, last: Face) -> float:
    return float(np.linalg.norm(face.centre_px - last.centre_px)) / last.size_px


def _jumped(face: Face, last: Face) -> bool:
    """Whether place or size of a face changed by more than `MAX_FRAME_MOTION`."""
    return max(_distance(face, last), abs(np.log(face.size_px / last.size_px))) > MAX_FRAME_MOTION


def _find_task() -> Path | None:
    from ..models import find

    return find(TASK_FILE)


def _has_mesh() -> bool:
    try:
        from mediapipe.python.solutions import face_mesh  # noqa: F401
    except ImportError:
        return False
    return True


def _face(points: Any, width: int, height: int, scores: np.ndarray | None) -> Face:
    xyz = np.array([(point.x, point.y, point.z) for point in points], np.float32)
    return Face(xyz[:, :2] * np.array([width, height], np.float32), xyz[:, 2] * np.float32(width), scores)


class _TaskLandmarker:
    source = "task"
    warm_up = 0

    def __init__(self, path: Path) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        self._index = {name: index for index, name in enumerate(BLENDSHAPE_NAMES)}
        options = vision.FaceLandmarkerOptions(
            # The bytes, not the path: MediaPipe cannot open paths beyond ASCII on Windows.
            base_options=BaseOptions(model_asset_buffer=path.read_bytes()),
            running_mode=vision.RunningMode.IMAGE,
            num_faces=MAX_FACES,
            output_face_blendshapes=True,
        )
        try:
            with quiet_native_libraries():
                self._landmarker = vision.FaceLandmarker.create_from_options(options)
                self.detect(np.zeros((64, 64, 3), np.uint8))
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{path} is damaged ({str(error).splitlines()[0]}): delete it and fetch it again with "
                f"`python -m backend models fetch {TASK_FILE}`."
            ) from error

    def detect(self, image: np.ndarray) -> list[Face]:
        import mediapipe

        height, width = image.shape[:2]
        data = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        result = self._landmarker.detect(data)
        return [
            _face(points, width, height, self._scores(scores))
            for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True)
        ]

    def _scores(self, categories: Any) -> Float[np.ndarray, " 52"]:
        scores = np.zeros(len(BLENDSHAPE_NAMES), np.float32)  # the task has no tongueOut: it stays 0
        for category in categories:
            if category.category_name in self._index:
                scores[self._index[category.category_name]] = category.score
        return scores

    def close(self) -> None:
        self._landmarker.close()


class _MeshLandmarker:
    source = "mesh"
    warm_up = 5  # it searches where the face was before: after a few images a resumed run agrees with a complete one

    def __init__(self) -> None:
        from mediapipe.python.solutions import face_mesh

        self._last: list[Face] = []
        with quiet_native_libraries():
            self._mesh = face_mesh.FaceMesh(max_num_faces=MAX_FACES, refine_landmarks=True)
            self.detect(np.zeros((64, 64, 3), np.uint8))

    def detect(self, image: np.ndarray) -> list[Face]:
        faces = self._detect_once(image)
        if any(all(_jumped(face, last) for last in self._last) for face in faces):
            # A cut, or no face: the search began at the last face, and the next one begins at these.
            for _ in range(REDETECTIONS):
                faces = self._detect_once(image)
        self._last = faces
        return faces

    def _detect_once(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        faces = self._mesh.process(image).multi_face_landmarks or []
        return [_face(face.landmark, width, height, None) for face in faces]

    def close(self) -> None:
        self._mesh.close()
