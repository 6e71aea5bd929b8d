"""Gaussians as PLY, exactly as the reference implementation of 3D Gaussian Splatting (Kerbl et al. 2023) writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...protocol import SYNTHETIC_MARK
from ...workspace.files import atomic_path
from .splats import Splats

_SH_REST = 45
"""Coefficients of degrees 1 to 3: they are 0, and there for readers that take the reference's 62 numbers a row for granted."""

PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz"),
    *(f"f_dc_{channel}" for channel in range(3)),
    *(f"f_rest_{index}" for index in range(_SH_REST)),
    "opacity",
    *(f"scale_{axis}" for axis in range(3)),
    *(f"rot_{part}" for part in range(4)),
)
"""All of them floats: place, normal (0), colour, opacity (a logit), logarithms of the scales, rotation w x y z."""

_AXES = "axes: metres, x to the right of the image, y down, z into the head; colours are sRGB"


def write_ply(path: Path, splats: Splats) -> None:
    """Write the file, atomically. The axes are the head frame's, y down, as in what 3DGS trains on footage."""
    rows = np.zeros((splats.count, len(PROPERTIES)), "<f4")
    columns = {name: index for index, name in enumerate(PROPERTIES)}
    rows[:, 0:3] = splats.positions_m
    rows[:, columns["f_dc_0"] :][:, :3] = splats.sh_degree_0
    rows[:, columns["opacity"]] = np.log(splats.opacities / (1 - splats.opacities))
    rows[:, columns["scale_0"] :][:, :3] = np.log(splats.scales_m)
    rows[:, columns["rot_0"] :] = splats.rotations
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {splats.count}",  # in the third line: the reference's viewer looks for it there
        *(f"property float {name}" for name in PROPERTIES),
        f"comment {SYNTHETIC_MARK}",
        f"comment {_AXES}",
        "end_header",
    ]
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join(header).encode("ascii") + b"\n" + rows.tobytes())
