"""Where the head ends and the neck begins, from the face landmarks.

All regions are soft masks: the border moves by fractions of a pixel when the landmarks do.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cv2
import numpy as np

from ..workspace.arrays import smoothstep
from ..workspace.poses import to_camera

# MediaPipe's face oval, the lower half from the right ear over the chin to the left ear (the person's right is first).
JAW = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361)
FOREHEAD = (454, 356, 389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162, 127, 234)
FACE_OVAL = (93, *JAW, 323, *FOREHEAD)
TOP, CHIN, BROW, NOSE_BRIDGE = 10, 152, 9, 168

UNDER_CHIN = 0.04  # how far below the jaw landmarks the head reaches where it is skin, in face heights
EAR_LOBES_M = np.array([[-0.080, 0.030, 0.0], [0.080, 0.030, 0.0]])
"""Just below and beside the ear lobes, rings included, in the head frame (docs/animation.md)."""
OUTLINE_M = np.array(
    [[0.0, -0.13, 0.02], [0.065, -0.09, 0.01], [0.078, -0.03, 0.01], [-0.065, -0.09, 0.01], [-0.078, -0.03, 0.01]]
)
"""The top of the head and its sides, in the head frame (docs/animation.md): where hair ends before the background."""
JAW_SOFTNESS = 0.012  # standard deviation of the jaw border's ramp, in face heights


@dataclass(frozen=True)
class FaceFrame:
    """A similarity frame on the face in the image. Lengths are in pixels of the working frame."""

    chin: np.ndarray
    """(2) the lowest point of the chin."""
    centre: np.ndarray
    """(2) the bridge of the nose, about which the head rotates in the image."""
    down: np.ndarray
    """(2) unit vector from the forehead to the chin."""
    height: float
    """From the top of the forehead to the chin."""

    @property
    def across(self) -> np.ndarray:
        """(2) unit vector to the right of the image when the head is upright."""
        return np.array([self.down[1], -self.down[0]])

    def coordinates(self, shape: tuple[int, int], scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Across and down of every pixel from the chin, in face heights: two (H, W) float32.

        `scale` is the mask's size over the frame's.
        """
        rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
        x = (columns + 0.5) / scale - self.chin[0]
        y = (rows + 0.5) / scale - self.chin[1]
        across = (x * self.across[0] + y * self.across[1]) / self.height
        down = (x * self.down[0] + y * self.down[1]) / self.height
        return across.astype(np.float32), down.astype(np.float32)


def face_frame(landmarks_px: np.ndarray) -> FaceFrame:
    """The face's frame from (478, 2) landmarks."""
    axis = landmarks_px[CHIN] - landmarks_px[TOP]
    height = float(np.hypot(*axis))
    return FaceFrame(landmarks_px[CHIN], landmarks_px[NOSE_BRIDGE], axis / max(height, 1e-6), max(height, 1.0))


def smooth_landmarks(
    landmarks_px: np.ndarray, valid: np.ndarray, fps: float = 25.0, bridge_s: float = 0.2, sigma_s: float = 0.032
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks for drawing borders: short gaps bridged, jitter damped without lag.

    Args:
        landmarks_px: (N, 478, 2).
        valid: (N) bool.
        fps: frames a second.
        bridge_s: longest gap that is filled by interpolation.
        sigma_s: of the temporal Gaussian.

    Returns:
        (N, 478, 2) float32 and (N) bool: where they can be used.
    """
    bridge, sigma = round(bridge_s * fps), sigma_s * fps
    usable = np.array(valid, bool)
    points = np.where(usable[:, None, None], landmarks_px, 0.0).astype(np.float32)
    known = np.flatnonzero(usable)
    for left, right in itertools.pairwise(known):
        if 1 < right - left <= bridge + 1:
            for index in range(left + 1, right):
                mix = (index - left) / (right - left)
                points[index] = (1 - mix) * points[left] + mix * points[right]
            usable[left + 1 : right] = True
    radius = max(1, round(3 * sigma))
    total = np.zeros_like(points)
    weight = np.zeros(len(points), np.float32)
    for offset in range(-radius, radius + 1):
        gain = np.float32(np.exp(-0.5 * (offset / sigma) ** 2))
        source = slice(max(0, offset), len(points) + min(0, offset))
        target = slice(max(0, -offset), len(points) + min(0, -offset))
        share = gain * usable[source]
        total[target] += share[:, None, None] * points[source]
        weight[target] += share
    smooth = total / np.maximum(weight, 1e-6)[:, None, None]
    return np.where(usable[:, None, None], smooth, points), usable


def window_about(points: np.ndarray, margin: float, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Rows and columns of the image about some points; None where they are all outside."""
    low, high = np.floor(points.min(0) - margin).astype(int), np.ceil(points.max(0) + margin).astype(int)
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(high, shape[1::-1])
    return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None


def fill_polygon(points_px: np.ndarray, shape: tuple[int, int], scale: float) -> np.ndarray:
    """(H, W) float32 in [0, 1]: an anti-aliased polygon given in pixels of the working frame."""
    mask = np.zeros(shape, np.uint8)
    fixed = np.rint((np.asarray(points_px) * scale - 0.5) * 16.0).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, shift=4)
    return mask.astype(np.float32) / 255.0


def grown_jaw(landmarks_px: np.ndarray, grow: float) -> np.ndarray:
    """The jaw line (17, 2) moved outwards by `grow` face heights under the chin and a quarter of it beside the jaw."""
    frame = face_frame(landmarks_px)
    outward = outward_of_jaw(landmarks_px, frame)
    distance = grow * frame.height * np.clip(outward @ frame.down, 0.5, 1.0) ** 2
    return landmarks_px[list(JAW)].astype(np.float64) + outward * distance[:, None]


def outward_of_jaw(landmarks_px: np.ndarray, frame: FaceFrame) -> np.ndarray:
    """(17, 2) unit vectors from the bridge of the nose to the points of the jaw line."""
    away = landmarks_px[list(JAW)].astype(np.float64) - frame.centre
    return away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)


UNDER_JAW, INTO_JAW = 0.02, -0.04
"""Where the strip under the jaw begins below its landmarks, in face heights: for a head that ends there, and for what is to be seen
under it, which has to be opaque where that is soft."""
END_UNDER_JAW = 0.12
"""And where it ends; beside the jaw it is narrower."""
WHOLE_STRIP = (3, 6.5)
"""How many landmarks from the chin on it is narrower, and where it has ended: further up the far cheek of a turned head is its outline."""


def under_jaw(
    jaw_px: np.ndarray, face_height: float, shape: tuple[int, int], begin: float
) -> tuple[tuple[slice, slice], np.ndarray] | None:
    """The strip where a chin turns into a neck, which head mattes end in: rows and columns of an image that it lies in, and how much
    of their pixels, (rows, columns) float32 in [0, 1]; None where it is outside.

    Args:
        jaw_px: (17, 2) the landmarks `JAW`.
        face_height: pixels.
        shape: rows and columns of the image.
        begin: how far below the landmarks, in face heights.
    """
    jaw = np.asarray(jaw_px, np.float64)
    away = jaw - (jaw[0] + jaw[-1]) / 2
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    middle = len(jaw) // 2
    wide = face_height * smoothstep(*WHOLE_STRIP[::-1], np.abs(np.arange(len(jaw)) - middle))
    has_some = wide > 0  # a polygon is drawn with its outline, a pixel wide
    near, far = ((jaw + away * (part * wide)[:, None])[has_some] for part in (begin, END_UNDER_JAW))
    sigma = max(0.5, JAW_SOFTNESS * face_height)
    both = np.concatenate([near, far[::-1]])
    window = window_about(both, 3 * sigma, shape)
    if window is None:
        return None
    rows, columns = window
    size = rows.stop - rows.start, columns.stop - columns.start
    strip = fill_polygon(both - (columns.start, rows.start), size, 1.0)
    return window, cv2.GaussianBlur(strip, (0, 0), sigma)


def above_jaw(
    landmarks_px: np.ndarray,
    shape: tuple[int, int],
    scale: float,
    margin: float = 0.0,
    lobes_px: np.ndarray | None = None,
) -> np.ndarray:
    """Everything above the jaw line, extended sideways below the ears: (H, W) float32 in [0, 1].

    Args:
        landmarks_px: (478, 2).
        shape, scale: of the mask; `scale` is its size over the frame's.
        margin: how far below the chin, in face heights; beside the jaw a quarter of it.
        lobes_px: (2, 2) points on the lines to the sides, the left one in the image first; without it, the lines begin at
            the corners of the jaw.
    """
    frame = face_frame(landmarks_px)
    jaw = grown_jaw(landmarks_px, margin)[1:-1]
    far, up = 4 * frame.height * frame.across, -6 * frame.height * frame.down
    left, right = ([], []) if lobes_px is None else ([lobes_px[0]], [lobes_px[1]])
    ends = [*left, jaw[0]][0] - far, [jaw[-1], *right][-1] + far
    polygon = np.array([ends[0] + up, ends[0], *left, *jaw, *right, ends[1], ends[1] + up])
    return cv2.GaussianBlur(fill_polygon(polygon, shape, scale), (0, 0), max(0.5, JAW_SOFTNESS * frame.height * scale))


def ear_lobes_px(head_to_camera: np.ndarray, focal_px: float, principal_px: np.ndarray) -> np.ndarray:
    """The lower ends of the ear lobes in the image: (N, 2, 2), the left one in the image first.

    Args:
        head_to_camera: (N, 4, 4), as in `tracking.npz`.
        focal_px, principal_px: of the working frame.
    """
    points = to_camera(head_to_camera, EAR_LOBES_M)
    return focal_px * points[..., :2] / np.maximum(points[..., 2:], 1e-3) + principal_px


def face_oval(landmarks_px: np.ndarray, shape: tuple[int, int], scale: float, grow: float = 0.0) -> np.ndarray:
    """The face inside its oval, grown by `grow` face heights: (H, W) float32 in [0, 1]."""
    frame = face_frame(landmarks_px)
    oval = landmarks_px[list(FACE_OVAL)].astype(np.float64)
    outward = oval - oval.mean(axis=0)
    oval = oval + outward / np.linalg.norm(outward, axis=1, keepdims=True) * (grow * frame.height)
    return fill_polygon(oval, shape, scale)


# The part of the head's plane that a map covers, in face heights from the chin.
MAP_ACROSS, MAP_DOWN, MAP_STEP = (-1.6, 1.6), (-2.0, 0.6), 0.025
MAP_SHAPE = (round((MAP_DOWN[1] - MAP_DOWN[0]) / MAP_STEP), round((MAP_ACROSS[1] - MAP_ACROSS[0]) / MAP_STEP))


def map_axes() -> tuple[np.ndarray, np.ndarray]:
    """Across and down of the map's columns and rows, in face heights from the chin."""
    rows, columns = MAP_SHAPE
    return MAP_ACROSS[0] + MAP_STEP * (np.arange(columns) + 0.5), MAP_DOWN[0] + MAP_STEP * (np.arange(rows) + 0.5)


def map_to_frame(frame: FaceFrame, scale: float) -> np.ndarray:
    """(2, 3) affine matrix from pixels of a map in the head's plane to pixels of a mask, for `cv2.warpAffine`."""
    step = MAP_STEP * frame.height * scale
    origin = frame.chin + frame.height * (MAP_ACROSS[0] * frame.across + MAP_DOWN[0] * frame.down)
    axes = np.stack([frame.across, frame.down], axis=1) * step
    # Pixel centres are at +½ on both sides.
    shift = origin * scale + axes @ np.array([0.5, 0.5]) - 0.5
    return np.concatenate([axes, shift[:, None]], axis=1)


def into_map(mask: np.ndarray, frame: FaceFrame, scale: float) -> np.ndarray:
    """A mask (H, W) of the image in the head's plane, `MAP_SHAPE`."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask, map_to_frame(frame, scale), MAP_SHAPE[::-1], flags=flags)


def from_map(values: np.ndarray, frame: FaceFrame, shape: tuple[int, int], scale: float) -> np.ndarray:
    """A map in the head's plane as a mask of the image, (H, W)."""
    return cv2.warpAffine(values, map_to_frame(frame, scale), shape[::-1], flags=cv2.INTER_LINEAR)
