"""Reads a Basel Face Model, a morphable face model that a user may have. None is shipped: the University of Basel gives
it to those who accept its licence (https://faces.dmi.unibas.ch/bfm/).

A face is `mean + basis @ (deviations * coefficients)` with coefficients of unit normal distribution:

- BFM 2009 (P. Paysan, R. Knothe, B. Amberg, S. Romdhani, T. Vetter, "A 3D Face Model for Pose and Illumination Invariant
  Face Recognition", AVSS 2009), `01_MorphableModel.mat`: `shapeMU` (3V, 1) the mean, `shapePC` (3V, K) orthonormal
  components, `shapeEV` (K, 1) their *standard deviations*, despite the name; micrometres.
- BFM 2017 and 2019 (T. Gerig, A. Morel-Forster, C. Blumer, B. Egger, M. Lüthi, S. Schönborn, T. Vetter, "Morphable Face
  Models - An Open Framework", FG 2018), `.h5`: `shape/model/mean` (3V), `shape/model/pcaBasis` (3V, K) orthonormal,
  `shape/model/pcaVariance` (K) variances; millimetres. The expression model in the same file is not used: the fitted
  face is at rest.

Units as the makers state them (github.com/unibas-gravis/basel-face-model-viewer, issue 20). Coordinates are stored vertex
by vertex, x, y, z: x to the right of the image for a face that looks into the camera, y up, z to the viewer. Reading flips
y and z into the camera's axes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import loadmat

from ..errors import ModelError
from ..workspace.landmarks import COUNT
from .face_model import FaceModel

HEIGHT_M = (0.1, 0.6)
"""Least and greatest height of a face model."""

REACH_M = (1e-5, 0.03)
"""How far, root mean square, one deviation of the strongest component moves a vertex: least and most."""

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MAT_ARRAYS = ("shapeMU", "shapePC", "shapeEV")


def read_face_model(path: Path) -> FaceModel:
    """Read a Basel Face Model: 2009's `01_MorphableModel.mat`, or 2017's or 2019's `.h5`.

    Raises:
        ModelError: the file is missing, damaged, of another kind, or needs h5py where that is not installed.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise ModelError(f"The face model {path} cannot be read ({error.strerror}): check the path.") from error
    # MATLAB 7.3 files are HDF5 too, behind a text header: reading them as MATLAB gives the right advice.
    if path.suffix.lower() in (".h5", ".hdf5") or start == _HDF5_SIGNATURE:
        return _checked(path, *_read_h5(path), metres=1e-3)
    return _checked(path, *_read_mat(path), metres=1e-6)


def _read_mat(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        arrays = loadmat(path, variable_names=_MAT_ARRAYS)
    except NotImplementedError as error:
        raise ModelError(f"{path} is a MATLAB 7.3 file, which cannot be read: save it with -v7.") from error
    except Exception as error:
        raise ModelError(
            f"{path} is not a valid Basel Face Model 2009 file: download 01_MorphableModel.mat again."
        ) from error
    found = [arrays[name] for name in _MAT_ARRAYS if _is_numeric(arrays.get(name))]
    if len(found) < len(_MAT_ARRAYS):
        missing = [name for name in _MAT_ARRAYS if not _is_numeric(arrays.get(name))]
        raise ModelError(f"{path} has no {', '.join(missing)}: give the Basel Face Model's 01_MorphableModel.mat.")
    mean, basis, deviations = found
    return mean, basis, deviations


def _read_h5(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        import h5py
    except ImportError as error:
        raise ModelError(
            f"Reading {path} needs h5py: install it into the backend's environment (pip install h5py), or "
            "give the 2009 model's 01_MorphableModel.mat."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            model = file["shape/model"]
            mean, basis, variance = (np.array(model[name]) for name in ("mean", "pcaBasis", "pcaVariance"))
    except Exception as error:
        raise ModelError(
            f"{path} is not a valid Basel Face Model 2017 or 2019 file: download model2017-1_bfm_nomouth.h5 again."
        ) from error
    if not _is_numeric(variance) or not (variance >= 0).all():
        raise ModelError(f"{path} is damaged (negative variance): download it again.")
    return mean, basis, np.sqrt(variance)


def _is_numeric(array: object) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiu"


def _checked(path: Path, mean: np.ndarray, basis: np.ndarray, deviations: np.ndarray, metres: float) -> FaceModel:
    """The arrays as a `FaceModel`, if they can be one."""
    why = _why_unusable(mean, basis, deviations)
    if not why:
        flip = np.array([1.0, -1.0, -1.0])
        vertices = mean.astype(np.float64).reshape(-1, 3) * flip * metres
        modes = np.ascontiguousarray(basis, np.float32).reshape(*vertices.shape, -1) * flip.astype(np.float32)[:, None]
        deviations = deviations.astype(np.float64).ravel() * metres
        height = float(np.ptp(vertices[:, 1]))
        reach = float((deviations * np.sqrt(np.einsum("vik,vik->k", modes, modes) / len(vertices))).max())
        if not HEIGHT_M[0] < height < HEIGHT_M[1]:
            why = f"its face is {height:.3g} m high"
        elif not REACH_M[0] < reach < REACH_M[1]:
            why = f"its strongest component moves the face by {1000 * reach:.3g} mm"
        else:
            return FaceModel(vertices, modes, deviations)
    raise ModelError(f"{path} cannot be used: {why}. Use the original file from the University of Basel.")


def _why_unusable(mean: np.ndarray, basis: np.ndarray, deviations: np.ndarray) -> str:
    if not all(map(_is_numeric, (mean, basis, deviations))):
        return "its shape arrays are not numbers"
    sizes = mean.size, basis.shape, deviations.size
    if basis.shape != (mean.size, deviations.size) or mean.size % 3 or not deviations.size:
        return "the sizes {}, {} and {} of mean, components and deviations disagree".format(*sizes)
    if mean.size // 3 < COUNT:
        return f"{mean.size // 3} vertices are too few"
    if not all(np.isfinite(array).all() for array in (mean, basis, deviations)) or (deviations < 0).any():
        return "some of its numbers are not finite"
    return ""
