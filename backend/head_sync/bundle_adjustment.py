"""Bundle adjustment of a rigid head before one camera (Eq. 7 and 8), by Levenberg-Marquardt on the problem's own
structure.

An observation belongs to one frame and one point, so the normal equations are 6x6 blocks of poses, 3x3 blocks of
points and their coupling. Poses with points fixed, and points with poses fixed (Eq. 7), separate into small systems that
are solved for all frames or all points at once; the joint problem (Eq. 8) eliminates the points (Schur complement) and
solves for the poses. Huber's loss limits the influence of outliers.

Throughout: `weights` are the inverse of each observation's standard deviation in 1/px, 0 where the point is not seen;
`points` are metres in the head frame; `focal` and `principal` pixels. Residuals are counted in standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ..compilation import has_numba
from ..workspace.poses import project, step_poses
from ..workspace.shapes import Float, Shaped
from .shapes import PerPoint, Pixels, Points, Poses, Principal, Weights

HUBER = 1.5
"""Standard deviations up to which a residual counts squared."""

CHUNK = 200
"""Frames whose Jacobians are held in memory at a time."""

_FEWEST_BY_KERNEL = 50
"""For fewer frames compiled code is not worth its loading."""


@dataclass(frozen=True)
class Prior:
    """Prior of the points: mean, metres, and inverse standard deviations, 1/m."""

    mean: Points
    weight: PerPoint


@dataclass(frozen=True)
class FocalPrior:
    """Prior of the focal length: log-normal about `mean_px` with relative standard deviation `spread`."""

    mean_px: float
    spread: float


@dataclass(frozen=True)
class Bundle:
    """Result of `bundle_adjust`. `focal_spread`: standard deviation of log focal, 0 where it was held. `cost`: the
    robust loss."""

    points: Points
    poses: Poses
    focal: float
    focal_spread: float
    cost: float


def residuals_px(points_px: Pixels, points: Points, poses: Poses, focal: float, principal: Principal) -> Weights:
    """Reprojection error in pixels of every point in every frame, seen or not."""
    error = np.empty(points_px.shape[:2], np.float32)
    for part in _chunks(len(poses)):
        error[part] = np.linalg.norm(project(poses[part], points, focal, principal) - points_px[part], axis=-1)
    return error


def refine_poses(
    points_px: Pixels,
    weights: Weights,
    points: Points,
    poses: Poses,
    focal: float,
    principal: Principal,
    iterations: int = 12,
) -> Poses:
    """The pose of each frame alone, points and focal length held. Frames without observations keep their pose."""
    refined = poses.copy()
    equations = _KernelPoses if has_numba() and len(poses) >= _FEWEST_BY_KERNEL else _PlainPoses
    for part in _chunks(len(poses)):
        problem = equations(points_px[part], weights[part], points, focal, principal)
        pose = poses[part]
        damping = np.full(len(pose), 1e-4)
        cost = problem.cost(pose)
        for _ in range(iterations):
            normal, gradient = problem.normal(pose)
            diagonal = np.einsum("nii->ni", normal)
            diagonal += damping[:, None] * diagonal + 1e-9
            moved = step_poses(pose, -np.linalg.solve(normal, gradient[..., None])[..., 0])
            moved_cost = problem.cost(moved)
            better = moved_cost < cost
            settled = ~better | (cost - moved_cost < 1e-4 * cost)
            pose, cost = np.where(better[:, None, None], moved, pose), np.where(better, moved_cost, cost)
            damping = np.where(better, damping * 0.2, np.minimum(damping * 10, 1e6))
            if settled.all():
                break
        refined[part] = pose
    return refined


class _PlainPoses:
    """The normal equations of each frame's pose alone: the kernel's oracle, and what runs without Numba or for few frames."""

    def __init__(self, points_px: Pixels, weights: Weights, points: Points, focal: float, principal: Principal) -> None:
        self._view = _seen_only(points_px, weights, points)
        self._camera = focal, principal

    def normal(self, poses: Poses) -> tuple[np.ndarray, np.ndarray]:
        """(N, 6, 6) and the gradient (N, 6)."""
        error, jacobian, _ = _linearise(*self._view, poses, *self._camera)
        transposed = jacobian.transpose(0, 2, 1)
        return transposed @ jacobian, (transposed @ error[..., None])[..., 0]

    def cost(self, poses: Poses) -> np.ndarray:
        """(N) robust loss."""
        return _cost(*self._view, poses, *self._camera).sum(1)


class _KernelPoses:
    """As `_PlainPoses`, compiled: no Jacobian is written to memory."""

    def __init__(self, points_px: Pixels, weights: Weights, points: Points, focal: float, principal: Principal) -> None:
        arrays = (np.ascontiguousarray(values, np.float64) for values in (points_px, weights, points))
        self._points_px, self._weights, self._points = arrays
        self._camera = np.array([focal, *principal], np.float64)

    def _given(self, poses: Poses) -> tuple:
        poses = np.ascontiguousarray(poses, np.float64)
        return self._points_px, self._weights, self._points, poses, self._camera, HUBER

    def normal(self, poses: Poses) -> tuple[np.ndarray, np.ndarray]:
        """(N, 6, 6) and the gradient (N, 6)."""
        from .pose_kernel import pose_equations

        normal, gradient = np.empty((len(poses), 6, 6)), np.empty((len(poses), 6))
        pose_equations(*self._given(poses), normal, gradient)
        return normal, gradient

    def cost(self, poses: Poses) -> np.ndarray:
        """(N) robust loss."""
        from .pose_kernel import pose_costs

        cost = np.empty(len(poses))
        pose_costs(*self._given(poses), cost)
        return cost


def refine_points(
    points_px: Pixels,
    weights: Weights,
    points: Points,
    poses: Poses,
    focal: float,
    principal: Principal,
    prior: Prior,
    iterations: int = 5,
) -> Points:
    """Eq. 7: each point alone, poses and focal length held (Gauss-Newton with reweighting)."""
    points = points.copy()
    for _ in range(iterations):
        normal = np.einsum("p,ij->pij", prior.weight**2, np.eye(3))
        gradient = prior.weight[:, None] ** 2 * (points - prior.mean)
        for part in _chunks(len(poses)):
            error, _, by_camera = _linearise(points_px[part], weights[part], points, poses[part], focal, principal)
            by_point = (by_camera @ poses[part, None, :3, :3]).transpose(1, 0, 2, 3).reshape(len(points), -1, 3)
            flat = error.reshape(len(error), -1, 2).transpose(1, 0, 2).reshape(len(points), -1, 1)
            normal += by_point.transpose(0, 2, 1) @ by_point
            gradient += (by_point.transpose(0, 2, 1) @ flat)[..., 0]
        points -= np.linalg.solve(normal, gradient[..., None])[..., 0]
    return points


def bundle_adjust(
    points_px: Pixels,
    weights: Weights,
    points: Points,
    poses: Poses,
    focal: float,
    principal: Principal,
    prior: Prior,
    focal_prior: FocalPrior | None = None,
    iterations: int = 15,
) -> Bundle:
    """Eq. 8: points and poses together, and the focal length too where `focal_prior` is given.

    All Jacobians are held at once: meant for some hundred frames that represent the clip (`spread_frames`); the others
    follow by `refine_poses`. The prior on the points also fixes the gauge: where the head frame lies, and its scale.
    """
    damping, focal_spread = 1e-4, 0.0
    cost = _bundle_cost(points_px, weights, points, poses, focal, principal, prior, focal_prior)
    for _ in range(iterations):
        system = _Schur(points_px, weights, points, poses, focal, principal, prior, focal_prior)
        for _ in range(6):
            move_poses, move_points, move_focal, spread = system.solve(damping)
            candidate = (step_poses(poses, move_poses), points + move_points, focal * float(np.exp(move_focal)))
            candidate_cost = _bundle_cost(
                points_px, weights, candidate[1], candidate[0], candidate[2], principal, prior, focal_prior
            )
            if candidate_cost < cost:
                break
            damping *= 10
        else:
            break
        gain = cost - candidate_cost
        (poses, points, focal), cost, focal_spread = candidate, candidate_cost, spread
        damping *= 0.2
        if gain < 1e-5 * cost:
            break
    return Bundle(points, poses, focal, focal_spread, cost)


def spread_frames(usable: Shaped[np.ndarray, " n"], limit: int) -> Shaped[np.ndarray, " m"]:
    """Indices of at most `limit` usable frames, evenly spread over them."""
    at = np.flatnonzero(usable)
    return at if len(at) <= limit else at[np.linspace(0, len(at) - 1, limit).round().astype(int)]


def _chunks(frames: int) -> list[slice]:
    return [slice(begin, min(begin + CHUNK, frames)) for begin in range(0, frames, CHUNK)]


def _cost(
    points_px: np.ndarray,
    weights: np.ndarray,
    points: np.ndarray,
    poses: np.ndarray,
    focal: float,
    principal: np.ndarray,
) -> Weights:
    """Huber's loss of every observation."""
    error = project(poses, points, focal, principal) - points_px
    distance = weights * np.sqrt(error[..., 0] ** 2 + error[..., 1] ** 2)
    return np.where(distance <= HUBER, 0.5 * distance**2, HUBER * (distance - 0.5 * HUBER))


def _bundle_cost(
    points_px: Pixels,
    weights: Weights,
    points: Points,
    poses: Poses,
    focal: float,
    principal: Principal,
    prior: Prior,
    focal_prior: FocalPrior | None,
) -> float:
    cost = _cost(points_px, weights, points, poses, focal, principal).sum()
    cost += 0.5 * ((prior.weight[:, None] * (points - prior.mean)) ** 2).sum()
    if focal_prior is not None:
        cost += 0.5 * (np.log(focal / focal_prior.mean_px) / focal_prior.spread) ** 2
    return float(cost)


def _seen_only(
    points_px: np.ndarray, weights: np.ndarray, points: np.ndarray
) -> tuple[Float[np.ndarray, "n m 2"], Float[np.ndarray, "n m"], Float[np.ndarray, "n m 3"]]:
    """Each frame's own observations and points, as few columns as the fullest frame needs."""
    most = max(1, int((weights > 0).sum(1).max(initial=1)))
    order = np.argsort(weights <= 0, axis=1, kind="stable")[:, :most]
    return (
        np.take_along_axis(points_px, order[..., None], 1).astype(np.float64),
        np.take_along_axis(weights, order, 1),
        points[order],
    )


def _linearise(
    points_px: np.ndarray,
    weights: np.ndarray,
    points: np.ndarray,
    poses: np.ndarray,
    focal: float,
    principal: np.ndarray,
) -> tuple[Float[np.ndarray, "n q"], Float[np.ndarray, "n q 6"], Float[np.ndarray, "n p 2 3"]]:
    """Weighted residuals and their Jacobians by pose and by camera point."""
    turned = points @ poses[:, :3, :3].transpose(0, 2, 1)
    camera = turned + poses[:, None, :3, 3]
    inverse_depth = 1.0 / camera[..., 2]
    error = focal * camera[..., :2] * inverse_depth[..., None] + principal - points_px
    scale = _robust(weights, error)
    by_camera = np.zeros((*camera.shape[:2], 2, 3))
    by_camera[..., 0, 0] = by_camera[..., 1, 1] = focal * inverse_depth * scale
    by_camera[..., 2] = -(focal * inverse_depth**2 * scale)[..., None] * camera[..., :2]
    # g · (w x q) = w · (q x g), written out: np.cross is several times slower.
    g, q = by_camera, turned[:, :, None]
    by_pose = np.empty((*g.shape[:3], 6))
    by_pose[..., 0] = q[..., 1] * g[..., 2] - q[..., 2] * g[..., 1]
    by_pose[..., 1] = q[..., 2] * g[..., 0] - q[..., 0] * g[..., 2]
    by_pose[..., 2] = q[..., 0] * g[..., 1] - q[..., 1] * g[..., 0]
    by_pose[..., 3:] = g
    frames, count = camera.shape[:2]
    return (error * scale[..., None]).reshape(frames, -1), by_pose.reshape(frames, 2 * count, 6), by_camera


def _robust(weights: Weights, error: Pixels) -> Weights:
    """Weights of squared errors that reproduce Huber's loss."""
    distance = weights * np.linalg.norm(error, axis=-1)
    return weights * np.sqrt(np.minimum(1.0, HUBER / np.maximum(distance, 1e-12)))


class _Schur:
    """The normal equations about one estimate with the points eliminated, to be solved with any damping."""

    def __init__(
        self,
        points_px: np.ndarray,
        weights: np.ndarray,
        points: np.ndarray,
        poses: np.ndarray,
        focal: float,
        principal: np.ndarray,
        prior: Prior,
        focal_prior: FocalPrior | None,
    ) -> None:
        frames, count = weights.shape
        error, by_pose, by_camera = _linearise(points_px, weights, points, poses, focal, principal)
        by_point = by_camera @ poses[:, None, :3, :3]
        pairs = error.reshape(frames, count, 2)
        self._frees_focal = focal_prior is not None
        # Remaining unknowns: 6 a frame, then the logarithm of the focal length.
        size = 6 * frames + self._frees_focal
        self._rest = np.zeros((size, size))
        at = np.arange(frames)
        self._rest[: 6 * frames, : 6 * frames].reshape(frames, 6, frames, 6)[at, :, at, :] = (
            by_pose.transpose(0, 2, 1) @ by_pose
        )
        self._rest_gradient = np.zeros(size)
        self._rest_gradient[: 6 * frames] = (by_pose.transpose(0, 2, 1) @ error[..., None]).ravel()
        jacobian = by_point.transpose(1, 0, 2, 3).reshape(count, 2 * frames, 3)
        self._point = jacobian.transpose(0, 2, 1) @ jacobian + np.einsum("p,ij->pij", prior.weight**2, np.eye(3))
        flat = np.ascontiguousarray(pairs.transpose(1, 0, 2)).reshape(count, 2 * frames, 1)
        self._point_gradient = (jacobian.transpose(0, 2, 1) @ flat)[..., 0]
        self._point_gradient += prior.weight[:, None] ** 2 * (points - prior.mean)
        paired = by_pose.reshape(frames, count, 2, 6).transpose(1, 0, 3, 2)
        self._coupling = np.empty((count, size, 3))
        self._coupling[:, : 6 * frames] = (paired @ by_point.transpose(1, 0, 2, 3)).reshape(count, 6 * frames, 3)
        if focal_prior is not None:
            # d(pixel)/d(log focal) is the pixel's offset from the principal point; the scale is that of the residuals.
            offset = project(poses, points, focal, np.zeros(2))
            by_focal = offset * _robust(weights, offset + principal - points_px)[..., None]
            border = by_pose.transpose(0, 2, 1) @ by_focal.reshape(frames, -1, 1)
            self._rest[-1, :-1] = self._rest[:-1, -1] = border.ravel()
            self._rest[-1, -1] = (by_focal**2).sum() + focal_prior.spread**-2
            pull = np.log(focal / focal_prior.mean_px) * focal_prior.spread**-2
            self._rest_gradient[-1] = (by_focal * pairs).sum() + pull
            by_focal = np.ascontiguousarray(by_focal.transpose(1, 0, 2)).reshape(count, 2 * frames, 1)
            self._coupling[:, -1] = (jacobian.transpose(0, 2, 1) @ by_focal)[..., 0]

    def solve(self, damping: float) -> tuple[Float[np.ndarray, "n 6"], Points, float, float]:
        """Steps of poses, points and log focal, and the standard deviation of log focal."""
        point = self._point.copy()
        diagonal = np.einsum("pii->pi", point)
        diagonal += damping * diagonal + 1e-9
        inverse = np.linalg.inv(np.linalg.cholesky(point))
        coupling = (inverse @ self._coupling.transpose(0, 2, 1)).reshape(-1, len(self._rest))
        gradient = (inverse @ self._point_gradient[..., None]).ravel()
        reduced = self._rest - coupling.T @ coupling
        np.einsum("ii->i", reduced)[:] += damping * np.einsum("ii->i", self._rest) + 1e-9
        factor = linalg.cho_factor(reduced, lower=True, overwrite_a=True, check_finite=False)
        step = linalg.cho_solve(factor, coupling.T @ gradient - self._rest_gradient, check_finite=False)
        back = -(gradient + coupling @ step).reshape(-1, 3, 1)
        move_points = (inverse.transpose(0, 2, 1) @ back)[..., 0]
        if not self._frees_focal:
            return step.reshape(-1, 6), move_points, 0.0, 0.0
        unit = np.zeros(len(step))
        unit[-1] = 1.0
        spread = float(np.sqrt(linalg.cho_solve(factor, unit, check_finite=False)[-1]))
        return step[:-1].reshape(-1, 6), move_points, float(step[-1]), spread
