"""Reference frames, and the points of the head that are chosen in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator

from ..workspace.camera import PIXEL_CENTRE
from ..workspace.landmarks import LEFT_BROW, LEFT_EYE, LOWER_FACE, RIGHT_BROW, RIGHT_EYE, RIGID, UPPER_FACE
from ..workspace.poses import project, rotation_log, to_camera, to_pixels
from ..workspace.shapes import Bool, Float, UInt8
from .head_motion_tracker import HeadMotion
from .patch_flow import Pyramid
from .shapes import Frames, Marks, PerFrame, Poses, Principal

REFERENCES = 8
FACE_POINTS, OUTER_POINTS = 70, 50
"""Points searched in a reference: on the upper face, and on hair and ears, which lie deeper and separate rotation from
translation."""

REFERENCE_TURN_DEG = 5.0
"""Rotation between references that counts like a quarter of the clip between them."""

NOISE_LEVEL = 4.0
"""Contrast, in levels of grey, below which a texture is taken for the codec's noise and not raised further."""

_TURN = np.radians(np.arange(-200, 25, 15))
HEAD_OUTLINE_M = np.stack([0.085 * np.cos(_TURN), 0.105 * np.sin(_TURN) - 0.06, np.zeros_like(_TURN)], 1)
"""Outline of hair and ears from lobe to lobe over the crown, in the plane of the ears: a large head's."""


@dataclass
class Reference:
    """A reference frame with K points, pixels and metres. `image`: the part that is compared, `corner` its top left;
    `first`: index of its first point among all points."""

    frame: int
    corner: Float[np.ndarray, " 2"]
    image: UInt8[np.ndarray, "h w"] = field(repr=False)
    points_px: Float[np.ndarray, "k 2"]
    points_head_m: Float[np.ndarray, "k 3"]
    on_face: Bool[np.ndarray, " k"]
    first: int = 0

    @cached_property
    def pyramid(self) -> Pyramid:
        return Pyramid.of(self.image)

    @property
    def part(self) -> slice:
        """Its points among all points."""
        return slice(self.first, self.first + len(self.points_px))


def choose_references(poses: Poses, known: Frames, limit: int = REFERENCES) -> list[int]:
    """Frames that represent the clip: far apart in rotation and time, the first one with the median rotation."""
    candidates = np.flatnonzero(known)
    rotation = poses[candidates, :3, :3]
    vectors = rotation_log(rotation)
    chosen = [int(np.argmin(np.linalg.norm(vectors - np.median(vectors, axis=0), axis=1)))]
    distance = np.full(len(candidates), np.inf)
    while len(chosen) < min(limit, len(candidates)):
        turn = rotation_between_deg(rotation, rotation[chosen[-1]])
        late = np.abs(candidates - candidates[chosen[-1]]) / (len(poses) / 4)
        distance = np.minimum(distance, turn / REFERENCE_TURN_DEG + np.minimum(late, 1.0))
        chosen.append(int(np.argmax(distance)))
    return [int(candidates[index]) for index in chosen]


def rotation_between_deg(rotation: Float[np.ndarray, "n 3 3"], other: Float[np.ndarray, "3 3"]) -> PerFrame:
    """Angle between rotations and another, degrees."""
    trace = np.einsum("nij,ij->n", rotation, other)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def even_contrast(grey: UInt8[np.ndarray, "h w"], pupil_px: float) -> UInt8[np.ndarray, "h w"]:
    """The image with even local mean and contrast: light and shade must not pull the flow."""
    side = int(pupil_px * 0.4) | 1
    level = grey.astype(np.float32)
    level -= cv2.blur(level, (side, side))
    contrast = cv2.blur(level * level, (side, side))
    np.sqrt(np.maximum(contrast, 0, out=contrast), out=contrast)
    contrast += NOISE_LEVEL
    level /= contrast
    level *= 40.0
    level += 128.0
    return cv2.convertScaleAbs(level)


def make_references(
    images: dict[int, np.ndarray],
    landmarks_px: Marks,
    motion: HeadMotion,
    principal: Principal,
    pupil_px: float,
    window: int,
    keypoints: str,
) -> list[Reference]:
    """The reference frames with their points.

    Args:
        images: evened image of each reference frame.
        window: side of the patch that is matched.
        keypoints: as `track_head_points` takes it.
    """
    references: list[Reference] = []
    for frame, image in images.items():
        bend = None
        if keypoints != "corners":
            others = [other for other in images if other != frame]
            pairs = [
                project(motion.poses[[frame, other]], motion.face[RIGID], motion.focal.px, principal)
                for other in others
            ]
            bend = flow_bend(image, [images[other] for other in others], pairs)
            bend = -bend if keypoints == "flow-least" else bend
        on_face, outside = _masks(image.shape, motion, frame, landmarks_px[frame], principal, pupil_px)
        parts = [
            _corners(image, mask, limit, pupil_px, window, bend)
            for mask, limit in ((on_face, FACE_POINTS), (outside, OUTER_POINTS))
        ]
        found = np.concatenate(parts)
        if not len(found):
            continue
        margin = int(0.35 * pupil_px)
        left, top = np.maximum(found.min(0).astype(int) - margin, 0)
        right, bottom = found.max(0).astype(int) + margin
        reference = Reference(
            frame,
            np.array([left, top], np.float64),
            np.ascontiguousarray(image[top:bottom, left:right]),
            found,
            lift_to_head(found, motion.poses[frame], motion.face[RIGID], motion.focal.px, principal),
            np.arange(len(found)) < len(parts[0]),
            references[-1].part.stop if references else 0,
        )
        references.append(reference)
    return references


def flow_bend(
    image: UInt8[np.ndarray, "h w"], others: list[np.ndarray], pairs: list[np.ndarray]
) -> Float[np.ndarray, "h w"]:
    """How much the dense optical flow from an image to others bends at each pixel: mean length of its Laplacian.

    Args:
        pairs: for each other image (2, P, 2), pixels of the same points here and there; the affine map between them is
            removed first, and bends nothing.
    """
    dense = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    total = np.zeros(image.shape, np.float32)
    for other, (here, there) in zip(others, pairs, strict=True):
        to_here = fit_affine(there - PIXEL_CENTRE, here - PIXEL_CENTRE)
        aligned = cv2.warpAffine(other, to_here, image.shape[::-1], flags=cv2.INTER_LINEAR)
        flow = cv2.GaussianBlur(dense.calc(image, aligned, None), (0, 0), 2.0)
        total += np.linalg.norm(cv2.Laplacian(flow, cv2.CV_32F), axis=-1)
    return total / max(1, len(others))


def _corners(
    image: np.ndarray, mask: np.ndarray, limit: int, pupil_px: float, window: int, bend: np.ndarray | None
) -> Float[np.ndarray, "k 2"]:
    """The strongest corners in a mask (Shi and Tomasi 1994); of three times as many, those with the highest `bend`."""
    count, apart = (limit, 0.07) if bend is None else (3 * limit, 0.04)
    found = cv2.goodFeaturesToTrack(image, count, 0.01, pupil_px * apart, mask=mask, blockSize=window // 2 | 1)
    if found is None:
        return np.zeros((0, 2))
    places = found[:, 0].astype(np.float64)
    if bend is not None:
        column, row = places.astype(int).T
        places = places[np.argsort(-bend[row, column], kind="stable")[:limit]]
    return places + PIXEL_CENTRE


def _masks(
    shape: tuple[int, ...],
    motion: HeadMotion,
    frame: int,
    landmarks: Float[np.ndarray, "478 2"],
    principal: Principal,
    pupil_px: float,
) -> tuple[UInt8[np.ndarray, "h w"], UInt8[np.ndarray, "h w"]]:
    """Where points may be: on the upper face without eyes and brows; and on hair and ears around it."""

    def draw(polygon: np.ndarray, onto: np.ndarray, value: int) -> None:
        # Masks choose points to a pixel: rounding matters more than the half pixel of OpenCV.
        cv2.fillPoly(onto, [polygon.round().astype(np.int32)], value)

    def projected(points: np.ndarray) -> np.ndarray:
        return project(motion.poses[frame][None], points, motion.focal.px, principal)[0]

    def widen(mask: np.ndarray, share: float) -> np.ndarray:
        reach = int(share * pupil_px) * 2 + 1
        return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))

    moving, on_face, outside = (np.zeros(shape[:2], np.uint8) for _ in range(3))
    for part in (RIGHT_EYE, LEFT_EYE, RIGHT_BROW, LEFT_BROW):
        draw(cv2.convexHull(landmarks[part])[:, 0], moving, 255)
    draw(projected(motion.face[UPPER_FACE]), on_face, 255)
    draw(projected(HEAD_OUTLINE_M), outside, 255)
    outside[widen(on_face, 0.03) > 0] = 0
    # Below the upper face and between the ears are the cheeks, which speech moves.
    draw(projected(motion.face[LOWER_FACE]), outside, 0)
    on_face[widen(moving, 0.1) > 0] = 0
    return on_face, outside


def lift_to_head(
    pixels: Float[np.ndarray, "k 2"],
    pose: Float[np.ndarray, "4 4"],
    surface: Float[np.ndarray, "m 3"],
    focal: float,
    principal: Principal,
) -> Float[np.ndarray, "k 3"]:
    """Points of the head frame behind pixels, on the smooth surface through `surface`.

    Beyond the face the surface is extrapolated, back to the plane of the ears at most.
    """
    camera = to_camera(pose[None], surface)[0]
    at = to_pixels(camera, focal, principal)
    depth = RBFInterpolator(at, camera[:, 2], kernel="thin_plate_spline", smoothing=10.0)(pixels)
    rays = np.concatenate([(pixels - principal) / focal, np.ones((len(pixels), 1))], 1)
    into_head = pose[:3, 2]
    depth = np.minimum(depth, (into_head @ pose[:3, 3]) / (rays @ into_head))
    return (rays * depth[:, None] - pose[:3, 3]) @ pose[:3, :3]


def fit_affine(source: Float[np.ndarray, "k 2"], target: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "2 3"]:
    """Least-squares affine map of points to points; a plain shift when they are too few."""
    if len(source) < 6:
        return np.concatenate([np.eye(2), (target - source).mean(0)[:, None]], 1)
    design = np.concatenate([source, np.ones((len(source), 1))], 1)
    return np.linalg.lstsq(design, target, rcond=None)[0].T
