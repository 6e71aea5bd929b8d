"""The training pictures of a workspace, in memory: foreground colour, alpha and poses of each frame."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import WorkspaceError
from ..progress import Reporter
from ..protocol import BLENDSHAPE_NAMES
from ..renderer.cameras import Camera
from ..workspace import Workspace, read_arrays

MINIMUM_FRAMES = 25

# Landmarks (MediaPipe's indices) around which rays are denser.
_MOUTH = (61, 291, 0, 17, 37, 267, 84, 314)
_EYES = ((33, 133, 159, 145), (263, 362, 386, 374))


@dataclass
class Tracking:
    """The arrays of tracking.npz that training and rendering need."""

    head_to_camera: np.ndarray
    blendshapes: np.ndarray
    valid: np.ndarray
    landmarks_px: np.ndarray
    face_head_m: np.ndarray
    camera: Camera

    @classmethod
    def read(cls, workspace: Workspace) -> Tracking:
        arrays = read_arrays(workspace.tracking_path)
        names = [str(name) for name in arrays["blendshape_names"]]
        if names != list(BLENDSHAPE_NAMES):
            raise WorkspaceError(
                f"{workspace.tracking_path} names other blendshapes than this version: run process again."
            )
        size = workspace.subject.size
        camera = Camera(size, size, float(arrays["focal_px"]), tuple(float(value) for value in arrays["principal_px"]))
        return cls(
            arrays["head_to_camera"].astype(np.float64),
            arrays["blendshapes"].astype(np.float32),
            arrays["valid"].astype(bool),
            arrays["landmarks_px"].astype(np.float32),
            arrays["face_head_m"].astype(np.float64),
            camera,
        )


@dataclass
class Dataset:
    """Pictures of the frames in `frames`, reduced to `size` and cropped to the place the head ever takes.

    Attributes:
        frames: (N) indices into the clip.
        colour: (N, H, W, 3) uint8, the foreground's own colour (not mixed with what lies behind).
        alpha: (N, H, W) uint8, the head matte.
        x0, y0: where the crop begins in the reduced picture, pixels.
        boxes: (N, B, 4) x0, y0, x1, y1 in the crop: the head, the mouth, the two eyes.
    """

    frames: np.ndarray
    colour: np.ndarray
    alpha: np.ndarray
    x0: int
    y0: int
    size: int
    boxes: np.ndarray


def foreground_colour(colour: np.ndarray, alpha: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """The colour F in C = a·F + (1 - a)·plate where a is large enough to tell, else the picture's own; uint8."""
    a = alpha.astype(np.float32)[..., None] / 255
    estimate = (colour - (1 - a) * plate) / np.maximum(a, 0.25)
    mixed = (a > 0.02) & (a < 0.98)
    return np.where(mixed, np.clip(estimate + 0.5, 0, 255), colour).astype(np.uint8)


def load(workspace: Workspace, tracking: Tracking, frames: np.ndarray, size: int, reporter: Reporter) -> Dataset:
    """Read `frames`, reduce them to `size` and find where the head is.

    Raises:
        WorkspaceError: too few usable frames, or files missing.
    """
    if len(frames) < MINIMUM_FRAMES:
        raise WorkspaceError(
            f"{workspace.root}: only {len(frames)} frames show the face well enough to learn from, {MINIMUM_FRAMES} "
            "are needed: give a longer clip in which the face stays in view."
        )

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        alpha = np.ascontiguousarray(workspace.read_matte(index)[..., 0])
        colour = foreground_colour(workspace.read_frame(index), alpha, workspace.read_plate(index))
        if size < alpha.shape[0]:
            # Averaged premultiplied, so that what lies outside the matte does not bleed in.
            weight = alpha.astype(np.float32)[..., None] / 255
            small = cv2.resize(
                np.concatenate([colour * weight, weight * 255], -1), (size, size), interpolation=cv2.INTER_AREA
            )
            alpha = np.clip(small[..., 3] + 0.5, 0, 255).astype(np.uint8)
            colour = np.clip(small[..., :3] / np.maximum(small[..., 3:] / 255, 1e-3) + 0.5, 0, 255).astype(np.uint8)
        return colour, alpha

    size = min(size, workspace.subject.size)
    scale = size / workspace.subject.size
    colours, alphas = [], []
    with ThreadPoolExecutor(2) as pool:
        for done, (colour, alpha) in enumerate(pool.map(read, frames.tolist()), 1):
            colours.append(colour)
            alphas.append(alpha)
            reporter.progress("loading frames", done, len(frames))
    ever = np.maximum.reduce(alphas) > 2
    if not ever.any():
        raise WorkspaceError(f"{workspace.root}: the head mattes are empty: run process on this workspace again.")
    margin = max(4, size // 40)
    rows, columns = np.flatnonzero(ever.any(1)), np.flatnonzero(ever.any(0))
    y0, y1 = max(rows[0] - margin, 0), min(rows[-1] + 1 + margin, size)
    x0, x1 = max(columns[0] - margin, 0), min(columns[-1] + 1 + margin, size)
    colour = np.stack([picture[y0:y1, x0:x1] for picture in colours])
    alpha = np.stack([picture[y0:y1, x0:x1] for picture in alphas])
    boxes = np.stack(
        [
            _boxes(matte, tracking.landmarks_px[index] * scale - (x0, y0), margin)
            for matte, index in zip(alpha, frames, strict=True)
        ]
    )
    return Dataset(np.asarray(frames), colour, alpha, int(x0), int(y0), size, boxes)


def _boxes(alpha: np.ndarray, landmarks: np.ndarray, margin: int) -> np.ndarray:
    height, width = alpha.shape
    rows, columns = np.flatnonzero((alpha > 2).any(1)), np.flatnonzero((alpha > 2).any(0))
    head = (
        [0, 0, width, height]
        if not len(rows)
        else [columns[0] - margin, rows[0] - margin, columns[-1] + 1 + margin, rows[-1] + 1 + margin]
    )
    boxes = [head]
    for group in (_MOUTH, *_EYES):
        points = landmarks[list(group)]
        pad = 0.25 * np.ptp(points[:, 0])
        boxes.append([*(points.min(0) - pad), *(points.max(0) + pad)])
    result = np.array(boxes, np.float32)
    result[:, 0::2] = result[:, 0::2].clip(0, width)
    result[:, 1::2] = result[:, 1::2].clip(0, height)
    empty = (result[:, 2] - result[:, 0] < 2) | (result[:, 3] - result[:, 1] < 2)
    result[empty] = result[0]
    return result
