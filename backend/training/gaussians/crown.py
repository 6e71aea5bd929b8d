"""The crown of a head that the image cuts off: as the frame that shows most of it has it, round where the head nods.

Each frame alone can only guess how its crown ends (`beyond_frame.completed`), and one that shows a parting guesses otherwise than
one that is cut off below it: a head that was taught all of them had a tuft that no frame shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ...portrait_sync.fill import push_pull
from ...portrait_sync.head_region import OUTLINE_M
from ...workspace.camera import PIXEL_CENTRE, Camera
from ...workspace.poses import image_similarity, mean_rotation, rotation_exp, to_camera
from ...workspace.shapes import Float, Int

SEAM = 0.012
"""Width in which a frame passes into what is beyond its upper edge, of the image's width."""
SIDEWAYS_DEG = 8.0
"""A frame whose head is turned further from the clip's mean is not asked."""
SKULL_M = np.array([0.0, -0.045, 0.01])
"""The middle of the skull, in the head frame (docs/animation.md)."""
BROW_M = np.array([0.0, -0.07, -0.08])
"""Above the brows the outline is the skull's."""
ROUNDED = 0.1
"""Height in which it becomes that, of the image's width."""
CAP_SIDE_DEG, CAP_BACK_DEG, CAP_STEP_DEG = 50.0, 40.0, 2.0
"""How far the cap behind a crown reaches to both sides and backwards, and how far its points are apart."""
CAP_NEAR_M = 0.06
"""Points of the crown are within this of the skull's middle, along the direction of view."""
CROWN_PERCENT = 95.0
"""Of them, the share that is nearer to it than the outline."""
_BIN_DEG, _FEWEST = 10.0, 20
_SOLID = 0.9


def is_cut_off(image: Float[np.ndarray, "rows columns 4"], margin: int) -> bool:
    """Whether a completed head continues above the image's upper edge."""
    return bool((image[margin - 1, :, 3] > 0.5).any())


@dataclass(frozen=True)
class Crown:
    """The crown of a clip's head.

    Attributes:
        camera: of the frames.
        image: of the frame that shows most, premultiplied, with `margin` more pixels on each side.
        outline_px: `OUTLINE_M` in it, pixels of the frame.
    """

    camera: Camera
    image: Float[np.ndarray, "rows columns 4"]
    margin: int
    outline_px: Float[np.ndarray, "points 2"]

    @classmethod
    def of(
        cls, image: Float[np.ndarray, "rows columns 4"], margin: int, camera: Camera, pose: Float[np.ndarray, "4 4"]
    ) -> Crown:
        """From a frame's head, completed, in its pose."""
        return cls(camera, image, margin, camera.project(pose, OUTLINE_M)[0])

    def put_on(
        self, image: Float[np.ndarray, "rows columns 4"], pose: Float[np.ndarray, "4 4"]
    ) -> Float[np.ndarray, "rows columns 4"]:
        """A head in a pose, with the same margin, whose crown is this one where the frame does not show it."""
        here = self.camera.project(pose, OUTLINE_M)[0]
        offset = self.margin - PIXEL_CENTRE
        to_own = image_similarity(here + offset, self.outline_px + offset)
        size = image.shape[1::-1]
        crown = cv2.warpAffine(self.image, to_own, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        seam = max(1.0, SEAM * self.camera.width)
        share = np.clip(1 - (np.arange(len(image)) + PIXEL_CENTRE - self.margin) / seam, 0, 1).astype(np.float32)
        return image + share[:, None, None] * (crown - image)


def shows_most(camera: Camera, poses: Float[np.ndarray, "frames 4 4"], frames: Int[np.ndarray, " some"]) -> int:
    """Of some frames, the one whose image reaches highest above the top of the head, in metres there."""
    turns = poses[frames, :3, :3]
    cosine = (np.einsum("nij,ij->n", turns, mean_rotation(turns)) - 1) / 2
    alike = frames[cosine >= min(np.cos(np.radians(SIDEWAYS_DEG)), cosine.max())]
    top_m = to_camera(poses[alike], OUTLINE_M[:1])[:, 0]
    above_m = top_m[:, 1] + camera.principal_px[1] / camera.focal_px * top_m[:, 2]
    return int(alike[np.argmax(above_m)])


def level_pose(seen_from: Float[np.ndarray, "4 4"], pose: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """A head that is turned sideways as in a pose and nods as it was seen, its skull where the pose has it."""
    turn = seen_from[:3, :3].T @ pose[:3, :3]
    yaw = np.arctan2(-turn[2, 0], turn[0, 0])
    level = seen_from.copy()
    level[:3, :3] = seen_from[:3, :3] @ rotation_exp(np.array([0.0, yaw, 0.0]))
    level[:3, 3] = to_camera(pose[None], SKULL_M[None])[0, 0] - level[:3, :3] @ SKULL_M
    return level


def rounded(
    image: Float[np.ndarray, "height width 4"], level: Float[np.ndarray, "height width 4"], brow_row: int
) -> Float[np.ndarray, "height width 4"]:
    """A head that nods with as high a crown as before: a skull is round, and a sheet that is bent is not.

    Args:
        image: of the sheet, premultiplied.
        level: the same head in `level_pose`.
        brow_row: above it the outline is the skull's; what comes into view has the colour beside it.
    """
    known = image[..., 3:]
    above = (brow_row - np.arange(len(image)) - PIXEL_CENTRE) / (ROUNDED * image.shape[1])
    share = np.clip(above, 0, 1).astype(np.float32)[:, None, None]
    alpha = known + share * (level[..., 3:] - known)
    straight = push_pull(image[..., :3] / np.maximum(known, 1e-3), (known[..., 0] > _SOLID).astype(np.float32))
    added = np.maximum(alpha - known, 0)
    kept = image * (np.minimum(alpha, known) / np.maximum(known, 1e-3))
    return kept + added * np.concatenate([straight, np.ones_like(added)], -1)


def skull_cap(
    points_m: Float[np.ndarray, "n 3"], colours: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "cap 3"], Float[np.ndarray, "cap 3"]]:
    """Points of a head behind its crown, which no frame shows, and their colours: as far from the skull's middle as the crown is, at each
    angle from side to side.

    Without them what a nodding head is taught there can only be learned by Gaussians of the crown, and is a haze above a level head.
    """
    offset = points_m - SKULL_M
    side = np.arctan2(offset[:, 0], -offset[:, 1])
    angles = np.radians(np.arange(-CAP_SIDE_DEG, CAP_SIDE_DEG + 1, _BIN_DEG))
    bins = [(np.abs(side - angle) < np.radians(_BIN_DEG)) & (np.abs(offset[:, 2]) < CAP_NEAR_M) for angle in angles]
    if min(found.sum() for found in bins) < _FEWEST:
        return np.empty((0, 3)), np.empty((0, 3))
    reach_m = [np.percentile(np.hypot(*offset[found, :2].T), CROWN_PERCENT) for found in bins]
    to_side, to_back = np.arange(-CAP_SIDE_DEG, CAP_SIDE_DEG, CAP_STEP_DEG), np.arange(0, CAP_BACK_DEG, CAP_STEP_DEG)
    across, back = (np.radians(axis).ravel() for axis in np.meshgrid(to_side, to_back))
    radius = np.interp(across, angles, reach_m)
    directions = np.stack([np.sin(across) * np.cos(back), -np.cos(across) * np.cos(back), np.sin(back)], 1)
    crown = np.any(bins, axis=0)
    colour = np.median(colours[crown][points_m[crown, 1] < np.median(points_m[crown, 1])], axis=0)
    return SKULL_M + radius[:, None] * directions, np.tile(colour, (len(directions), 1))
