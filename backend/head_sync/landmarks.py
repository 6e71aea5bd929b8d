"""Face landmarks of one picture, from MediaPipe: the Face Landmarker task where its file is present, else the face
mesh of the wheel.

Each picture is looked at alone. MediaPipe's own video mode filters one face over time, and with that delays it by
half a frame and halves the fastest movements (docs/head-sync.md), which lips and nods cannot afford; steadiness is
the work of the head points tracker and the bundle adjustment.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..errors import ModelError
from ..media.native_log import quiet_native_libraries
from ..protocol import BLENDSHAPE_NAMES

LANDMARKS = 478
TASK_FILE = "face_landmarker.task"
MAX_FACES = 3
"""Faces looked for in a picture, so that a second one cannot take the place of the one that is followed."""

JUMP = 0.08
"""Of a face's size: motion from one frame to the next, and change of size, that only a cut or a mistake makes."""

LOOKS_AGAIN = 2


@dataclass(frozen=True)
class Face:
    """One face of one picture.

    points_px: (478, 2) float32, pixels. depth: (478) float32, pixels at the face's own scale, smaller is nearer.
    scores: (52) float32 in [0, 1] in the order of `protocol.BLENDSHAPE_NAMES`, or None.
    """

    points_px: np.ndarray
    depth: np.ndarray
    scores: np.ndarray | None = None

    @property
    def centre_px(self) -> np.ndarray:
        return (self.points_px.min(0) + self.points_px.max(0)) / 2

    @property
    def size_px(self) -> float:
        """Geometric mean of the bounding box's sides."""
        return float(np.sqrt(np.prod(self.points_px.max(0) - self.points_px.min(0))))


class FaceLandmarker(Protocol):
    """What finds faces. `source` is `task` or `mesh`; `warm_up` pictures shown before settle what it remembers."""

    source: str
    warm_up: int

    def detect(self, image: np.ndarray) -> list[Face]:
        """All faces of an (H, W, 3) uint8 RGB picture."""
        ...

    def close(self) -> None:
        """Free the network."""
        ...


def open_landmarker(kind: str = "auto") -> FaceLandmarker:
    """The best landmarker that is here: `task`, `mesh`, or `auto` for the task with the mesh as its stand-in.

    Raises:
        ModelError: what was asked for is missing or damaged.
    """
    source = landmarker_source(kind)
    return _TaskLandmarker(_find_task()) if source == "task" else _MeshLandmarker()


def landmarker_source(kind: str = "auto") -> str:
    """`task` or `mesh`: what `open_landmarker(kind)` opens, without opening it.

    Raises:
        ModelError: what was asked for is not here.
    """
    if kind not in ("auto", "task", "mesh"):
        raise ModelError(f"The landmarker {kind!r} does not exist: choose task, mesh or auto.")
    if kind != "mesh" and _find_task() is not None:
        return "task"
    if kind == "task":
        raise ModelError(f"{TASK_FILE} is missing: fetch it with `python -m backend models fetch {TASK_FILE}`.")
    if not _has_mesh():
        raise ModelError(
            "This version of mediapipe carries no face mesh of its own and needs a file: "
            f"fetch it with `python -m backend models fetch {TASK_FILE}`, or install mediapipe 0.10.21."
        )
    return "mesh"


def choose_face(faces: list[Face], last: Face | None) -> Face | None:
    """The face to follow: the largest at first, then the one that goes on from `last`.

    A face that is elsewhere by more than its own size, or of less than half or more than twice the size, is another's.
    """
    if last is None:
        return max(faces, key=lambda face: face.size_px, default=None)
    near = [face for face in faces if _distance(face, last) < 1.0 and 0.5 < face.size_px / last.size_px < 2.0]
    return min(near, key=lambda face: _distance(face, last), default=None)


def _distance(face: Face, last: Face) -> float:
    return float(np.linalg.norm(face.centre_px - last.centre_px)) / last.size_px


def _jumped(face: Face, last: Face) -> bool:
    """Whether a face is farther from another picture's, in place or size, than one frame's motion takes it."""
    return _distance(face, last) > JUMP or abs(np.log(face.size_px / last.size_px)) > JUMP


def _find_task() -> Path | None:
    from ..models import find

    return find(TASK_FILE)


def _has_mesh() -> bool:
    try:
        from mediapipe.python.solutions import face_mesh  # noqa: F401
    except ImportError:
        return False
    return True


def _face(points, width: int, height: int, scores: np.ndarray | None) -> Face:
    xyz = np.array([(point.x, point.y, point.z) for point in points], np.float32)
    return Face(xyz[:, :2] * np.float32([width, height]), xyz[:, 2] * np.float32(width), scores)


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
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        result = self._landmarker.detect(picture)
        return [
            _face(points, width, height, self._scores(scores))
            for points, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True)
        ]

    def _scores(self, categories) -> np.ndarray:
        scores = np.zeros(len(BLENDSHAPE_NAMES), np.float32)  # what the task does not know (tongueOut) stays 0
        for category in categories:
            if category.category_name in self._index:
                scores[self._index[category.category_name]] = category.score
        return scores

    def close(self) -> None:
        self._landmarker.close()


class _MeshLandmarker:
    source = "mesh"
    warm_up = (
        5  # it looks where the face was in the picture before; a few pictures let a resumed run agree with a whole one
    )

    def __init__(self) -> None:
        from mediapipe.python.solutions import face_mesh

        self._last: list[Face] = []
        with quiet_native_libraries():
            self._mesh = face_mesh.FaceMesh(max_num_faces=MAX_FACES, refine_landmarks=True)
            self.detect(np.zeros((64, 64, 3), np.uint8))

    def detect(self, image: np.ndarray) -> list[Face]:
        faces = self._look(image)
        if any(all(_jumped(face, last) for last in self._last) for face in faces):
            # A cut, or no face at all: it still looks where the last one was, and a second look starts from this one.
            for _ in range(LOOKS_AGAIN):
                faces = self._look(image)
        self._last = faces
        return faces

    def _look(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        faces = self._mesh.process(image).multi_face_landmarks or []
        return [_face(face.landmark, width, height, None) for face in faces]

    def close(self) -> None:
        self._mesh.close()
