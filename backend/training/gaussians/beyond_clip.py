"""What the twin is taught of poses and shapes that the clip may never show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ...portrait_sync.beyond_frame import completed
from ...portrait_sync.fill import disc
from ...protocol import BLENDSHAPE_NAMES
from ...renderer.head import HeadRenderer
from ...renderer.regions import LIP_INDICES
from ...workspace.camera import Camera
from ...workspace.face_mesh import FaceMesh
from ...workspace.poses import turned
from ...workspace.shapes import Bool, Float, Int
from ..dataset import Frame
from .cloud import spread_poses
from .crown import BROW_M, Crown, is_cut_off, level_pose, rounded, shows_most
from .images import Target, target_of
from .turned_frames import SURFACE_SIZE, row_of, surface_of, turned_image

YAW_DEG, PITCH_DEG, SHIFT_M = 15.0, 12.0, 0.03
"""How far a frame's head is turned and moved. Where a director turns it further than that, it is not taught."""
MIN_SHAPE, LOW_SHAPE, MAX_SHAPE = -0.3, 0.4, 1.3
"""How far a blendshape alone is asked for: mostly from `LOW_SHAPE` up."""
USUAL_PERCENT, BEYOND, BEYOND_ALL = 99.5, 1.6, 0.15
"""And not beyond what one in 200 frames exceeds: of eyes and brows so many times and so much more, at least 1. A mouth that
opens further than the clip's is a smear in the field, and skin in Gaussians that nobody taught it."""
NEAR = 4
"""Frames whose own poses are nearest to one that is asked for: one of them is turned."""
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


@dataclass(frozen=True)
class Clip:
    """What turned heads are made of.

    Attributes:
        camera: of the training frames.
        poses, conditions: of all frames of the clip.
        frames: those that are trained on.
        held: of these, the images in memory.
        face: the subject's, whose surface is known.
        lips_m: where the lips are in the head.
    """

    camera: Camera
    poses: Float[np.ndarray, "frames 4 4"]
    conditions: Float[np.ndarray, "frames conditions"]
    frames: Int[np.ndarray, " used"]
    held: Sequence[Frame]
    face: FaceMesh
    lips_m: Float[np.ndarray, " 3"]

    def nearest(self, pose: Float[np.ndarray, "4 4"], rng: np.random.Generator) -> Frame:
        """One of the frames whose heads are turned most alike."""
        alike = [np.trace(self.poses[frame.index][:3, :3].T @ pose[:3, :3]) for frame in self.bare]
        return self.bare[rng.choice(np.argsort(alike)[-NEAR:])]

    @cached_property
    def bare(self) -> Sequence[Frame]:
        """The images in memory that nothing covers; all of them where something always does."""
        return [frame for frame in self.held if frame.covered is None or not frame.covered.any()] or self.held

    @cached_property
    def crown(self) -> Crown | None:
        """The head where the image shows most of it; None without an image."""
        held = {frame.index: frame for frame in self.bare}
        if not held:
            return None
        most = shows_most(self.camera, self.poses, np.array(sorted(held)))
        return Crown.of(*self.completed(self.whole(held[most]), self.poses[most]), self.camera, self.poses[most])

    def completed(
        self, image: Float[np.ndarray, "height width 4"], pose: Float[np.ndarray, "4 4"]
    ) -> tuple[Float[np.ndarray, "rows columns 4"], int]:
        """An image of the head in a pose, continued by itself where the image cuts it off, and the width of its border in pixels."""
        return completed(image, row_of(self.camera, pose, self.lips_m))

    def whole(self, frame: Frame) -> Float[np.ndarray, "height width 4"]:
        """A frame's head, premultiplied, in the whole image."""
        image = np.zeros((self.camera.height, self.camera.width, 4), np.float32)
        rows, columns = frame.alpha.shape
        part = image[frame.y0 : frame.y0 + rows, frame.x0 : frame.x0 + columns]
        part[..., 3] = frame.alpha / np.float32(255)
        part[..., :3] = frame.colour / np.float32(255) * part[..., 3:]
        return image

    def rendered(
        self, field: HeadRenderer, pose: Float[np.ndarray, "4 4"], values: Float[np.ndarray, " conditions"]
    ) -> Float[np.ndarray, "height width 4"]:
        """What the field shows, without its holes and crumbs."""
        return self.without_crumbs(without_holes(field.render(self.camera, pose, values).rgba), pose)

    def without_crumbs(
        self, rgba: Float[np.ndarray, "height width 4"], pose: Float[np.ndarray, "4 4"]
    ) -> Float[np.ndarray, "height width 4"]:
        """An image of the head in a pose, without what lies loose beside its jaw."""
        jaw_m = self.lips_m - np.array([0, ABOVE_LIPS_M, 0])
        return without_crumbs(rgba, row_of(self.camera, pose, jaw_m))

    def turned(
        self,
        field: HeadRenderer,
        image: Float[np.ndarray, "height width 4"],
        seen_from: Float[np.ndarray, "4 4"],
        pose: Float[np.ndarray, "4 4"],
        values: Float[np.ndarray, " conditions"],
    ) -> tuple[Float[np.ndarray, "height width 4"], Bool[np.ndarray, "height width"]]:
        """An image of the head in another pose over what the field shows there, and where neither knows anything.

        An ear that comes into view is not in the image: the field has it from other frames.
        """
        camera = self.camera.resized(SURFACE_SIZE / max(self.camera.width, self.camera.height))
        seen = field.render(camera, seen_from, values, passes=True)
        assert seen.depth_m is not None
        surface = surface_of(seen.depth_m, seen.rgba[..., 3], camera, seen_from, self.face, values)
        sheet, margin = self.completed(image, seen_from)
        if self.crown is not None:
            sheet = self.crown.put_on(sheet, seen_from)
        image, outside = turned_image(sheet, surface, self.camera, seen_from, pose, margin)
        if is_cut_off(sheet, margin):
            level, _ = turned_image(sheet, surface, self.camera, seen_from, level_pose(seen_from, pose), margin)
            image = rounded(image, level, row_of(self.camera, pose, BROW_M))
        image = self.without_crumbs(image, pose)
        return image + (1 - image[..., 3:]) * self.rendered(field, pose, values), outside


def field_targets(
    field: HeadRenderer,
    clip: Clip,
    count: int,
    rng: np.random.Generator,
) -> Iterator[Target]:
    """What a director may ask for and the clip may never show: renderings of the field, and images seen from elsewhere.

    The field knows faces that no frame shows, such as a blink alone, but turned away from the clip's poses its own depth shows. So
    frames and renderings are turned over the head's surface (`turned_frames`).
    """
    (central,) = spread_poses(clip.poses, clip.frames, 1)
    mean = clip.conditions[clip.frames].mean(0)
    usual = np.percentile(clip.conditions[clip.frames], USUAL_PERCENT, axis=0)
    reach = np.maximum(BEYOND * usual + BEYOND_ALL, 1)
    reach[list(LIP_INDICES)] = np.maximum(usual[list(LIP_INDICES)], 0)
    # In the clip a blink comes with lowered eyes and brows. That its slider alone shuts the eye, only the field can teach.
    groups = sliders()
    alone = [groups[at] for at in rng.permutation(len(groups))]
    for number in range(count):
        if number < REST_IMAGES:
            frame = int(rng.choice(clip.frames))
            values = clip.conditions[frame].copy()
            values[list(LIP_INDICES)] = 0
            pose = clip.poses[frame]
            yield target_of(clip.rendered(field, pose, values), None, frame, pose, pose, values)
            continue
        pitch_deg, yaw_deg = rng.uniform(-1, 1, 2) * (PITCH_DEG, YAW_DEG)
        pose = turned(clip.poses[rng.choice(clip.frames)], yaw_deg, pitch_deg)
        pose[:2, 3] += rng.uniform(-SHIFT_M, SHIFT_M, 2)
        if number - REST_IMAGES < len(alone):
            values = mean.copy()
            shapes = [BLENDSHAPE_NAMES.index(name) for name in alone[number - REST_IMAGES]]
            negative = rng.random() < NEGATIVE_SHAPES
            value = rng.uniform(MIN_SHAPE, 0) if negative else rng.uniform(LOW_SHAPE, MAX_SHAPE)
            values[shapes] = np.minimum(value, reach[shapes])
            frame, image = central, clip.rendered(field, clip.poses[central], values)
        else:
            near = clip.nearest(pose, rng)
            frame, values, image = near.index, clip.conditions[near.index], clip.whole(near)
        seen_from = clip.poses[frame]
        image, outside = clip.turned(field, image, seen_from, pose, values)
        yield target_of(image, outside, frame, seen_from, pose, values)


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


def sliders() -> list[tuple[str, ...]]:
    """Blendshapes that an artist moves together: both sides of the face, or one shape in the middle."""
    groups: dict[str, list[str]] = {}
    for name in BLENDSHAPE_NAMES:
        organ = name.removesuffix("Left").removesuffix("Right")
        whole = organ in ("jaw", "mouth")  # moved to the left or to the right
        groups.setdefault(name if whole else organ, []).append(name)
    return [tuple(group) for group in groups.values()]
