"""The paper's portrait-sync generator (section 3.4): the rendered face in the original frame, whose hair stays.

The rendered face is blended with the frame by a Gaussian-feathered mask, and where the frame's open mouth has its jaw lower than
the rendered one, the gap is filled with the neck's colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..workspace.arrays import smoothstep
from ..workspace.shapes import Bool, Float, UInt8
from .colours import Neck, colour_bins
from .head_region import (
    FACE_OVAL,
    JAW,
    UNDER_CHIN,
    FaceFrame,
    face_frame,
    fill_polygon,
    grown_jaw,
    outward_of_jaw,
    window_about,
)
from .plate import SHADOW, STRIP

SIGMA = 0.02
"""Standard deviation of the feather G_sigma, in face heights; the paper does not give it."""
GAP = (0.005, 0.02)
"""How much lower than the rendered one the frame's jaw lies where the gap begins to be filled, and where it is, in face heights."""
INSET = 3 * SIGMA
"""How far the gap reaches under the rendered face, in face heights: beneath its feather there is neck too."""
_LEAST_NECK = 0.004
"""Of a face height squared: less visible neck gives no colour."""
_TAIL = 4.5
"""Standard deviations beyond which a feather is nothing."""


@dataclass(frozen=True)
class BlendedFace:
    """A composed frame, and where it may differ from the original one: elsewhere all bits are equal."""

    image: UInt8[np.ndarray, "height width 3"]
    mask: Bool[np.ndarray, "height width"]


def paper_blend(
    rgba: Float[np.ndarray, "height width 4"],
    frame: UInt8[np.ndarray, "height width 3"],
    rendered_px: Float[np.ndarray, "478 2"],
    source_px: Float[np.ndarray, "478 2"] | None,
    neck: Float[np.ndarray, " 3"],
) -> BlendedFace:
    """Blend the face of a rendered head into the original frame.

    With the face's mask M, the frame F_o and the rendered head over it F_r: G_sigma(M)·F_r + (1 − G_sigma(M))·F_o, where F_o has
    the neck's colour in the gap below the rendered jaw.

    Args:
        rgba: premultiplied, display-encoded, in [0, 1]; at the frame's own pose, or a second face shows beside the first.
        rendered_px: landmarks of the rendered head.
        source_px: those of the frame; None where no face was tracked, or to fill no gap.
        neck: the colour of the gap, 0 to 255; see `neck_colour`.
    """
    axes = face_frame(rendered_px)
    sigma = max(SIGMA * axes.height, 0.7)
    known = [rendered_px[list(FACE_OVAL)]]
    known += [] if source_px is None else [source_px[list(FACE_OVAL)]]
    margin = (UNDER_CHIN + SHADOW) * axes.height + _TAIL * sigma + 2
    window = window_about(np.concatenate(known), margin, frame.shape)
    mask = np.zeros(frame.shape[:2], bool)
    image = frame.copy()
    if window is None:
        return BlendedFace(image, mask)
    origin = np.array([window[1].start, window[0].start], np.float64)
    shape = frame[window].shape[:2]
    face = cv2.GaussianBlur(fill_polygon(rendered_px[list(FACE_OVAL)] - origin, shape, 1.0), (0, 0), sigma)
    original = frame[window].astype(np.float32)
    feather = face
    if source_px is not None:
        gap = cv2.GaussianBlur(_gap(rendered_px - origin, source_px - origin, axes, shape), (0, 0), sigma)
        original += gap[..., None] * (np.asarray(neck, np.float32) - original)
        feather = np.maximum(face, gap)
    head = rgba[window]
    rendered = 255.0 * head[..., :3] + (1.0 - head[..., 3:]) * original
    blended = original + face[..., None] * (rendered - original)
    changed = feather > 0
    image[window][changed] = np.clip(np.rint(blended[changed]), 0, 255).astype(np.uint8)
    mask[window] = changed
    return BlendedFace(image, mask)


def neck_colour(
    frame: UInt8[np.ndarray, "height width 3"], source_px: Float[np.ndarray, "478 2"], neck: Neck
) -> Float[np.ndarray, " 3"]:
    """Mean colour of the neck that is visible just below the jaw, 0 to 255; the clip's where a collar hides it."""
    height = face_frame(source_px).height
    inner, outer = UNDER_CHIN + SHADOW, UNDER_CHIN + SHADOW + STRIP
    jaw = grown_jaw(source_px, outer)
    window = window_about(jaw, 2.0, frame.shape)
    if window is None:
        return neck.colour
    origin = np.array([window[1].start, window[0].start], np.float64)
    part = frame[window]
    below, above = (fill_polygon(grown_jaw(source_px, grow) - origin, part.shape[:2], 1.0) for grow in (outer, inner))
    weight = np.clip(below - above, 0, 1) * neck.likeness[colour_bins(part)]
    total = float(weight.sum())
    if total < _LEAST_NECK * height**2:
        return neck.colour
    return (np.einsum("hwc,hw->c", part.astype(np.float32), weight) / total).astype(np.float32)


def _gap(rendered_px: np.ndarray, source_px: np.ndarray, axes: FaceFrame, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) float32: from under the rendered jaw to below the frame's, where that is lower; nothing where it is not."""
    jaw, lower = rendered_px[list(JAW)].astype(np.float64), grown_jaw(source_px, UNDER_CHIN + SHADOW)
    drop = (source_px[list(JAW)] - jaw) @ axes.down / axes.height
    open_by = smoothstep(*GAP, drop)[:, None]
    if not open_by.any():
        return np.zeros(shape, np.float32)
    inside = -INSET * axes.height * outward_of_jaw(rendered_px, face_frame(rendered_px))
    near, far = jaw + open_by * inside, jaw + open_by * (lower - jaw)
    return fill_polygon(np.concatenate([near, far[::-1]]), shape, 1.0)
