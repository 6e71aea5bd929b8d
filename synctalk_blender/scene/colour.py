"""The backend's colours in the scene's own linear space."""

from __future__ import annotations

import bpy
import numpy as np

# Linear Rec.709 to the other working spaces that Blender 5 offers, Bradford-adapted where the white point differs.
_FROM_REC709 = {
    "Linear Rec.2020": np.array(
        [
            [0.62740390, 0.32928304, 0.04331307],
            [0.06909729, 0.91954040, 0.01136232],
            [0.01639144, 0.08801331, 0.89559525],
        ],
        np.float32,
    ),
    "ACEScg": np.array(
        [
            [0.61309740, 0.33952315, 0.04737945],
            [0.07019372, 0.91635388, 0.01345240],
            [0.02061559, 0.10956977, 0.86981463],
        ],
        np.float32,
    ),
}


def from_linear_rec709(pixels: np.ndarray) -> np.ndarray:
    """(…, 4) premultiplied linear Rec.709 as the file's working space has it; up to 4.5 that is Rec.709 itself."""
    matrix = _FROM_REC709.get(working_space())
    if matrix is None:
        return pixels
    return np.concatenate([pixels[..., :3] @ matrix.T, pixels[..., 3:]], -1)


def working_space() -> str:
    """The name of the file's linear working space."""
    colourspace = getattr(bpy.data, "colorspace", None)
    return getattr(colourspace, "working_space", "Linear Rec.709")
