"""A morphable face model of the user's own as the prior of a face's shape (Eq. 5's 3DMM), where there is one.

MediaPipe tells a face's depth too flat or too deep as a whole, and the poses follow it (the bas-relief
ambiguity, docs/head-sync.md). A statistical model knows how deep faces are for their width. None is shipped: the Basel
Face Model is given out by the University of Basel to those who ask for it and take its licence
(https://faces.dmi.unibas.ch/bfm/).

A face is `mean + basis @ (deviations * coefficients)` with coefficients of unit normal distribution:

- BFM 2009 (P. Paysan, R. Knothe, B. Amberg, S. Romdhani, T. Vetter, "A 3D Face Model for Pose and Illumination Invariant
  Face Recognition", AVSS 2009), `01_MorphableModel.mat`: `shapeMU` (3V, 1) the mean, `shapePC` (3V, K) orthonormal
  components, `shapeEV` (K, 1) their *standard deviations*, whatever the name says; micrometres.
- BFM 2017 and 2019 (T. Gerig, A. Morel-Forster, C. Blumer, B. Egger, M. Lüthi, S. Schönborn, T. Vetter, "Morphable Face
  Models - An Open Framework", FG 2018), `.h5`: `shape/model/mean` (3V), `shape/model/pcaBasis` (3V, K) orthonormal,
  `shape/model/pcaVariance` (K) variances; millimetres. The expression model in the same file is not used: what is
  fitted is a face at rest.

Units as the makers say (github.com/unibas-gravis/basel-face-model-viewer, issue 20). Coordinates lie vertex by vertex,
x, y, z; x to the picture's right for a face that looks into the camera, y up, z to the viewer. Reading turns y and z
about, so that everything is in the axes of `geometry.py`.

No table says which vertex is which of MediaPipe's landmarks, so it is found: the model is laid on the landmarks and each
landmark takes the nearest place of its surface (iterated closest points).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from ..errors import FaceError, ModelError
from ..workspace.poses import rotation_exp, similarity, skew
from .face_geometry import RIGID, RIGID_WEIGHTS
from .mat_file import MatFileError, read_mat_arrays

LANDMARKS = 478
NOSE_TIP = 4

NORMAL_SIGMA_M = 0.0015
"""How far an averaged landmark is from the skin, across it."""

ALONG_SIGMA_M = 0.02
"""And along it: which point of the skin it is, is found by nearness alone, which knows nothing of this direction; it only
keeps a step from sliding away. With 5 mm landmarks stuck to where they were put first."""

TIP_SIGMA_M = 0.003
"""How far the landmark of the nose's tip is, in the picture, from the model's: the one pair that is known by name, the
tip being what is nearest to the camera. It keeps the whole from sliding up or down."""

RELIEF_SIGMA = 0.15
"""Relative standard deviation of how much too deep or too flat the landmarks are."""

FAR_M = 0.012
"""A landmark farther than this from the model's surface, or `FAR_RATIO` times as far as the median, has no vertex."""

FAR_RATIO = 4.0

FIT_M = 0.005
"""Median distance beyond which model and landmarks are not the same thing at all."""

LIKENESS = 1.6
"""Beyond this size or relief, or under its inverse, it is no face that was laid on the model: anything fits when flat."""

DEPTH_FLOOR_M = 0.001
"""What remains uncertain of a depth however sure the coefficients are: the model's own resolution."""

UNMATCHED_SIGMA_M = 0.006
"""Standard deviation of depth where no vertex was found; the observed depth is taken, with the relief that was found."""

STEEP = 0.35
"""Cosine of a surface's tilt to the line of sight below which its depth at a place is no better told than this."""

NEIGHBOURS = 12
"""Vertices that a normal is taken from."""

START_PITCH_DEG = (-10.0, 0.0, 10.0)
START_DOWN_M = (-0.01, 0.0, 0.01)
ROUGH_ROUNDS, ROUNDS = 12, 40

FEW = 10_000
"""Vertices that starts are tried with."""

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DAMAGES = (ValueError, TypeError, KeyError, IndexError, OSError, EOFError, MemoryError)


@dataclass(frozen=True)
class FittedShape:
    """What a face model makes of a subject's landmarks.

    face: (478, 3), metres, about the middle of the rigid landmarks, as `average_shape` gives it: x and y as observed,
    depth by the model. sigma_m: (478), standard deviation of that depth. coefficients: (K), of unit normal
    distribution. relief: how deep the landmarks' own depth was, 1 where it was right, below where too flat. vertices:
    (len(RIGID)), the vertex of each rigid landmark, -1 where none was near.
    """

    face: np.ndarray
    sigma_m: np.ndarray
    coefficients: np.ndarray
    relief: float
    vertices: np.ndarray


@dataclass(frozen=True)
class FaceModel:
    """A linear face model in metres and our axes. mean: (V, 3), basis: (V, 3, K) orthonormal over vertices, deviations:
    (K), metres."""

    mean: np.ndarray
    basis: np.ndarray
    deviations: np.ndarray

    def fit(self, average_face: np.ndarray) -> FittedShape:
        """The subject's landmarks with the depth that the model gives them.

        It replaces the prior of `track_head_motion`: there `face` takes the place of `average_shape`'s result, and
        `Prior(face[RIGID], 1 / np.maximum(sigma_m[RIGID], SHAPE_SIGMA_M))` that of one `SHAPE_SIGMA_M` for all. Not
        `sigma_m` alone: a prior's weight is that of all three axes, and across the picture an average without
        perspective is no better than before. (Made-up face, depth 10 % too flat: rotation off by 0.31° with its own
        shape, 0.19° with this at 4 mm, 0.29° at 1.5 mm.)

        Identity coefficients, the model's place, turn and size, and the landmarks' relief are found together by ridge
        least squares: distances of the rigid landmarks from the surface, mostly across it, against coefficients in
        their own deviations. The relief is an unknown of its own, so flat landmarks do not make a flat face. Made-up
        landmarks that were 0.7 mm off at random, each on its own, still told it; at 1.5 mm they did not.

        Args:
            average_face: (478, 3) metres, by `head_motion_tracker.average_shape`.

        Raises:
            FaceError: the model cannot be laid on the landmarks.
        """
        observed = np.asarray(average_face, np.float64)
        if observed.shape != (LANDMARKS, 3) or not np.isfinite(observed).all():
            raise FaceError(f"The face to fit must be {LANDMARKS} finite landmarks; this one is {observed.shape}.")
        few = self._thinned()
        found = [few._descend(start, observed, ROUGH_ROUNDS) for start in few._starts(observed)]
        state = min(found, key=lambda descent: descent.cost).state
        return self._fitted(self._descend(state, observed, ROUNDS), observed)

    def _thinned(self) -> FaceModel:
        """The model with `FEW` of its vertices, to try starts with."""
        kept = np.sort(np.random.default_rng(0).permutation(len(self.mean))[:FEW])
        return FaceModel(self.mean[kept], self.basis[kept], self.deviations)

    def _starts(self, observed: np.ndarray) -> list[_State]:
        """The mean laid on landmarks (478, 3) in several ways, each gone on from by robust iterated closest points.

        Both are metric and upright, so a guess is size one, the nose's tip (what is nearest to the camera) on the
        nose's tip or a little above or below, and looking up or down a little. A face that has slid along another
        does not come back, so there are several.
        """
        tree = cKDTree(self.mean)
        starts = []
        for pitch in np.radians(START_PITCH_DEG):
            turn = rotation_exp(np.array([pitch, 0.0, 0.0]))
            tip = turn @ self.mean[np.argmin(self.mean @ turn[2])]
            for down in START_DOWN_M:
                placed = (np.ones(()), turn, observed[NOSE_TIP] - tip + np.array([0.0, down, 0.0]))
                for _ in range(ROUGH_ROUNDS):
                    scale, rotation, shift = placed
                    distance, vertex = tree.query((observed - shift) @ rotation / scale)
                    kept = distance <= 2 * np.median(distance)
                    placed = similarity(self.mean[vertex[kept]], observed[kept])
                scale, rotation, shift = placed
                starts.append(_State(float(scale), rotation, shift, 1.0, np.zeros(len(self.deviations))))
        return starts

    def _descend(self, state: _State, observed: np.ndarray, rounds: int) -> _Descent:
        """Nearest places and one step of least squares by turns, until nothing moves."""
        tree = cKDTree(self.mean)
        for _ in range(rounds):
            pairs = self._pairs(tree, state, observed, RIGID)
            cost, move, covariance = self._solve(state, observed, pairs)
            state = state.moved(move)
            if np.abs(move).max() < 1e-4:
                break
        return _Descent(state, cost, covariance, tree)

    def _vertices(self, state: _State) -> np.ndarray:
        """All vertices (V, 3) as `state` has them, in the landmarks' frame."""
        # In the basis's own float32: a full model's basis is 130 MB.
        flat = self.basis.reshape(-1, len(self.deviations)) @ (self.deviations * state.coefficients).astype(np.float32)
        return state.to_landmarks(self.mean + flat.reshape(-1, 3))

    def _pairs(self, tree: cKDTree, state: _State, observed: np.ndarray, landmarks: np.ndarray) -> _Pairs:
        here = self._vertices(state)
        tip = int(np.argmin(here[:, 2]))
        distance, vertex = cKDTree(here).query(state.relieved(observed[landmarks]))
        near = distance < min(FAR_M, max(FAR_RATIO * float(np.median(distance)), 2 * NORMAL_SIGMA_M))
        # A normal is the direction in which a vertex's neighbours differ least: no triangles are needed.
        around = here[tree.query(self.mean[vertex], NEIGHBOURS)[1]]
        around = around - around.mean(1, keepdims=True)
        normals = np.linalg.eigh(around.transpose(0, 2, 1) @ around)[1][:, :, 0]
        return _Pairs(landmarks, vertex, here[vertex], normals, near, float(np.median(distance)), tip)

    def _solve(self, state: _State, observed: np.ndarray, pairs: _Pairs) -> tuple[float, np.ndarray, np.ndarray]:
        """The cost, one step of Gauss-Newton (a turn, a shift, log scale, log relief, coefficients), their covariance."""
        size = 8 + len(self.deviations)
        # The tip of the nose comes last, a second time.
        landmarks, vertices = np.append(pairs.landmarks, NOSE_TIP), np.append(pairs.vertices, pairs.tip)
        places = state.to_landmarks(self.mean[vertices] + self.basis[vertices] @ (self.deviations * state.coefficients))
        points = state.relieved(observed[landmarks])
        jacobian = np.zeros((len(points), 3, size))
        jacobian[..., :7], jacobian[..., 8:] = -_moves(state, places), -self._shapes(state, vertices)
        jacobian[:, 2, 7] = -points[:, 2]  # d(z / relief) / d(log relief)
        # Across the surface a landmark is told well, along it hardly: (I - n nᵀ) / along + n nᵀ / across.
        across = pairs.normals[:, :, None] * pairs.normals[:, None]
        whiten = (np.eye(3) - across) / ALONG_SIGMA_M + across / NORMAL_SIGMA_M
        whiten *= (RIGID_WEIGHTS * pairs.near)[:, None, None]
        whiten = np.concatenate([whiten, np.diag([1.0, 1.0, 0.0])[None] / TIP_SIGMA_M])
        rows = (whiten @ jacobian).reshape(-1, size)
        right = (whiten @ (points - places)[..., None]).ravel()
        belief = np.zeros(size)
        belief[7], belief[8:] = 1 / RELIEF_SIGMA, 1.0
        now = np.concatenate([np.zeros(7), [np.log(state.relief)], state.coefficients])
        normal = rows.T @ rows + np.diag(belief**2 + 1e-9)
        covariance = np.linalg.inv(normal)
        # A landmark without a vertex costs as much as one at the limit of what is near.
        lost = (~pairs.near * RIGID_WEIGHTS**2).sum() * (FAR_M / NORMAL_SIGMA_M) ** 2
        cost = 0.5 * float((right**2).sum() + ((belief * now) ** 2).sum() + lost)
        return cost, -covariance @ (rows.T @ right + belief**2 * now), covariance

    def _shapes(self, state: _State, vertices: np.ndarray) -> np.ndarray:
        """How vertices (M) answer the coefficients, in the landmarks' frame: (M, 3, K)."""
        return state.scale * state.rotation @ (self.basis[vertices] * self.deviations)

    def _fitted(self, descent: _Descent, observed: np.ndarray) -> FittedShape:
        state = descent.state
        pairs = self._pairs(descent.tree, state, observed, np.arange(LANDMARKS))
        lies_as_a_face = all(1 / LIKENESS < measure < LIKENESS for measure in (state.scale, state.relief))
        if pairs.middle_m > FIT_M or not lies_as_a_face:
            raise FaceError(
                f"The face model does not fit this face (size {state.scale:.2f}, depth {state.relief:.2f}, "
                f"{1000 * pairs.middle_m:.1f} mm off): use another model, or none."
            )
        normals = np.where(pairs.normals[:, 2:] > 0, -pairs.normals, pairs.normals)  # to the viewer
        facing = np.minimum(normals[:, 2], -STEEP)
        offset = observed[:, :2] - pairs.places[:, :2]
        # The surface's depth where the landmark is seen, not where its vertex is: along the tangent plane.
        depth = pairs.places[:, 2] - (normals[:, :2] * offset).sum(1) / facing
        answer = np.concatenate([_moves(state, pairs.places), self._shapes(state, pairs.vertices)], -1)
        answer = np.einsum("mi,mik->mk", normals / facing[:, None], answer)
        # Place along z is no part of a shape that is centred.
        answer -= answer[RIGID].mean(0)
        known = np.delete(np.delete(descent.covariance, 7, 0), 7, 1)
        variance = np.einsum("mk,kl,ml->m", answer, known, answer) + DEPTH_FLOOR_M**2
        off = state.relieved(observed)[:, 2] - depth
        face = observed.copy()
        face[:, 2] = np.where(pairs.near, depth, state.relieved(observed)[:, 2])
        unsure = np.sqrt(variance + np.minimum(np.abs(off), UNMATCHED_SIGMA_M) ** 2)
        sigma = np.where(pairs.near, unsure, np.maximum(unsure, UNMATCHED_SIGMA_M))
        vertices = np.where(pairs.near, pairs.vertices, -1)[RIGID]
        return FittedShape(face - face[RIGID].mean(0), sigma, state.coefficients, state.relief, vertices)


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
    # MATLAB's newer files are HDF5 too, with a text before: they are told apart by their ending.
    if path.suffix.lower() in (".h5", ".hdf5") or start == _HDF5_SIGNATURE:
        mean, basis, deviations = _read_h5(path)
        metres = 1e-3
    else:
        mean, basis, deviations = _read_mat(path)
        metres = 1e-6
    return _checked(path, mean, basis, deviations, metres)


def _read_mat(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    names = ("shapeMU", "shapePC", "shapeEV")
    try:
        arrays = read_mat_arrays(path, names)
    except (MatFileError, OSError, MemoryError) as error:
        raise ModelError(
            f"{path} is damaged or no MATLAB file of a Basel Face Model 2009 ({error}): copy 01_MorphableModel.mat anew."
        ) from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ModelError(f"{path} holds no {', '.join(missing)}: give the Basel Face Model's 01_MorphableModel.mat.")
    return arrays[names[0]], arrays[names[1]], arrays[names[2]]


def _read_h5(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        import h5py
    except ImportError as error:
        raise ModelError(
            f"Reading {path} needs h5py: install it into the backend's environment (pip install h5py), or give the Basel "
            "Face Model 2009's 01_MorphableModel.mat."
        ) from error
    try:
        with h5py.File(path, "r") as file:
            model = file["shape/model"]
            mean, basis, variance = (np.array(model[name]) for name in ("mean", "pcaBasis", "pcaVariance"))
    except (*_DAMAGES, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"{path} is damaged or no Basel Face Model 2017 or 2019: copy model2017-1_bfm_nomouth.h5 or its like anew."
        ) from error
    if variance.dtype.kind not in "fiu" or not (variance >= 0).all():
        raise ModelError(f"{path} is no face model: a variance is negative; copy it anew.")
    return mean, basis, np.sqrt(variance)


def _checked(path: Path, mean, basis, deviations, metres: float) -> FaceModel:
    """The arrays as a `FaceModel`, if they can be one."""

    def refuse(why: str) -> ModelError:
        return ModelError(
            f"{path} is no usable face model: {why}; give the Basel Face Model as the university hands it out."
        )

    if any(array.dtype.kind not in "fiu" for array in (mean, basis, deviations)):
        raise refuse("its shape arrays are not numbers")
    mean, deviations = mean.astype(np.float64).ravel(), deviations.astype(np.float64).ravel()
    if basis.ndim != 2 or basis.shape != (len(mean), len(deviations)) or len(mean) % 3 or not len(deviations):
        raise refuse(
            f"the sizes {mean.shape}, {basis.shape} and {deviations.shape} of mean, components and deviations disagree"
        )
    count = len(mean) // 3
    if count < LANDMARKS:
        raise refuse(f"{count} vertices are too few")
    if not (
        np.isfinite(mean).all() and np.isfinite(basis).all() and (deviations >= 0).all() and deviations.max() < np.inf
    ):
        raise refuse("some of its numbers are not finite")
    turned = np.array([1.0, -1.0, -1.0])
    vertices = mean.reshape(-1, 3) * turned * metres
    height = float(np.ptp(vertices[:, 1]))
    if not 0.1 < height < 0.6:
        raise refuse(f"its face is {height:.3g} m high")
    modes = np.ascontiguousarray(basis, np.float32).reshape(count, 3, -1) * turned.astype(np.float32)[:, None]
    reach = deviations * metres * np.sqrt(np.einsum("vik,vik->k", modes, modes) / count)
    if not 1e-5 < reach.max() < 0.03:
        raise refuse(f"its strongest component moves the face by {1000 * reach.max():.3g} mm")
    return FaceModel(vertices, modes, deviations * metres)


@dataclass(frozen=True)
class _State:
    """A model laid on landmarks: vertices become scale · vertex @ rotationᵀ + shift; the landmarks' z is divided by
    `relief`."""

    scale: float
    rotation: np.ndarray
    shift: np.ndarray
    relief: float
    coefficients: np.ndarray

    def to_landmarks(self, vertices: np.ndarray) -> np.ndarray:
        return self.scale * vertices @ self.rotation.T + self.shift

    def relieved(self, landmarks: np.ndarray) -> np.ndarray:
        return landmarks / np.array([1.0, 1.0, self.relief])

    def moved(self, step: np.ndarray) -> _State:
        return _State(
            self.scale * float(np.exp(step[6])),
            rotation_exp(step[:3]) @ self.rotation,
            self.shift + step[3:6],
            self.relief * float(np.exp(step[7])),
            self.coefficients + step[8:],
        )


@dataclass(frozen=True)
class _Pairs:
    """`landmarks` (M), their nearest `vertices` (M), where those lie (`places` (M, 3)) with `normals` (M, 3), and which
    are `near` (M); `middle_m`: their median distance;
    `tip`: the vertex nearest to the camera."""

    landmarks: np.ndarray
    vertices: np.ndarray
    places: np.ndarray
    normals: np.ndarray
    near: np.ndarray
    middle_m: float
    tip: int


@dataclass(frozen=True)
class _Descent:
    """Where a search ended: `state`, its `cost` and the `covariance` (8 + K, 8 + K) of its unknowns; `tree`: of the
    model's mean."""

    state: _State
    cost: float
    covariance: np.ndarray
    tree: cKDTree


def _moves(state: _State, places: np.ndarray) -> np.ndarray:
    """How a surface's places (M, 3) answer a turn, a shift and log scale: (M, 3, 7)."""
    arm = places - state.shift
    turn = -skew(arm)
    return np.concatenate([turn, np.broadcast_to(np.eye(3), turn.shape), arm[..., None]], -1)
