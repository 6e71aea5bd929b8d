"""A made-up Gaussian head: a few hundred Gaussians on an ellipsoid with a nose, and lips and an upper face that codes drive."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from backend.protocol import BLENDSHAPE_NAMES
from backend.renderer.gaussians.head import GaussianConfig, GaussianHead
from backend.renderer.gaussians.kernels.interface import ATTRIBUTES, COLOUR, LOG_SCALE, OPACITY, POSITION, ROTATION
from backend.renderer.regions import UPPER_FACE, Region, region_weight

CENTRE_M, RADII_M = np.array([0.0, -0.06, -0.01]), np.array([0.075, 0.11, 0.09])
"""Of the skull in the head frame."""
NOSE_M = np.array([0.0, -0.01, -0.115])
"""The tip of the nose: nothing lies further forwards."""
LIPS = Region((0.0, 0.01, -0.085), (0.04, 0.03, 0.04))
UPPER = Region((0.0, -0.075, -0.08), (0.07, 0.03, 0.04))

SKIN, LIP, HAIR, EYE = (0.85, 0.65, 0.55), (0.75, 0.25, 0.25), (0.25, 0.15, 0.08), (0.1, 0.2, 0.45)


def made_up_gaussians(count: int = 300, seed: int = 0) -> GaussianHead:
    """The same head for the same arguments: Gaussians like scales on the skull, blended from the face to its back."""
    random = np.random.default_rng(seed)
    positions, normals = _surface(count)
    lips = region_weight(torch.from_numpy(positions), LIPS).numpy() > 0.5
    upper = (region_weight(torch.from_numpy(positions), UPPER).numpy() > 0.5) & ~lips
    kinds = np.where(lips, 0, np.where(upper, 1, 2))
    chosen = np.argsort(kinds, kind="stable")
    positions, normals, kinds = positions[chosen], normals[chosen], kinds[chosen]
    hair = (positions[:, 1] < -0.11) | (positions[:, 2] > 0.01)

    base = np.zeros((ATTRIBUTES, count), np.float32)
    base[POSITION] = positions.T
    spacing = np.sqrt(4 * np.pi * float(np.mean(RADII_M)) ** 2 / count)
    base[LOG_SCALE] = np.log(spacing * np.array([[0.7], [0.55], [0.15]])) + random.normal(0, 0.1, (3, count))
    base[ROTATION] = _facing(normals, random).T * random.uniform(0.5, 2.0, count)  # of any length
    base[OPACITY] = random.uniform(1.0, 4.0, count)
    colours = np.where(hair[:, None], HAIR, SKIN) + random.normal(0, 0.03, (count, 3))
    for centre, radius, colour in (
        ((0, 0.015), 0.02, LIP),
        ((-0.03, -0.045), 0.012, EYE),
        ((0.03, -0.045), 0.012, EYE),
    ):
        near = (np.linalg.norm(positions[:, :2] - centre, axis=1) < radius) & (positions[:, 2] < 0)
        colours[near] = colour
    base[COLOUR] = np.clip(colours, 0, 1).T

    config = GaussianConfig(
        lip_region=LIPS,
        expression_region=UPPER,
        blendshape_centre=(0.1,) * len(BLENDSHAPE_NAMES),
        expression=UPPER_FACE,
        filter_m=0.0015,
        view_mean=(0.0, -0.1),
        view_scale=(0.2, 0.1),
    )
    mattes = np.stack([kinds == 0, hair, ~hair & (kinds != 0)])
    order = np.argsort(positions[:, 2], kind="stable")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = GaussianHead(
            config,
            torch.from_numpy(base),
            int((kinds == 0).sum()),
            int((kinds == 1).sum()),
            torch.from_numpy(mattes).float(),
            torch.from_numpy(order).int(),
        )
        for bases in (head.lip_bases, head.expression_bases):
            bases.normal_(0, 0.02)
            bases[:3] *= 0.03  # metres: a millimetre or so
        head.lip_bases[1, 0] += 0.004
        head.view_bases.normal_(0, 0.01)
        for codes in (head.lip_code, head.expression_code):
            codes.linear.data.normal_(0, 0.3)
    return head


def _surface(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 3), float32, evenly on the skull with a nose, and their outward normals."""
    index = np.arange(count) + 0.5
    height, turn = 1 - 2 * index / count, np.pi * (1 + 5**0.5) * index
    around = np.sqrt(1 - height**2)
    directions = np.stack([around * np.cos(turn), height, around * np.sin(turn)], 1)
    points = CENTRE_M + RADII_M * directions
    normals = directions / RADII_M
    towards = np.exp(-(((points[:, :2] - NOSE_M[:2]) / 0.014) ** 2).sum(1)) * (points[:, 2] < 0)
    points[:, 2] += towards * (NOSE_M[2] - points[:, 2])
    tip = int(np.argmax(towards))
    points[tip], normals[tip] = NOSE_M, (0, 0, -1)
    return points.astype(np.float32), normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _facing(normals: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Quaternions w x y z (n, 4) that take the z axis to the normals, turned about them at random."""
    upright = np.array([0.0, 1.0, 0.0]) + 1e-3 * random.normal(size=normals.shape)
    x = np.cross(upright, normals)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    turned = Rotation.from_matrix(np.stack([x, np.cross(normals, x), normals], 2))
    turned = turned * Rotation.from_rotvec(random.uniform(-np.pi, np.pi, (len(normals), 1)) * np.array([[0, 0, 1.0]]))
    x, y, z, w = turned.as_quat().T
    return np.stack([w, x, y, z], 1)
