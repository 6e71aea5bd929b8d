"""A made-up head with an exact image: an ellipsoid with fine stripes for hair and blocks for teeth, and faults on request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.renderer.head import RenderedHead
from backend.workspace.camera import Camera

RADII_M = np.array([0.08, 0.11, 0.09])
DISTANCE_M = 0.9
CAMERA = Camera(128, 128, 450.0, (64.0, 64.0))


@dataclass
class StripedHead:
    """Renders as `HeadRenderer` does.

    Attributes:
        specks: share of pixels that are coloured at poses turned by more than 6° and at shapes outside of [0, 1].
        nearer_m: by how much its surface lies before the ellipsoid's.
        jump: grey levels by which all of it changes when the head's x is positive.
    """

    specks: float = 0.0
    nearer_m: float = 0.0
    jump: float = 0.0

    def render(self, camera, head_to_camera, blendshapes, crop=None, passes=False) -> RenderedHead:
        rows, columns = np.mgrid[: camera.height, : camera.width] + 0.5
        x, y = ((a - p) / camera.focal_px for a, p in zip((columns, rows), camera.principal_px, strict=True))
        directions = np.stack([x, y, np.ones_like(x)], -1)
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        rotation, origin = head_to_camera[:3, :3], -head_to_camera[:3, :3].T @ head_to_camera[:3, 3]
        towards, start = directions @ rotation / RADII_M, origin / RADII_M
        a, b, c = (towards**2).sum(-1), towards @ start, start @ start - 1
        inside = b**2 - a * c
        depth_m = (-b - np.sqrt(np.maximum(inside, 0))) / a - self.nearer_m
        alpha = np.clip(inside / (0.05 * a), 0, 1)
        colour = _colour(origin + depth_m[..., None] * (directions @ rotation))
        turned = abs(np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2]))) > 6
        if self.specks and (turned or blendshapes.min() < 0 or blendshapes.max() > 1):
            random = np.random.default_rng(0)
            hit = random.random(inside.shape) < self.specks
            colour = np.where(hit[..., None], random.random((*inside.shape, 3)), colour)
        colour = colour + self.jump / 255 * (head_to_camera[0, 3] > 0)
        rgba = np.concatenate([colour * alpha[..., None], alpha[..., None]], -1).astype(np.float32)
        return RenderedHead(rgba, np.where(alpha > 0.05, depth_m, 0).astype(np.float32) if passes else None)

    def render_batch(self, camera, heads_to_camera, blendshapes):
        for pose, values in zip(heads_to_camera, blendshapes, strict=True):
            yield self.render(camera, pose, values)


def _colour(points: np.ndarray) -> np.ndarray:
    """Skin, brown strands over the upper half, white teeth with dark gaps in the middle of the lower one."""
    azimuth = np.arctan2(points[..., 0], -points[..., 2])
    strands = 0.5 + 0.5 * np.sin(60 * azimuth + 40 * points[..., 1])
    hair = np.stack([0.25 + 0.35 * strands, 0.15 + 0.25 * strands, 0.1 + 0.12 * strands], -1)
    skin = np.stack([0.8 - points[..., 1], 0.6 + points[..., 1], 0.5 + 0.0 * azimuth], -1)
    teeth = 0.6 + 0.35 * np.sin(600 * points[..., 0])[..., None] * np.ones(3)
    mouth = _below(np.abs(points[..., :1]) - 0.025) * _below(np.abs(points[..., 1:2] - 0.045) - 0.01)
    upper = _below(points[..., 1:2] + 0.03)
    face = upper * hair + (1 - upper) * skin
    return mouth * teeth + (1 - mouth) * face


def _below(distance_m: np.ndarray) -> np.ndarray:
    """1 below zero and 0 above, 4 mm wide."""
    return 1 / (1 + np.exp(distance_m / 0.002))
