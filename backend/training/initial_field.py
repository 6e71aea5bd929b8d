"""The initial field of a training: its box and occupied cells from the visual hull, its regions from the face."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from ..renderer.field.field import Field, FieldConfig
from ..renderer.field.triplane import TriplaneLayout
from ..workspace.camera import Camera
from . import visual_hull
from .dataset import FramePool
from .presets import Preset
from .regions import EVERYWHERE, expression_region, lip_region

HULL_FRAMES = 48


def initial_field(
    pool: FramePool,
    poses: np.ndarray,
    camera: Camera,
    face_head_m: np.ndarray,
    blendshape_centre: np.ndarray,
    lip_inputs: int,
    preset: Preset,
) -> tuple[Field, torch.Tensor]:
    """An untrained field, and its visual hull, (G, G, G) bool.

    Args:
        poses: (N, 4, 4) head_to_camera of the clip's frames.
        camera: of the frames at the training size.
        blendshape_centre: (52), subtracted from the blendshapes.
        lip_inputs: `LipSource.inputs`.
    """
    mattes, seen_from = [], []
    for frame in islice(pool.held, HULL_FRAMES):
        matte = np.zeros((pool.size, pool.size), np.uint8)
        height, width = frame.alpha.shape
        matte[frame.y0 : frame.y0 + height, frame.x0 : frame.x0 + width] = frame.alpha
        mattes.append(matte)
        seen_from.append(poses[frame.index])
    low, side = visual_hull.head_box(mattes, seen_from, camera, face_head_m)
    config = FieldConfig(
        box_low_m=tuple(low.tolist()),
        box_size_m=side,
        step_m=side / 64,
        lip_region=lip_region(face_head_m) if preset.gated else EVERYWHERE,
        expression_region=expression_region(face_head_m) if preset.gated else EVERYWHERE,
        blendshape_centre=tuple(blendshape_centre.tolist()),
        expression=preset.expression_names,
        lip_inputs=lip_inputs,
        layout=TriplaneLayout(preset.levels, preset.log2_table_size, 16, preset.finest_resolution),
    )
    cells = config.occupancy_cells
    hull = torch.from_numpy(visual_hull.visual_hull(mattes, seen_from, camera, low, side, cells, face_head_m))
    field = Field(config)
    field.set_occupied(hull)
    return field, hull
