"""A drawn person before a green wall, as the stages would leave it, and a renderer of the head at any pose."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from backend.portrait_sync.blend import over
from backend.portrait_sync.head_region import FACE_OVAL
from backend.portrait_sync.model_file import model_path
from backend.portrait_sync.placed_head import PlacedHead
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.camera import Camera
from backend.workspace.face_mesh import FaceMesh
from backend.workspace.files import write_arrays
from backend.workspace.head_track import HeadTrack
from backend.workspace.images import write_image
from backend.workspace.store import Workspace
from backend.workspace.subject import Crop

SIZE, FACE_HEIGHT = 320, 128
FRAMES = 2
WALL, NECK, SHIRT, SKIN = (40, 190, 60), (150, 110, 90), (40, 50, 130), (215, 170, 150)
JAW_OPEN = BLENDSHAPE_NAMES.index("jawOpen")
PIVOT_M = np.array([0.0, 0.0, 0.08])
"""Of the head's frame behind the plane of the face."""
CAMERA = Camera(SIZE, SIZE, 800.0, (160.0, 160.0))
CENTRE_PX, RADIUS_PX = np.array([160.0, 130.0]), np.array([50.0, 64.0])
NECK_PX = 30
"""Half of the neck's width."""
_DEPTH_M = 1.0


def make_person(root: Path, crop: Crop | None = None, source: tuple[int, int] = (SIZE, SIZE)) -> Workspace:
    """A workspace of `FRAMES` frames with plates, mattes, background, track and face mesh; no head is trained."""
    workspace = Workspace.create(root)
    subject = workspace.subject
    subject.frames, subject.size, subject.source_size = FRAMES, SIZE, source
    subject.crop = crop or Crop(0, 0, SIZE)
    for stage in ("media", "landmarks", "head_sync", "face_sync", "portrait_sync"):
        subject.stages[stage] = {"state": "done", "key": stage}
    workspace.save()
    pose = np.eye(4)
    pose[:3, 3] = [0, (CENTRE_PX[1] - CAMERA.principal_px[1]) / CAMERA.focal_px * _DEPTH_M, _DEPTH_M + PIVOT_M[2]]
    vertices = face_points()
    track = HeadTrack(
        CAMERA,
        np.repeat(pose[None], FRAMES, 0),
        np.ones(FRAMES, bool),
        np.repeat(project(pose, vertices)[None].astype(np.float32), FRAMES, 0),
        np.zeros((FRAMES, len(BLENDSHAPE_NAMES)), np.float32),
    )
    track.write(workspace.tracking_path, 25.0)
    FaceMesh(vertices, np.array([[0, 1, 2]]), shapes(vertices)).write(workspace.face_mesh_path)

    wall, body, colour = np.array(WALL, np.float32), body_matte(), body_colour()
    plate = wall + body[..., None] * (colour - wall)
    rgba = draw_head(pose)
    head = rgba[..., 3]
    mattes = np.dstack([head, 0 * head, body * (1 - head), np.maximum(head, body)])
    write_image(workspace.background_path, np.full((SIZE, SIZE, 3), WALL, np.uint8))
    write_arrays(model_path(workspace), seen=np.ones((SIZE, SIZE), bool))
    for index in range(FRAMES):
        write_image(workspace.frame_path(index), over(rgba, np.rint(plate).astype(np.uint8)))
        write_image(workspace.plate_path(index), np.rint(plate).astype(np.uint8))
        write_image(workspace.matte_path(index), np.rint(255 * mattes).astype(np.uint8))
    return workspace


def face_points() -> np.ndarray:
    """(478, 3) metres: the face's oval in a plane before the pivot, the other points in its middle."""
    points = np.tile(-PIVOT_M, (478, 1))
    scale = _DEPTH_M / CAMERA.focal_px
    chin = FACE_OVAL.index(152)
    for position, index in enumerate(FACE_OVAL):
        angle = np.pi / 2 + (chin - position) * 2 * np.pi / len(FACE_OVAL)
        points[index, :2] = RADIUS_PX * scale * [np.cos(angle), np.sin(angle)]
    points[168, 1] = -0.3 * RADIUS_PX[1] * scale
    return points


def shapes(vertices: np.ndarray) -> np.ndarray:
    """(52, 478, 3): `jawOpen` moves the chin down by 3 cm, and what is above it by less."""
    found = np.zeros((len(BLENDSHAPE_NAMES), *vertices.shape))
    found[JAW_OPEN, :, 1] = 0.03 * np.clip(vertices[:, 1] / vertices[:, 1].max(), 0, 1) ** 2
    return found


def body_matte() -> np.ndarray:
    """(S, S) float32: neck, up to behind the face, and torso."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
    neck = np.clip(NECK_PX + 0.5 - np.abs(columns - CENTRE_PX[0]), 0, 1) * np.clip((rows - 118) / 12, 0, 1)
    torso = np.clip(rows - 240 - 0.002 * (columns - CENTRE_PX[0]) ** 2, 0, 1)
    return np.maximum(neck, torso)


def body_colour() -> np.ndarray:
    """(S, S, 3) float32: the shirt begins below the neck; skin and cloth have a texture below the chin."""
    rows, _ = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
    shirt = np.clip(rows - 245, 0, 1)[..., None]
    colour = np.array(NECK, np.float32) * (1 - shirt) + np.array(SHIRT, np.float32) * shirt
    noise = cv2.GaussianBlur(np.random.default_rng(1).normal(0, 9, (SIZE, SIZE)).astype(np.float32), (0, 0), 0.8)
    return colour + (noise * (rows > 200))[..., None]


def turned(
    pose: np.ndarray, degrees: tuple[float, float, float] = (0, 0, 0), cm: tuple[float, float, float] = (0, 0, 0)
):
    """`pose` pitched, yawed and rolled about its own origin, and moved."""
    from scipy.spatial.transform import Rotation

    result = pose.copy()
    result[:3, :3] = pose[:3, :3] @ Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    result[:3, 3] += np.array(cm) / 100
    return result


def project(pose: np.ndarray, points: np.ndarray, camera: Camera = CAMERA) -> np.ndarray:
    """(n, 2) pixels of points in the head frame."""
    return camera.project(pose, points)[0]


def draw_head(pose: np.ndarray, jaw_open: float = 0.0, camera: Camera = CAMERA) -> np.ndarray:
    """(H, W, 4) float32, premultiplied: the face's oval, as a trained head would be rendered."""
    points = face_points()
    points = points + jaw_open * shapes(points)[JAW_OPEN]
    outline = project(pose, points, camera)[list(FACE_OVAL)]
    matte = np.zeros((4 * camera.height, 4 * camera.width), np.uint8)
    cv2.fillPoly(matte, [np.rint((4 * outline - 0.5) * 16).astype(np.int32)], 255, shift=4)
    alpha = cv2.resize(matte, (camera.width, camera.height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.dstack([alpha[..., None] * np.array(SKIN, np.float32) / 255, alpha])


def blendshapes(jaw_open: float = 0.0) -> np.ndarray:
    """(52) float32."""
    values = np.zeros(len(BLENDSHAPE_NAMES), np.float32)
    values[JAW_OPEN] = jaw_open
    return values


def placed(
    rgba: np.ndarray, pose: np.ndarray, camera: Camera = CAMERA, frame: int = 0, jaw_open: float = 0.0
) -> PlacedHead:
    """A head that was drawn over a frame of the footage."""
    return PlacedHead(rgba, frame, camera, pose, blendshapes(jaw_open))
