"""An untrained Gaussian head on a cloud of points: its groups, what they belong to, the order in which it is blended."""

from __future__ import annotations

import numpy as np
import torch

from ...renderer.field.field import FieldConfig
from ...renderer.gaussians.head import GaussianConfig, GaussianHead, view_directions
from ...renderer.gaussians.kernels.interface import ATTRIBUTES, COLOUR, LOG_SCALE, LOW_PASS_PX2, OPACITY, POSITION
from ...workspace.camera import Camera
from ...workspace.shapes import Float, Int
from .cloud import Cloud
from .gates import gates

START_OPACITY, START_SCALE = 0.6, 0.6
"""Opacity, and standard deviation in spacings."""
MIN_VIEW_SCALE = 0.03
"""Least standard deviation of the direction of view: a clip whose head never turns shows nothing of it."""


def start_head(
    cloud: Cloud,
    field: FieldConfig,
    camera: Camera,
    poses: Float[np.ndarray, "used 4 4"],
    conditions: Float[np.ndarray, "used conditions"],
    seed: int,
) -> GaussianHead:
    """A head that is not trained yet.

    Args:
        camera: of the training frames.
        poses, conditions: of the training frames.
    """
    points = torch.from_numpy(cloud.points_m)
    lip, expression = (gates(points.T, region) for region in (field.lip_region, field.expression_region))
    group = torch.where(torch.maximum(lip, expression) <= 0, 2, torch.where(lip >= expression, 0, 1)).numpy()
    place = np.argsort(group, kind="stable")
    count = len(place)
    base = np.zeros((ATTRIBUTES, count), np.float32)
    base[POSITION] = cloud.points_m[place].T
    base[LOG_SCALE] = np.log(np.clip(cloud.spacing_m[place], 3e-4, 6e-3) * START_SCALE)
    base[6] = 1
    base[6:10] += 0.01 * np.random.default_rng(seed).normal(size=(4, count))
    base[OPACITY] = np.log(START_OPACITY / (1 - START_OPACITY))
    base[COLOUR] = cloud.colours[place].T
    directions = view_directions(poses)
    config = GaussianConfig(
        lip_region=field.lip_region,
        expression_region=field.expression_region,
        blendshape_centre=field.blendshape_centre,
        expression=field.expression,
        lip_inputs=field.lip_inputs,
        filter_m=float(np.sqrt(LOW_PASS_PX2) * np.median(poses[:, 2, 3]) / camera.focal_px),
        view_mean=tuple(directions.mean(0).tolist()),
        view_scale=tuple(np.maximum(directions.std(0), MIN_VIEW_SCALE).tolist()),
    )
    torch.manual_seed(seed)
    head = GaussianHead(config, torch.from_numpy(base), int((group == 0).sum()), int((group == 1).sum()))
    with torch.no_grad():
        lips, expressions = head.inputs(torch.from_numpy(np.asarray(conditions, np.float32)))
    head.lip_code.start(lips)
    head.lip_code.bound_colour(lips)
    head.expression_code.start(expressions)
    head.order = blending_order(head, mean_camera(poses))
    return head


def mean_camera(poses: Float[np.ndarray, "used 4 4"]) -> Float[np.ndarray, " 3"]:
    """Where the camera is in the head frame, metres."""
    mean: np.ndarray = -np.einsum("nji,nj->ni", poses[:, :3, :3], poses[:, :3, 3]).mean(0)
    return mean


def blending_order(head: GaussianHead, camera_m: Float[np.ndarray, " 3"]) -> Int[torch.Tensor, " n"]:
    """By the distance from the clip's mean camera, the nearest first."""
    distance = np.linalg.norm(head.neutral()[POSITION].T - camera_m, axis=1)
    return torch.from_numpy(np.argsort(distance, kind="stable").astype(np.int32))
