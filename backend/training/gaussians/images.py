"""What the Gaussians are fitted to: the training frames, and renderings of the field where the clip shows nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...portrait_sync.fill import disc
from ...protocol import BLENDSHAPE_NAMES
from ...renderer.head import HeadRenderer
from ...renderer.regions import LIP_INDICES
from ...workspace.camera import Camera
from ...workspace.poses import turned
from ...workspace.shapes import Bool, Float, Int, UInt8
from ..dataset import Frame
from .cloud import spread_poses

YAW_DEG, PITCH_DEG = 28.0, 18.0
"""How far the field is rendered about the clip's central pose."""
MIN_SHAPE, LOW_SHAPE, MAX_SHAPE = -0.3, 0.4, 1.3
"""How far a blendshape alone is asked for: mostly from `LOW_SHAPE` up."""
NEGATIVE_SHAPES = 0.15
"""Share that is asked for below 0."""
REST_IMAGES = 8
"""Renderings of frames with the mouth at rest. Where a clip is all speech no frame shows that, and every pause asks for it: left alone
the Gaussians at the jaw's border kept the colours of a collar there."""
HOLE = 0.03
"""Largest gap of a rendering of the field that is closed, of the image's width."""
CRUMB = 0.02
"""What is narrower is no jaw, of the image's width: left out of renderings of the field from `ABOVE_LIPS_M` above the lips downwards."""
ABOVE_LIPS_M = 0.02
_GAP = 0.05
_NO_BOX = np.zeros(4, np.int32)


@dataclass(frozen=True)
class Target:
    """An image to fit, cropped to the head.

    Attributes:
        colour, alpha: straight, display-encoded; the matte.
        x0, y0: corner of the crop in the image, pixels.
        mouth: x0, y0, x1, y1 in the image, where errors weigh more; empty where they do not.
        frame: in the clip; -1 for a rendering of the field.
        head_to_camera, conditions: of a rendering; those of a frame are the clip's.
        covered: where something is before the head, which the loss does not see; None where nothing is.
    """

    colour: UInt8[np.ndarray, "height width 3"]
    alpha: UInt8[np.ndarray, "height width"]
    x0: int
    y0: int
    mouth: Int[np.ndarray, " 4"]
    frame: int = -1
    head_to_camera: Float[np.ndarray, "4 4"] | None = None
    conditions: Float[np.ndarray, " conditions"] | None = None
    covered: Bool[np.ndarray, "height width"] | None = None


def frame_target(frame: Frame) -> Target:
    """A training frame."""
    mouth = frame.boxes[1].round().astype(np.int32) + np.array([frame.x0, frame.y0] * 2, np.int32)
    return Target(frame.colour, frame.alpha, frame.x0, frame.y0, mouth, frame.index, covered=frame.covered)


def reduced(target: Target, factor: int) -> Target:
    """The same image with `factor` times fewer pixels a side, averaged premultiplied."""
    if factor == 1:
        return target
    left, top = target.x0 % factor, target.y0 % factor
    height, width = target.alpha.shape
    padding = ((top, -(top + height) % factor), (left, -(left + width) % factor))
    alpha = np.pad(target.alpha, padding).astype(np.float32)
    colour = np.pad(target.colour, (*padding, (0, 0))).astype(np.float32) * alpha[..., None]
    rows, columns = alpha.shape[0] // factor, alpha.shape[1] // factor
    small_alpha = alpha.reshape(rows, factor, columns, factor).mean((1, 3))
    small_colour = (
        colour.reshape(rows, factor, columns, factor, 3).mean((1, 3)) / np.maximum(small_alpha, 1e-3)[..., None]
    )
    covered = target.covered
    if covered is not None:
        covered = np.pad(covered, padding).reshape(rows, factor, columns, factor).any((1, 3))
    return replace(
        target,
        covered=covered,
        colour=np.clip(small_colour + 0.5, 0, 255).astype(np.uint8),
        alpha=(small_alpha + 0.5).astype(np.uint8),
        x0=(target.x0 - left) // factor,
        y0=(target.y0 - top) // factor,
        mouth=(target.mouth / factor).round().astype(np.int32),
    )


def at_depth(target: Target, factor: float) -> Target:
    """The same rendering for a camera whose focal length is `factor` times as long."""
    assert target.head_to_camera is not None
    pose = target.head_to_camera.copy()
    pose[2, 3] *= factor
    return replace(target, head_to_camera=pose)


def sliders() -> list[tuple[str, ...]]:
    """Blendshapes that an artist moves together: both sides of the face, or one shape in the middle."""
    groups: dict[str, list[str]] = {}
    for name in BLENDSHAPE_NAMES:
        organ = name.removesuffix("Left").removesuffix("Right")
        whole = organ in ("jaw", "mouth")  # moved to the left or to the right
        groups.setdefault(name if whole else organ, []).append(name)
    return [tuple(group) for group in groups.values()]


def field_targets(
    field: HeadRenderer,
    camera: Camera,
    poses: Float[np.ndarray, "frames 4 4"],
    conditions: Float[np.ndarray, "frames conditions"],
    frames: Int[np.ndarray, " used"],
    count: int,
    lips_m: Float[np.ndarray, " 3"],
    rng: np.random.Generator,
) -> Iterator[Target]:
    """Renderings of the field in poses and with shapes that the clip may never show: what a director may ask for.

    The field is smoother there than Gaussians that are left to themselves, whose depth and colour no frame constrains.

    Args:
        lips_m: where the lips are in the head.
    """
    central = poses[spread_poses(poses, frames, 1)[0]]
    mean = conditions[frames].mean(0)
    # In the clip a blink comes with lowered eyes and brows. That its slider alone shuts the eye, only the field can teach.
    groups = sliders()
    alone = [groups[at] for at in rng.permutation(len(groups))]
    for number in range(count):
        pitch_deg, yaw_deg = rng.uniform(-1, 1, 2) * (PITCH_DEG, YAW_DEG)
        pose = turned(central, yaw_deg, pitch_deg)
        if number < REST_IMAGES:
            frame = rng.choice(frames)
            pose, values = poses[frame], conditions[frame].copy()
            values[list(LIP_INDICES)] = 0
        elif number - REST_IMAGES < len(alone):
            values = mean.copy()
            negative = rng.random() < NEGATIVE_SHAPES
            value = rng.uniform(MIN_SHAPE, 0) if negative else rng.uniform(LOW_SHAPE, MAX_SHAPE)
            values[[BLENDSHAPE_NAMES.index(name) for name in alone[number - REST_IMAGES]]] = value
        else:
            values = conditions[rng.choice(frames)].copy()
        rgba = without_holes(field.render(camera, pose, values).rgba)
        jaw_m = lips_m - np.array([0, ABOVE_LIPS_M, 0])
        jaw_px = camera.project(pose, jaw_m[None])[0][0, 1]
        yield _target(without_crumbs(rgba, round(float(jaw_px))), pose, values)


def without_holes(rgba: Float[np.ndarray, "height width 4"]) -> Float[np.ndarray, "height width 4"]:
    """A rendered head, premultiplied, whose gaps of up to `HOLE` of the image's width have the colour around them.

    Where the clip never shows the head, the field may be empty: turned by 8 degrees one sees through it. No head has that.
    """
    radius = round(HOLE * rgba.shape[1]) // 2
    alpha = np.clip(rgba[..., 3], 0, 1)
    closed = cv2.morphologyEx(alpha, cv2.MORPH_CLOSE, disc(radius))
    missing = closed - alpha
    if missing.max() < _GAP:
        return rgba
    around = cv2.GaussianBlur(rgba, (0, 0), radius + 0.5)
    colour = around / np.maximum(around[..., 3:], 1e-3)
    return rgba + np.where(missing > _GAP, missing, 0)[..., None] * colour


def without_crumbs(rgba: Float[np.ndarray, "height width 4"], first_row: int) -> Float[np.ndarray, "height width 4"]:
    """A rendered head, premultiplied, without what is narrower than `CRUMB` of the image's width from `first_row` downwards.

    Beside the jaw the field keeps pieces of a collar or a neck which the clip's poses hide: turned by 10 degrees they are wisps beside
    the face. Above, hair is as narrow.
    """
    first_row = int(np.clip(first_row, 0, len(rgba)))
    alpha = np.clip(rgba[..., 3], 0, 1)
    opened = cv2.morphologyEx(alpha, cv2.MORPH_OPEN, disc(max(round(CRUMB * rgba.shape[1] / 2), 1)))
    kept = np.ones_like(alpha)
    kept[first_row:] = (opened / np.maximum(alpha, 1e-3))[first_row:]
    return rgba * kept[..., None]


def _target(rgba: np.ndarray, pose: np.ndarray, values: np.ndarray) -> Target:
    alpha = (np.clip(rgba[..., 3], 0, 1) * 255).round().astype(np.uint8)
    rows, columns = np.flatnonzero((alpha > 2).any(1)), np.flatnonzero((alpha > 2).any(0))
    if not len(rows):
        rows, columns = np.array([0]), np.array([0])
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    rgba, alpha = rgba[y0:y1, x0:x1], alpha[y0:y1, x0:x1]
    straight = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-3)
    colour = (np.clip(straight, 0, 1) * 255).round().astype(np.uint8)
    return Target(colour, alpha, x0, y0, _NO_BOX, -1, pose, values.astype(np.float32))
