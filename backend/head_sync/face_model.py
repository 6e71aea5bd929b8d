"""A morphable face model of the user as the prior of a face's shape (the 3DMM of Eq. 5), where there is one.

MediaPipe's depth is too flat or too deep overall, and the poses follow it (the bas-relief ambiguity, docs/head-sync.md).
A statistical model knows how deep faces are for their width. `face_model_file.py` reads one.

No table maps the model's vertices to MediaPipe's landmarks, so the map is found: the model is aligned to the landmarks and
each landmark takes the nearest place of its surface (iterated closest points).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ..errors import FaceError
from ..workspace.landmarks import COUNT, RIGID, RIGID_WEIGHTS
from ..workspace.poses import rotation_exp, similarity, skew

NOSE_TIP = 4

NORMAL_SIGMA_M = 0.0015
"""Standard deviation of an averaged landmark across the skin."""

ALONG_SIGMA_M = 0.02
"""And along it: the nearest place does not constrain this direction; this only limits the step. With 5 mm, landmarks
stayed at their first vertices."""

TIP_SIGMA_M = 0.003
"""Standard deviation, across the image, between the landmark of the nose's tip and the model's tip, which is the vertex
nearest to the camera. It is the one known pair, and keeps the model from sliding up or down."""

RELIEF_SIGMA = 0.15
"""Relative standard deviation of the depth of the landmarks."""

FAR_M = 0.012
"""A landmark farther than this from the model's surface, or `FAR_RATIO` times the median distance, has no vertex."""

FAR_RATIO = 4.0

FIT_M = 0.005
"""Median distance beyond which the model does not fit."""

MAX_SCALE_RATIO = 1.6
"""Limit of size and relief (and its inverse): beyond it the model is not a face, as anything fits once it is flat."""

DEPTH_FLOOR_M = 0.001
"""Least standard deviation of depth: the model's own resolution."""

UNMATCHED_SIGMA_M = 0.006
"""Standard deviation of depth without a vertex; there the observed depth is kept, with the fitted relief."""

STEEP = 0.35
"""Least cosine between a surface's normal and the line of sight that depth is computed with."""

NEIGHBOURS = 12
"""Vertices that a normal is computed from."""

START_PITCH_DEG = (-10.0, 0.0, 10.0)
START_DOWN_M = (-0.01, 0.0, 0.01)
ROUGH_ROUNDS, ROUNDS = 12, 40

MAX_START_VERTICES = 10_000


@dataclass(frozen=True)
class FittedShape:
    """A face model fitted to a subject's landmarks.

    face: (478, 3), metres, about the mean of the rigid landmarks, as `average_shape` returns it: x and y as observed,
    depth by the model. sigma_m: (478), standard deviation of that depth. coefficients: (K). relief: depth of the
    landmarks relative to the model, below 1 where they are too flat. vertices: (len(RIGID)), the vertex of each rigid
    landmark, -1 where none was near.
    """

    face: np.ndarray
    sigma_m: np.ndarray
    coefficients: np.ndarray
    relief: float
    vertices: np.ndarray


@dataclass(frozen=True)
class _State:
    """A model aligned to landmarks: vertices become scale · vertex @ rotationᵀ + shift; the landmarks' z is divided by
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

    def jacobian(self, places: np.ndarray) -> np.ndarray:
        """Derivative of a surface's places (M, 3) by rotation, shift and log scale: (M, 3, 7)."""
        arm = places - self.shift
        turn = -skew(arm)
        return np.concatenate([turn, np.broadcast_to(np.eye(3), turn.shape), arm[..., None]], -1)


@dataclass(frozen=True)
class _Pairs:
    """`landmarks` (M), their nearest `vertices` (M), the `places` (M, 3) of those with `normals` (M, 3), and which are
    `near` (M); `median_m`: their median distance; `tip`: the vertex nearest to the camera."""

    landmarks: np.ndarray
    vertices: np.ndarray
    places: np.ndarray
    normals: np.ndarray
    near: np.ndarray
    median_m: float
    tip: int


@dataclass(frozen=True)
class _Descent:
    """End of a search: `state`, `cost`, and `covariance` (8 + K, 8 + K) of the unknowns; `tree`: of the model's mean."""

    state: _State
    cost: float
    covariance: np.ndarray
    tree: cKDTree


@dataclass(frozen=True)
class FaceModel:
    """A linear face model in metres and the camera's axes. mean: (V, 3). basis: (V, 3, K) float32, orthonormal over
    vertices. deviations: (K), metres."""

    mean: np.ndarray
    basis: np.ndarray
    deviations: np.ndarray

    def fit(self, average_face: np.ndarray) -> FittedShape:
        """The subject's landmarks with the depth of the model.

        Identity coefficients, the model's pose and size, and the landmarks' relief are solved together by ridge least
        squares: distances of the rigid landmarks from the surface, mostly across it, against coefficients in their own
        deviations. The relief is a separate unknown, so flat landmarks do not make a flat face. Made-up landmarks with
        independent errors of 0.7 mm still determined it; with 1.5 mm they did not.

        `sigma_m` is no prior by itself: a prior's weight applies to all three axes, and across the image an average
        without perspective is no better than before. Made-up face, depth 10 % too flat: rotation error 0.31° with its
        own shape, 0.19° with this at 4 mm or more, 0.29° at 1.5 mm.

        Args:
            average_face: (478, 3) metres, by `head_motion_tracker.average_shape`.

        Raises:
            FaceError: the model does not fit the landmarks.
            ValueError: not (478, 3), or not finite.
        """
        observed = np.asarray(average_face, np.float64)
        if observed.shape != (COUNT, 3) or not np.isfinite(observed).all():
            raise ValueError(f"The face to fit must be {COUNT} finite landmarks; this one is {observed.shape}.")
        thinned = self._thinned()
        found = [thinned._descend(start, observed, ROUGH_ROUNDS) for start in thinned._starts(observed)]
        state = min(found, key=lambda descent: descent.cost).state
        return self._fitted(self._descend(state, observed, ROUNDS), observed)

    def _thinned(self) -> FaceModel:
        """The model with `MAX_START_VERTICES` of its vertices, to try starts with."""
        kept = np.sort(np.random.default_rng(0).permutation(len(self.mean))[:MAX_START_VERTICES])
        return FaceModel(self.mean[kept], self.basis[kept], self.deviations)

    def _starts(self, observed: np.ndarray) -> list[_State]:
        """The mean aligned to landmarks (478, 3) from several starts by robust iterated closest points.

        Both are metric and upright: a start has size one, the nose's tip on the landmark's or a little above or below,
        and a little pitch. A face that has slid along another does not come back, so there are several.
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
        """Alternate nearest places and one step of least squares until nothing moves."""
        tree = cKDTree(self.mean)
        for _ in range(rounds):
            pairs = self._pairs(tree, state, observed, RIGID)
            cost, move, covariance = self._solve(state, observed, pairs)
            state = state.moved(move)
            if np.abs(move).max() < 1e-4:
                break
        return _Descent(state, cost, covariance, tree)

    def _vertices(self, state: _State) -> np.ndarray:
        """All vertices (V, 3) under `state`, in the landmarks' frame."""
        # In the basis's float32: a full model's basis is 130 MB.
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
        """Cost, one Gauss-Newton step (rotation, shift, log scale, log relief, coefficients), and its covariance."""
        size = 8 + len(self.deviations)
        # The nose's tip comes last, a second time.
        landmarks, vertices = np.append(pairs.landmarks, NOSE_TIP), np.append(pairs.vertices, pairs.tip)
        places = state.to_landmarks(self.mean[vertices] + self.basis[vertices] @ (self.deviations * state.coefficients))
        points = state.relieved(observed[landmarks])
        jacobian = np.zeros((len(points), 3, size))
        jacobian[..., :7], jacobian[..., 8:] = -state.jacobian(places), -self._shape_jacobian(state, vertices)
        jacobian[:, 2, 7] = -points[:, 2]  # d(z / relief) / d(log relief)
        # A landmark is well constrained across the surface, hardly along it: (I - n nᵀ) / along + n nᵀ / across.
        across = pairs.normals[:, :, None] * pairs.normals[:, None]
        whiten = (np.eye(3) - across) / ALONG_SIGMA_M + across / NORMAL_SIGMA_M
        whiten *= (RIGID_WEIGHTS * pairs.near)[:, None, None]
        whiten = np.concatenate([whiten, np.diag([1.0, 1.0, 0.0])[None] / TIP_SIGMA_M])
        rows = (whiten @ jacobian).reshape(-1, size)
        right = (whiten @ (points - places)[..., None]).ravel()
        prior = np.zeros(size)
        prior[7], prior[8:] = 1 / RELIEF_SIGMA, 1.0
        now = np.concatenate([np.zeros(7), [np.log(state.relief)], state.coefficients])
        covariance = np.linalg.inv(rows.T @ rows + np.diag(prior**2 + 1e-9))
        # A landmark without a vertex costs as much as one at the limit of what is near.
        lost = (~pairs.near * RIGID_WEIGHTS**2).sum() * (FAR_M / NORMAL_SIGMA_M) ** 2
        cost = 0.5 * float((right**2).sum() + ((prior * now) ** 2).sum() + lost)
        return cost, -covariance @ (rows.T @ right + prior**2 * now), covariance

    def _shape_jacobian(self, state: _State, vertices: np.ndarray) -> np.ndarray:
        """Derivative of vertices (M) by the coefficients, in the landmarks' frame: (M, 3, K)."""
        return state.scale * state.rotation @ (self.basis[vertices] * self.deviations)

    def _fitted(self, descent: _Descent, observed: np.ndarray) -> FittedShape:
        state = descent.state
        pairs = self._pairs(descent.tree, state, observed, np.arange(COUNT))
        face_like = all(1 / MAX_SCALE_RATIO < ratio < MAX_SCALE_RATIO for ratio in (state.scale, state.relief))
        if pairs.median_m > FIT_M or not face_like:
            raise FaceError(
                f"The face model does not fit this face (size {state.scale:.2f}, depth {state.relief:.2f}, "
                f"{1000 * pairs.median_m:.1f} mm off): use another model, or none."
            )
        normals = np.where(pairs.normals[:, 2:] > 0, -pairs.normals, pairs.normals)  # to the viewer
        facing = np.minimum(normals[:, 2], -STEEP)
        offset = observed[:, :2] - pairs.places[:, :2]
        # The surface's depth at the landmark, not at its vertex: along the tangent plane.
        depth = pairs.places[:, 2] - (normals[:, :2] * offset).sum(1) / facing
        jacobian = np.concatenate([state.jacobian(pairs.places), self._shape_jacobian(state, pairs.vertices)], -1)
        jacobian = np.einsum("mi,mik->mk", normals / facing[:, None], jacobian)
        # The shape is centred: its place along z does not count.
        jacobian -= jacobian[RIGID].mean(0)
        covariance = np.delete(np.delete(descent.covariance, 7, 0), 7, 1)
        variance = np.einsum("mk,kl,ml->m", jacobian, covariance, jacobian) + DEPTH_FLOOR_M**2
        relieved = state.relieved(observed)[:, 2]
        face = observed.copy()
        face[:, 2] = np.where(pairs.near, depth, relieved)
        sigma = np.sqrt(variance + np.minimum(np.abs(relieved - depth), UNMATCHED_SIGMA_M) ** 2)
        sigma = np.where(pairs.near, sigma, np.maximum(sigma, UNMATCHED_SIGMA_M))
        vertices = np.where(pairs.near, pairs.vertices, -1)[RIGID]
        return FittedShape(face - face[RIGID].mean(0), sigma, state.coefficients, state.relief, vertices)
