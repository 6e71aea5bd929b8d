"""Head points tracker: the skull's own texture, followed from several reference frames by optical flow.

Landmarks are found anew in each frame and shake with the network's mood. A patch of skin that is matched against the
same reference picture again and again does not: every frame is compared with the references directly, never by way of
its neighbours, so nothing drifts and nothing crosses a cut. Each frame is first laid over the reference by the affine
map that the two poses from landmarks foretell, which leaves the flow a few pixels to find.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from ..workspace.camera import PIXEL_CENTRE
from ..workspace.poses import project, rotation_log, to_camera
from .face_geometry import LEFT_BROW, LEFT_EYE, LOWER_FACE, PUPIL_DISTANCE_M, RIGHT_BROW, RIGHT_EYE, RIGID, UPPER_FACE
from .head_motion_tracker import HeadMotion

REFERENCES = 8
FACE_POINTS, OUTER_POINTS = 70, 50
"""Points looked for in a reference: on the upper face, and on hair and ears, which lie deeper and tell turn from
shift."""

REFERENCE_TURN_DEG = 5.0
"""Turn between references that is as good a reason for another as a quarter of the clip."""

FARTHEST_TURN_DEG = 20.0
"""Turn from a reference beyond which skin looks too different to match. Within it every frame is compared with every
reference: a point that is followed over a few degrees only looks flatter than it is, and the head's turns with it
larger (on a rendered head by 5 to 10 %)."""

FORWARD_BACKWARD_PX = 0.5
"""Largest disagreement between flow there and flow back."""

WINDOW = 0.25
"""Side of the patch that is matched, in distances between the pupils."""

MOST_UNLIKE = 24.0
"""Mean difference between a patch and its match, in levels of evened grey (whose deviation is 40), beyond which it is
another."""

NOISE_LEVEL = 4.0
"""Contrast, in levels of grey, below which a texture is taken for the codec's noise and not raised further."""

_TURN = np.radians(np.arange(-200, 25, 15))
HEAD_OUTLINE_M = np.stack([0.085 * np.cos(_TURN), 0.105 * np.sin(_TURN) - 0.06, np.zeros_like(_TURN)], 1)
"""Outline of hair and ears from lobe to lobe over the crown, in the plane of the ears: a large head's."""

LevelOfGrey = Callable[[int], np.ndarray]
"""Frame number to its picture in grey, (S, S) uint8."""


@dataclass(frozen=True)
class HeadPoints:
    """K points of the head seen in N frames.

    points_head_m: (K, 3) first guess from the face's surface. points_px: (N, K, 2) float32. seen: (N, K) bool.
    reference: (K) the frame each was chosen in. on_face: (K) bool, on the upper face; else on hair and ears, or
    behind them.
    """

    points_head_m: np.ndarray
    points_px: np.ndarray
    seen: np.ndarray
    reference: np.ndarray
    on_face: np.ndarray


@dataclass
class _Reference:
    frame: int
    corner: np.ndarray
    """Top left of the picture's part that is compared, pixels."""
    picture: np.ndarray = field(repr=False)
    points_px: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    points_head_m: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    on_face: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    first: int = 0
    """Place of its first point among all points."""


def track_head_points(
    read_grey: LevelOfGrey,
    landmarks_px: np.ndarray,
    motion: HeadMotion,
    principal: np.ndarray,
    keypoints: str = "corners",
    on_frame: Callable[[int], None] = lambda done: None,
    threads: int | None = None,
) -> HeadPoints:
    """Choose points of the skull in reference frames and find them in all `known` (N) frames.

    Args:
        landmarks_px: (N, 478, 2), and motion: what they told.
        keypoints: `corners` of the picture (Shi and Tomasi 1994), or of three times as many the third whose dense flow
            bends most (`flow-most`, as the paper words it) or least (`flow-least`), by its Laplacian.
        on_frame: called with the number of frames finished; may raise to stop.
    """
    poses, known, face, focal = motion.poses, motion.known, motion.face, motion.focal.px
    pupil_px = focal * PUPIL_DISTANCE_M / float(np.median(poses[known, 2, 3]))
    window = int(np.clip(round(pupil_px * WINDOW), 9, 41)) | 1
    references = []
    count = 0
    frames_of_reference = choose_references(poses, known)
    pictures = {frame: even_contrast(read_grey(frame), pupil_px) for frame in frames_of_reference}
    for frame, picture in pictures.items():
        bend = None
        if keypoints != "corners":
            others = [other for other in frames_of_reference if other != frame]
            seen_so = [project(poses[[frame, other]], face[RIGID], focal, principal) for other in others]
            bend = flow_bend(picture, [pictures[other] for other in others], seen_so)
            bend = -bend if keypoints == "flow-least" else bend
        reference = _make_reference(
            frame, picture, landmarks_px[frame], poses[frame], face, focal, principal, pupil_px, window, bend
        )
        if len(reference.points_px):
            reference.first = count
            count += len(reference.points_px)
            references.append(reference)

    frames = len(poses)
    points_px = np.zeros((frames, count, 2), np.float32)
    seen = np.zeros((frames, count), bool)
    alike = _references_alike(poses, [reference.frame for reference in references])

    def track(frame: int) -> None:
        picture = even_contrast(read_grey(frame), pupil_px)
        for index in alike[frame]:
            reference = references[index]
            part = slice(reference.first, reference.first + len(reference.points_px))
            guess = project(poses[frame : frame + 1], reference.points_head_m, focal, principal)[0]
            points_px[frame, part], seen[frame, part] = _match(reference, picture, guess, window, 0.12 * pupil_px)

    todo = np.flatnonzero(known) if references else []
    with ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(track, int(frame)) for frame in todo]
        try:
            for done, job in enumerate(jobs):
                job.result()
                on_frame(done + 1)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    empty = [np.zeros((0, 3))]
    return HeadPoints(
        np.concatenate(empty + [reference.points_head_m for reference in references]),
        points_px,
        seen,
        np.repeat([r.frame for r in references], [len(r.points_px) for r in references]).astype(int),
        np.concatenate([np.zeros(0, bool)] + [reference.on_face for reference in references]),
    )


def choose_references(poses: np.ndarray, known: np.ndarray, limit: int = REFERENCES) -> list[int]:
    """Frames that stand for the clip: far from one another in turn and in time, the first one the most usual turn."""
    candidates = np.flatnonzero(known)
    rotation = poses[candidates, :3, :3]
    vectors = rotation_log(rotation)
    first = int(np.argmin(np.linalg.norm(vectors - np.median(vectors, axis=0), axis=1)))
    chosen = [first]
    distance = np.full(len(candidates), np.inf)
    while len(chosen) < min(limit, len(candidates)):
        turn = _turn_deg(rotation, rotation[chosen[-1]])
        late = np.abs(candidates - candidates[chosen[-1]]) / (len(poses) / 4)
        distance = np.minimum(distance, turn / REFERENCE_TURN_DEG + np.minimum(late, 1.0))
        chosen.append(int(np.argmax(distance)))
    return [int(candidates[index]) for index in chosen]


def even_contrast(grey: np.ndarray, pupil_px: float) -> np.ndarray:
    """The picture (H, W) uint8 with its local mean and contrast made even, so that light and shade do not pull the
    flow."""
    side = int(pupil_px * 0.4) | 1
    level = grey.astype(np.float32)
    level -= cv2.blur(level, (side, side))
    contrast = np.sqrt(np.maximum(cv2.blur(level * level, (side, side)), 0)) + NOISE_LEVEL
    return cv2.convertScaleAbs(level / contrast * 40.0 + 128.0)


def _turn_deg(rotation: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angle (N) between rotations (N, 3, 3) and one (3, 3), degrees."""
    trace = np.einsum("nij,ij->n", rotation, other)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def _references_alike(poses: np.ndarray, frames: list[int]) -> list[np.ndarray]:
    """For each frame the references, as indices, that are turned enough like it to be compared with."""
    turns = np.array([_turn_deg(poses[:, :3, :3], poses[frame, :3, :3]) for frame in frames])
    return [np.flatnonzero(turn < FARTHEST_TURN_DEG) for turn in turns.reshape(len(frames), len(poses)).T]


def _make_reference(
    frame: int,
    picture: np.ndarray,
    landmarks: np.ndarray,
    pose: np.ndarray,
    face: np.ndarray,
    focal: float,
    principal: np.ndarray,
    pupil_px: float,
    window: int,
    bend: np.ndarray | None,
) -> _Reference:
    on_face, outside = _masks(picture.shape, pose, face, landmarks, focal, principal, pupil_px)
    parts = [
        _corners(picture, mask, limit, pupil_px, window, bend)
        for mask, limit in ((on_face, FACE_POINTS), (outside, OUTER_POINTS))
    ]
    found = np.concatenate(parts)
    if not len(found):
        return _Reference(frame, np.zeros(2), picture[:0])
    margin = int(0.35 * pupil_px)
    left, top = np.maximum(found.min(0).astype(int) - margin, 0)
    right, bottom = found.max(0).astype(int) + margin
    return _Reference(
        frame,
        np.array([left, top], np.float64),
        np.ascontiguousarray(picture[top:bottom, left:right]),
        found,
        lift_to_head(found, pose, face[RIGID], focal, principal),
        np.arange(len(found)) < len(parts[0]),
    )


def flow_bend(picture: np.ndarray, others: list[np.ndarray], seen_so: list[np.ndarray]) -> np.ndarray:
    """How much dense optical flow from a picture (H, W) to others bends at each pixel, (H, W) float32: the mean length
    of its Laplacian.

    Args:
        seen_so: for each other picture (2, P, 2), pixels of the same points here and there; the affine map between
            them is taken off first, and bends nothing.
    """
    dense = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    total = np.zeros(picture.shape, np.float32)
    for other, (here, there) in zip(others, seen_so, strict=True):
        to_here = _fit_affine(there - PIXEL_CENTRE, here - PIXEL_CENTRE)
        laid_over = cv2.warpAffine(other, to_here, picture.shape[::-1], flags=cv2.INTER_LINEAR)
        flow = cv2.GaussianBlur(dense.calc(picture, laid_over, None), (0, 0), 2.0)
        total += np.linalg.norm(cv2.Laplacian(flow, cv2.CV_32F), axis=-1)
    return total / max(1, len(others))


def _corners(
    picture: np.ndarray, mask: np.ndarray, limit: int, pupil_px: float, window: int, bend: np.ndarray | None
) -> np.ndarray:
    """The strongest corners (K, 2) in a mask (Shi and Tomasi 1994); of more, those with the highest `bend` (H, W)."""
    many, apart = (limit, 0.07) if bend is None else (3 * limit, 0.04)
    found = cv2.goodFeaturesToTrack(picture, many, 0.01, pupil_px * apart, mask=mask, blockSize=window // 2 | 1)
    if found is None:
        return np.zeros((0, 2))
    places = found[:, 0].astype(np.float64)
    if bend is not None:
        column, row = places.astype(int).T
        places = places[np.argsort(-bend[row, column], kind="stable")[:limit]]
    return places + PIXEL_CENTRE


def _masks(
    shape: tuple[int, ...],
    pose: np.ndarray,
    face: np.ndarray,
    landmarks: np.ndarray,
    focal: float,
    principal: np.ndarray,
    pupil_px: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Where points may be, (H, W) uint8: on the upper face without eyes and brows; and on hair and ears about it."""

    def draw(polygon: np.ndarray, onto: np.ndarray, value: int) -> None:
        # Masks choose points to a pixel: rounding matters more than the half pixel of OpenCV.
        cv2.fillPoly(onto, [polygon.round().astype(np.int32)], value)

    def widen(mask: np.ndarray, share: float) -> np.ndarray:
        reach = int(share * pupil_px) * 2 + 1
        return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))

    moving = np.zeros(shape[:2], np.uint8)
    for part in (RIGHT_EYE, LEFT_EYE, RIGHT_BROW, LEFT_BROW):
        draw(cv2.convexHull(landmarks[part])[:, 0], moving, 255)
    on_face = np.zeros(shape[:2], np.uint8)
    draw(project(pose[None], face[UPPER_FACE], focal, principal)[0], on_face, 255)
    outside = np.zeros(shape[:2], np.uint8)
    draw(project(pose[None], HEAD_OUTLINE_M, focal, principal)[0], outside, 255)
    outside[widen(on_face, 0.03) > 0] = 0
    # What lies below the upper face and between the ears is cheek, which speech moves.
    draw(project(pose[None], face[LOWER_FACE], focal, principal)[0], outside, 0)
    on_face[widen(moving, 0.1) > 0] = 0
    return on_face, outside


def lift_to_head(
    pixels: np.ndarray, pose: np.ndarray, surface: np.ndarray, focal: float, principal: np.ndarray
) -> np.ndarray:
    """Points (K, 3) of the head frame behind pixels (K, 2): on the smooth surface through `surface` (M, 3).

    Beyond the face the surface runs on, back to the plane of the ears at the most.
    """
    camera = to_camera(pose[None], surface)[0]
    at = focal * camera[:, :2] / camera[:, 2:] + principal
    depth = RBFInterpolator(at, camera[:, 2], kernel="thin_plate_spline", smoothing=10.0)(pixels)
    rays = np.concatenate([(pixels - principal) / focal, np.ones((len(pixels), 1))], 1)
    into_head = pose[:3, 2]
    ears = (into_head @ pose[:3, 3]) / (rays @ into_head)
    depth = np.minimum(depth, ears)
    return (rays * depth[:, None] - pose[:3, 3]) @ pose[:3, :3]


def _match(
    reference: _Reference, picture: np.ndarray, guess: np.ndarray, window: int, reach_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (K, 2) of the reference's points in another frame, and which of them can be trusted (K)."""
    local = reference.points_px - reference.corner - PIXEL_CENTRE
    guess = guess - PIXEL_CENTRE
    affine = _fit_affine(guess, local)
    laid_over = cv2.warpAffine(picture, affine, reference.picture.shape[::-1], flags=cv2.INTER_LINEAR)
    start = local.astype(np.float32)[:, None]
    aim = (guess @ affine[:, :2].T + affine[:, 2]).astype(np.float32)[:, None]
    options = {
        "winSize": (window, window),
        "maxLevel": 1,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01),
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
        "minEigThreshold": 1e-4,
    }
    there, found, unlike = cv2.calcOpticalFlowPyrLK(reference.picture, laid_over, start, aim.copy(), **options)
    # The way back starts where the way there would have if it had not known the answer.
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(
        laid_over, reference.picture, there, there + (start - aim), **options
    )
    good = (found[:, 0] > 0) & (found_back[:, 0] > 0)
    good &= np.linalg.norm((back - start)[:, 0], axis=1) < FORWARD_BACKWARD_PX
    good &= np.linalg.norm((there - aim)[:, 0], axis=1) < reach_px
    good &= unlike[:, 0] < MOST_UNLIKE
    inverse = np.linalg.inv(affine[:, :2])
    return ((there[:, 0] - affine[:, 2]) @ inverse.T + PIXEL_CENTRE).astype(np.float32), good


def _fit_affine(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares affine map (2, 3) of points (K, 2) to points (K, 2); a plain shift when they are too few."""
    if len(source) < 6:
        return np.concatenate([np.eye(2), (target - source).mean(0)[:, None]], 1)
    design = np.concatenate([source, np.ones((len(source), 1))], 1)
    return np.linalg.lstsq(design, target, rcond=None)[0].T
