"""The one place where OpenCV's frames become Blender's and back. Pure functions on arrays; no `bpy` here.

Four frames, all right-handed, in metres:

- OpenCV camera: x to the right of the image, y down, z forward.
- Blender camera: x to the right, y up, looking along -z.
- head (docs/animation.md): the OpenCV camera's axes when the face looks straight into the lens.
- Blender head, the local axes of the head empty: x to the right of the image, y into the head, z up. It is what Blender's
  users expect of a figure that faces the front view, so that turning about z is a turn, about x a nod, about y a tilt.
"""

from __future__ import annotations

import numpy as np

from ...backend.workspace.camera_path import CAMERA_HEIGHT_M

_CAMERA_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
_UPRIGHT_FROM_OPENCV = np.array(
    [
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.0, -1.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


def camera_to_world() -> np.ndarray:
    """(4, 4): the matrix of the camera object where the importer puts it."""
    matrix = _UPRIGHT_FROM_OPENCV @ _CAMERA_FROM_OPENCV
    matrix[2, 3] = CAMERA_HEIGHT_M
    return matrix


def moved_camera(motion: np.ndarray) -> np.ndarray:
    """(..., 4, 4): the matrix of the camera object from (..., 4, 4) motions of an OpenCV camera, from its axes to those of one at the
    importer's place."""
    return camera_to_world() @ _CAMERA_FROM_OPENCV @ motion @ _CAMERA_FROM_OPENCV


def head_to_world(head_to_camera: np.ndarray, camera: np.ndarray | None = None) -> np.ndarray:
    """The head empty's world matrix.

    Args:
        head_to_camera: (..., 4, 4), head to OpenCV camera.
        camera: (..., 4, 4), the camera object's world matrix; the importer's own place when absent.
    """
    camera = camera_to_world() if camera is None else camera
    return camera @ _CAMERA_FROM_OPENCV @ head_to_camera @ _UPRIGHT_FROM_OPENCV.T


def head_to_camera(head: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(4, 4): head to OpenCV camera, a rotation and a translation.

    Args:
        head: (4, 4), the head empty's world matrix. An even scale s is kept exactly: through a pinhole, a head s times as
            large at a distance z looks like one of natural size at z / s. What is left of an uneven scale is dropped.
        camera: (4, 4), the camera object's world matrix; its scale means nothing, as everywhere in Blender.
    """
    matrix = _CAMERA_FROM_OPENCV @ np.linalg.inv(without_scale(camera)) @ head @ _UPRIGHT_FROM_OPENCV
    result = np.eye(4)
    result[:3, :3] = nearest_rotation(matrix[:3, :3])
    result[:3, 3] = matrix[:3, 3] / scale_of(head)
    return result


def scale_of(matrix: np.ndarray) -> float:
    """The even scale of a matrix (4, 4): the cube root of the volume that it makes of a unit cube."""
    return max(abs(np.linalg.det(matrix[:3, :3])) ** (1.0 / 3.0), 1e-9)


def normals_to_world(normals: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(..., 3) normals as the backend has them, in the axes of a world in which the camera is where the importer puts it, in those of
    this world.

    Args:
        camera: (4, 4), the camera object's world matrix.
    """
    turn = without_scale(camera)[:3, :3] @ camera_to_world()[:3, :3].T
    return normals @ turn.T.astype(normals.dtype)


def turn_to_blender(turn: np.ndarray) -> np.ndarray:
    """(3, 3) rotation of the head frame in the head empty's local axes."""
    upright = _UPRIGHT_FROM_OPENCV[:3, :3]
    return upright @ turn @ upright.T


def points_to_blender(points: np.ndarray) -> np.ndarray:
    """(..., 3) points or displacements of the head frame in the head empty's local axes."""
    return points @ _UPRIGHT_FROM_OPENCV[:3, :3].T


def without_scale(matrix: np.ndarray) -> np.ndarray:
    """(4, 4) with its axes made unit length."""
    result = matrix.astype(np.float64)
    result[:3, :3] /= np.maximum(np.linalg.norm(result[:3, :3], axis=0), 1e-12)
    return result


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) nearest to a matrix, in the Frobenius norm (orthogonal Procrustes)."""
    u, _, vt = np.linalg.svd(matrix)
    return u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt


def euler_xyz(rotations: np.ndarray) -> np.ndarray:
    """(N, 3) angles in radians of (N, 3, 3) rotations R = Rz Ry Rx, Blender's `XYZ` order, without jumps of a whole turn."""
    y = np.arcsin(np.clip(-rotations[:, 2, 0], -1.0, 1.0))
    x = np.arctan2(rotations[:, 2, 1], rotations[:, 2, 2])
    z = np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0])
    return np.unwrap(np.stack([x, y, z], -1), axis=0)
