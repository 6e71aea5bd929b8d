"""3D Gaussian Splatting as Kerbl et al. (2023) draw it, in plain NumPy: what another program makes of exported Gaussians."""

from __future__ import annotations

import numpy as np

from backend.workspace.camera import Camera
from tests.backend.delivery.exported import Read


def draw(gaussians: Read, camera: Camera, to_camera: np.ndarray) -> np.ndarray:
    """(height, width, 4) premultiplied.

    Args:
        to_camera: (4, 4) from the Gaussians' axes to an OpenCV camera.
    """
    points = gaussians.positions @ to_camera[:3, :3].T + to_camera[:3, 3]
    x, y, z = points.T
    focal = camera.focal_px
    jacobian = np.zeros((len(points), 2, 3))
    jacobian[:, 0, 0] = jacobian[:, 1, 1] = focal / z
    jacobian[:, 0, 2], jacobian[:, 1, 2] = -focal * x / z**2, -focal * y / z**2
    seen = jacobian @ to_camera[:3, :3]
    shapes = seen @ gaussians.covariances @ seen.transpose(0, 2, 1) + 0.3 * np.eye(2)
    forms, reach = np.linalg.inv(shapes), 3.4 * np.sqrt(shapes[:, [0, 1], [0, 1]])  # beyond it alpha is below 1/255
    centres = focal * points[:, :2] / z[:, None] + np.array(camera.principal_px)
    image, passed = np.zeros((camera.height, camera.width, 3)), np.ones((camera.height, camera.width))
    for index in np.argsort(z, kind="stable"):
        left, top = np.maximum(np.floor(centres[index] - reach[index]), 0).astype(int)
        right, bottom = np.maximum(np.ceil(centres[index] + reach[index]), 0).astype(int)
        box = slice(top, bottom), slice(left, right)
        dx = np.arange(camera.width)[None, box[1]] + 0.5 - centres[index, 0]
        dy = np.arange(camera.height)[box[0], None] + 0.5 - centres[index, 1]
        form = forms[index]
        distance = form[0, 0] * dx * dx + 2 * form[0, 1] * dx * dy + form[1, 1] * dy * dy
        alpha = np.minimum(0.99, gaussians.opacities[index] * np.exp(-0.5 * distance))
        alpha = np.where(alpha < 1 / 255, 0, alpha)
        image[box] += (passed[box] * alpha)[..., None] * gaussians.colours[index]
        passed[box] *= 1 - alpha
    return np.concatenate([image, 1 - passed[..., None]], 2)
