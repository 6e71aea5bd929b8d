"""Heads that were trained with an earlier version load and render to the same pixels."""

import numpy as np
import pytest
import torch

from backend.renderer.field.field import Field, FieldConfig
from backend.renderer.field.kernels import get_kernel
from backend.renderer.field.renderer import FieldRenderer
from backend.workspace.camera import Camera

CONFIG = {
    "box_low_m": [-0.15, -0.15, -0.15],
    "box_size_m": 0.3,
    "step_m": 0.01,
    "lip_region": {"centre_m": [0.0, 0.05, -0.05], "radii_m": [0.08, 0.05, 0.08], "softness_m": 0.005},
    "expression_region": {"centre_m": [0.0, -0.05, -0.05], "radii_m": [0.08, 0.05, 0.08], "softness_m": 0.005},
    "blendshape_centre": [0.1] * 52,
    "layout": {"levels": 3, "log2_table_size": 8, "base_resolution": 4, "finest_resolution": 32},
    "hidden": 16,
    "geometry": 8,
    "lip_features": 4,
    "expression_features": 4,
    "occupancy_cells": 32,
    "max_samples": 16,
}
"""`config` of config.json, as the first version wrote it."""

SHAPES = {
    "tables": (9, 256), "occupied": (32, 32, 32),
    "gate.0.weight": (16, 9), "gate.0.bias": (16,), "gate.2.weight": (2, 16), "gate.2.bias": (2,),
    "lip_code.0.weight": (32, 29), "lip_code.0.bias": (32,), "lip_code.2.weight": (4, 32), "lip_code.2.bias": (4,),
    "expression_code.0.weight": (32, 19), "expression_code.0.bias": (32,),
    "expression_code.2.weight": (4, 32), "expression_code.2.bias": (4,),
    "density_in.weight": (16, 17), "density_in.bias": (16,),
    "density_hidden.weight": (16, 16), "density_hidden.bias": (16,),
    "density_out.weight": (9, 16), "density_out.bias": (9,),
    "colour_in.weight": (16, 17), "colour_in.bias": (16,), "colour_out.weight": (3, 16), "colour_out.bias": (3,),
}  # fmt: skip
"""`field.*` of a checkpoint, without the prefix."""

COLUMN = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [0.12035, 0.74615, 0.86698, 1.0, 0.83753],
        [0.08186, 0.62113, 0.90119, 1.0, 0.80954],
        [0.17608, 0.84977, 0.84451, 1.0, 0.81447],
        [0.19087, 0.80698, 0.82687, 1.0, 0.83346],
        [0.04201, 0.17448, 0.16486, 0.19985, 0.8873],
        [0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)
"""RGBA and depth of every sixth pixel of the middle column, rendered by the first version."""


def old_tensors() -> dict[str, torch.Tensor]:
    tensors = {}
    for number, (name, shape) in enumerate(SHAPES.items()):
        values = torch.sin(torch.arange(int(np.prod(shape)), dtype=torch.float64) * 0.7 + number)
        tensors[name] = (values * (1.0 if name == "tables" else 0.5)).reshape(shape).float()
    ball = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, 32)] * 3, indexing="ij")).norm(dim=0) < 0.7
    tensors["occupied"] = ball.to(torch.uint8)
    tensors["density_out.bias"][0] = 4.0
    return tensors


@pytest.mark.parametrize("name", ["torch", "numba"])
def test_a_head_of_the_first_version_renders_to_the_same_pixels(name):
    if name == "numba":
        pytest.importorskip("numba")
    field = Field(FieldConfig.from_json(CONFIG))
    field.load_state_dict(old_tensors())
    field.set_occupied(field.occupied)
    pose = np.array([[1, 0, 0, 0.01], [0, 1, 0, -0.01], [0, 0, 1, 0.9], [0, 0, 0, 1]], float)
    image = FieldRenderer(field, get_kernel(name)).render(
        Camera(48, 48, 120.0, (24.0, 24.0)), pose, np.full(52, 0.2, np.float32)
    )
    found = np.concatenate([image.rgba[::6, 24], image.depth_m[::6, 24, None]], 1)
    np.testing.assert_allclose(found, COLUMN, atol=2 / 255 if name == "numba" else 1e-4)
