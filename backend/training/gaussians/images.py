"""The images that the Gaussians are fitted to."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...workspace.shapes import Bool, Float, Int, UInt8
from ..dataset import Frame

_NO_BOX = np.zeros(4, np.int32)


@dataclass(frozen=True)
class Target:
    """An image to fit, cropped to the head.

    Attributes:
        colour, alpha: straight, display-encoded; the matte.
        x0, y0: corner of the crop in the image, pixels.
        mouth: x0, y0, x1, y1 in the image, where errors weigh more; empty where they do not.
        frame: in the clip; -1 for a rendering of the field.
        follows: the frame from whose pose a rendering's differs by a turn and a shift.
        turn, shift_m: of the head about its origin, and in the camera.
        conditions: of a rendering; those of a frame are the clip's.
        covered: where something is before the head, which the loss does not see; None where nothing is.
    """

    colour: UInt8[np.ndarray, "height width 3"]
    alpha: UInt8[np.ndarray, "height width"]
    x0: int
    y0: int
    mouth: Int[np.ndarray, " 4"]
    frame: int = -1
    follows: int = -1
    turn: Float[np.ndarray, "3 3"] | None = None
    shift_m: Float[np.ndarray, " 3"] | None = None
    conditions: Float[np.ndarray, " conditions"] | None = None
    covered: Bool[np.ndarray, "height width"] | None = None

    def pose(self, of_frame: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
        """head_to_camera, from that of its frame, which is corrected while the head is trained: the turn from there stays."""
        if self.turn is None or self.shift_m is None:
            return of_frame
        pose = of_frame.copy()
        pose[:3, :3] = pose[:3, :3] @ self.turn
        pose[:3, 3] += self.shift_m
        return pose


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


def target_of(
    rgba: Float[np.ndarray, "height width 4"],
    covered: Bool[np.ndarray, "height width"] | None,
    follows: int,
    of_frame: Float[np.ndarray, "4 4"],
    pose: Float[np.ndarray, "4 4"],
    values: Float[np.ndarray, " conditions"],
) -> Target:
    """An image that is no frame, premultiplied, in [0, 1].

    Args:
        follows, of_frame: the frame that it was made of, and that frame's pose then.
        pose: its own.
    """
    alpha = (np.clip(rgba[..., 3], 0, 1) * 255).round().astype(np.uint8)
    shown = alpha > 2 if covered is None else (alpha > 2) | covered
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if not len(rows):
        rows, columns = np.array([0]), np.array([0])
    y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    rgba, alpha = rgba[y0:y1, x0:x1], alpha[y0:y1, x0:x1]
    straight = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-3)
    colour = (np.clip(straight, 0, 1) * 255).round().astype(np.uint8)
    covered = None if covered is None else covered[y0:y1, x0:x1].copy()
    turn, shift_m = of_frame[:3, :3].T @ pose[:3, :3], pose[:3, 3] - of_frame[:3, 3]
    return Target(colour, alpha, x0, y0, _NO_BOX, -1, follows, turn, shift_m, values.astype(np.float32), covered)
