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
    forms = np.linalg.inv(seen @ gaussians.covariances @ seen.transpose(0, 2, 1) + 0.3 * np.eye(2))
    centres = focal * points[:, :2] / z[:, None] + np.array(camera.principal_px)
    across, down = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    image, passed = np.zeros((camera.height, camera.width, 3)), np.ones((camera.height, camera.width))
    for index in np.argsort(z, kind="stable"):
        dx, dy = across - centres[index, 0], down - centres[index, 1]
        form = forms[index]
        distance = form[0, 0] * dx * dx + 2 * form[0, 1] * dx * dy + form[1, 1] * dy * dy
        alpha = np.minimum(0.99, gaussians.opacities[index] * np.exp(-0.5 * distance))
        alpha = np.where(alpha < 1 / 255, 0, alpha)
        image += (passed * alpha)[..., None] * gaussians.colours[index]
        passed = passed * (1 - alpha)
    return np.concatenate([image, 1 - passed[..., None]], 2)
