"""The frame without its head: background where the head was, and the neck and collar carried on behind it."""

from __future__ import annotations

import cv2
import numpy as np

from .fill import disc, smoothstep
from .head_region import FaceFrame

STRIP = 0.10  # how much of the visible neck below the jaw gives the colour behind it, in face heights
REACH = (-0.35, -0.55)
"""Where the neck behind the head begins and ends to fade, up at the ears: face heights down from the chin."""
SHADE = 0.12  # how much darker the neck gets up there


def extend_body(
    frame: np.ndarray,
    body: np.ndarray,
    skin: np.ndarray,
    hair: np.ndarray,
    head: np.ndarray,
    neck: np.ndarray,
    axes: FaceFrame,
) -> tuple[np.ndarray, np.ndarray]:
    """Carry the body's border with the head upwards behind the head, column by column.

    Args:
        frame: (H, W, 3) float32, 0 to 255.
        body: (H, W) float32 matte of torso and neck.
        skin, hair: (H, W) float32 in [0, 1], how likely a pixel is each: behind a collar it is the neck that goes on.
        head: (H, W) bool, what is to be covered (the head with a margin).
        neck: (3) the colour to fall back on where neither is seen.
        axes: the face's frame in this picture.

    Returns:
        colour (H, W, 3) float32 and matte (H, W) float32 of the hidden body; zero matte where no body is below.
    """
    height = len(head)
    rows = np.arange(height)[:, None]
    occupied = head.any(axis=0)
    lowest = np.where(occupied, height - 1 - np.argmax(head[::-1], axis=0), -1)

    strip = max(2, round(STRIP * axes.height))
    start = np.minimum(lowest + 1, height - strip)
    below = (rows >= start) & (rows < start + strip) & occupied
    present = np.where(below, body, 0.0).astype(np.float32)
    # A tie can have a colour that the face has somewhere; the neck's own hue tells it from skin.
    weight = present * np.maximum(hair, smoothstep(0.4, 0.9, skin) * smoothstep(0.06, 0.03, hue_distance(frame, neck)))
    columns = (
        np.concatenate([np.einsum("hwc,hw->wc", frame, weight), weight.sum(axis=0)[:, None]], axis=1)[None] / strip
    )

    # Low frequencies only; a column without skin or hair takes its colour from the nearest with some, or the usual one.
    mixed = 0.003 * np.append(neck, 1.0)
    for spread, share in ((0.03, 1.0), (0.10, 0.1)):
        mixed = mixed + share * cv2.GaussianBlur(columns, (0, 0), sigmaX=max(0.8, spread * axes.height), sigmaY=0.1)[0]
    colour = mixed[:, :3] / mixed[:, 3:]
    coverage = np.where(occupied, present.sum(axis=0) / strip, 0.0).astype(np.float32)
    coverage = cv2.GaussianBlur(coverage[None], (0, 0), sigmaX=max(0.6, 0.01 * axes.height))[0]

    down = (rows - axes.chin[1]) / axes.height
    reach = smoothstep(REACH[1], REACH[0], down)
    shade = 1.0 - SHADE * np.clip((lowest[None] - rows) / (0.4 * axes.height), 0.0, 1.0)
    return (colour[None] * shade[..., None]).astype(np.float32), (coverage[None] * reach).astype(np.float32)


def hue_distance(frame: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """(H, W) distance of each pixel's chromaticity (r, g, b over their sum) from `colour`'s; 0.06 is another hue."""
    sums = np.einsum("hwc->hw", frame) + 12.0  # near black there is no hue to tell
    own = (frame + 4.0) / sums[..., None]
    reference = (np.asarray(colour, np.float32) + 4.0) / (float(np.sum(colour)) + 12.0)
    return np.sqrt(np.einsum("hwc,hwc->hw", own - reference, own - reference))


def make_plate(
    frame: np.ndarray,
    background: np.ndarray,
    head: np.ndarray,
    body: np.ndarray,
    skin: np.ndarray,
    hair: np.ndarray,
    neck: np.ndarray,
    axes: FaceFrame,
) -> np.ndarray:
    """The frame with its head taken out.

    Args:
        frame: (H, W, 3) uint8.
        background: (H, W, 3) float32, as it is in this frame.
        head: (H, W) float32 head matte.
        body: (H, W) float32 matte of torso and neck.
        skin, hair: (H, W) float32 in [0, 1], how likely a pixel is each.
        neck: (3) the neck's usual colour, 0 to 255.
        axes: the face's frame in this picture.

    Returns:
        (H, W, 3) uint8. Equal to the frame away from the head.
    """
    covered = (head > 0.02).astype(np.uint8)
    if not covered.any():
        return frame.copy()
    picture = frame.astype(np.float32)
    wide = cv2.dilate(covered, disc(0.05 * axes.height))
    colour, matte = extend_body(picture, body, skin, hair, covered > 0, neck, axes)
    # Only behind the head and the body themselves: it must not stand out beside a narrow jaw.
    matte = matte * smoothstep(0.5, 1.0, head + body)
    behind = background + matte[..., None] * (colour - background)
    # Towards the background a wide line goes with the head, which takes the hair's fringe along. Towards the body the
    # matte's own ramp is enough: it lies below the jaw, so the frame shows neck and collar there.
    zone = np.maximum(smoothstep(0.0, 0.8, head), cv2.blur(wide * (1.0 - body), (3, 3)))
    plate = picture + zone[..., None] * (behind - picture)
    return np.clip(np.rint(plate), 0, 255).astype(np.uint8)
