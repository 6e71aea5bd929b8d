"""Mattes of head, hair, body and person, and the plate of one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from ..compilation import has_numba
from ..workspace.arrays import smoothstep
from ..workspace.camera_path import CameraPath
from .background import match_to_frame
from .colours import ColourTables, Neck, colour_bins
from .fill import disc
from .head_region import UNDER_CHIN, FaceFrame, above_jaw, face_frame, face_oval, from_map
from .matting import SEGMENTED, Trust, close_doubts, person_alpha, resized
from .moving_camera.mosaic import seen_by, shown_in
from .pixels import times, to_bytes
from .plate import ALL_PARTS, PlateParts, limit_by_frame, make_plate

REACH = 0.12
"""How far beyond what was visible a plain background is taken to continue, in face heights."""
TEXTURE = (14.0, 6.0)
"""Standard deviations, in 8-bit levels, of a background that does not continue, and of a plain one."""


@dataclass(frozen=True)
class ClipModel:
    """What is the same in all frames of a clip."""

    background: np.ndarray
    """(S, S, 3) uint8."""
    seen: np.ndarray
    """(S, S) bool: where the background was visible rather than filled in."""
    noise: np.ndarray
    """(S, S) float32: standard deviation of the background about its median, in 8-bit levels."""
    colours: ColourTables
    """Which colours are hair and skin."""
    hair_map: np.ndarray
    """(MAP_SHAPE) float32: how much of the person is hair at each place of the head's plane, over the clip."""
    neck: Neck
    """What the neck looks like."""
    face_height: float
    """Median over the clip, in pixels."""
    camera_motion: float = 0.0
    """How far the camera moves, as a share of the frame's side; 0 where it is still."""
    camera: CameraPath | None = None
    """How it moves, where it does and could be registered: `background`, `seen` and `noise` are then of the mosaic's size, not S."""

    def at(self, index: int, side: int) -> ClipModel:
        """As frame `index` of `side` pixels shows it."""
        if self.camera is None:
            return self
        return replace(
            self,
            background=seen_by(self.background, self.camera, index, side),
            seen=shown_in(self.seen, self.camera, index, side),
            noise=seen_by(self.noise, self.camera, index, side, cv2.INTER_LINEAR),
            camera=None,
        )

    @cached_property
    def known(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """At half the size, each (S/2, S/2) float32: 1 where the background was visible, 1 where it continues beyond that, and its
        standard deviation in 8-bit levels.

        A plain wall continues behind the hair: near what was visible its background is known too, but for its texture (a
        distribution, as in Bayesian matting: Chuang et al. 2001). A patterned one does not.
        """
        side = len(self.seen)
        half, reach = (side // 2, side // 2), 0.5 * REACH * self.face_height
        seen = cv2.resize(self.seen.astype(np.float32), half, interpolation=cv2.INTER_AREA)
        noise = cv2.resize(self.noise, half, interpolation=cv2.INTER_AREA)
        background = cv2.resize(self.background, half, interpolation=cv2.INTER_AREA).astype(np.float32)
        window = (2 * round(reach) + 1, 2 * round(reach) + 1)
        weight = np.maximum(cv2.blur(seen, window), 1e-6)[..., None]
        mean, square = (cv2.blur(times(value, seen), window) / weight for value in (background, background**2))
        texture = np.sqrt(np.maximum(square - mean**2, 0.0).max(axis=2))
        away = cv2.distanceTransform((seen < 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        near = (1.0 - seen) * smoothstep(reach, 0.5 * reach, away) * smoothstep(*TEXTURE, texture)
        known = cv2.GaussianBlur(seen, (0, 0), 1.5)
        return known, near, np.sqrt(noise**2 + (near * texture) ** 2)


def person_and_background(
    frame: np.ndarray,
    model: ClipModel,
    probability: np.ndarray,
    alpha: np.ndarray | None = None,
    trust: Trust = SEGMENTED,
) -> tuple[np.ndarray, np.ndarray]:
    """Soft person matte (S, S) float32 in [0, 1] and this frame's background (S, S, 3) float32, 0 to 255.

    Args:
        frame: (S, S, 3) uint8.
        model: of the clip.
        probability: (h, w) float32, the network's person probability.
        alpha: (S, S) uint8, the clip's own, which is the matte then; None where it has none.
        trust: in the network.
    """
    if alpha is not None:
        return alpha.astype(np.float32) / 255.0, model.background.astype(np.float32)
    side = frame.shape[0]
    half = (side // 2, side // 2)
    if trust is SEGMENTED:  # what the matting network doubts is a gap between strands
        probability = close_doubts(probability)
    hidden = cv2.dilate(
        (resized(probability, half) > 0.1).astype(np.uint8), disc(0.5 * trust.outer * model.face_height)
    )
    visible = cv2.resize(1.0 - hidden.astype(np.float32), (side, side)) * model.seen
    background = match_to_frame(model.background, frame, visible)
    known, continued, noise = model.known
    height = model.face_height
    return person_alpha(frame, background, known, probability, noise, height, continued, trust), background


def split_frame(
    frame: np.ndarray,
    model: ClipModel,
    probability: np.ndarray,
    landmarks_px: np.ndarray | None,
    lobes_px: np.ndarray | None = None,
    alpha: np.ndarray | None = None,
    parts: PlateParts = ALL_PARTS,
    trust: Trust = SEGMENTED,
) -> tuple[np.ndarray, np.ndarray]:
    """Mattes and plate of a frame.

    Args:
        frame: (S, S, 3) uint8.
        model: of the clip.
        probability: (h, w) float32, the network's person probability.
        landmarks_px: (478, 2), or None when the frame has no face: then nothing is head and the plate is the frame.
        lobes_px: (2, 2) the ear lobes' lower ends, see `head_region.ear_lobes_px`; without it, the jaw's corners are
            used.
        alpha, trust: see `person_and_background`.
        parts: what is done to the plate.

    Returns:
        mattes (S, S, 4) uint8: head, hair, torso and neck, person; and the plate (S, S, 3) uint8.
    """
    person, background = person_and_background(frame, model, probability, alpha, trust)
    if landmarks_px is None:
        empty = np.zeros_like(person)
        return _pack(empty, empty, person, person), frame.copy()
    region = head_region(frame, model, landmarks_px, lobes_px)
    by_kernel = has_numba() and len(frame) == 2 * region.shape[1]
    mattes, head, body, hair = (split_person_by_kernel if by_kernel else split_person)(person, region, alpha is None)
    axes = face_frame(landmarks_px)
    behind = background if parts.light else model.background.astype(np.float32)
    plate = make_plate(frame, behind, head, body, hair, model.neck, axes, parts)
    limit_by_frame(plate, frame, head, model.seen, axes.height)
    return mattes, plate


def split_person(person: np.ndarray, region: np.ndarray, faced: bool) -> tuple[np.ndarray, ...]:
    """The person's matte (S, S) split into head and body, by `head_region`.

    Args:
        faced: the face is the person, whatever the matte says.

    Returns:
        mattes (S, S, 4) uint8: head, hair, body and person; and head, body and hair (S, S) float32, the last wherever hair is likely.
    """
    region, hair, face = (cv2.resize(part, person.shape[::-1], interpolation=cv2.INTER_LINEAR) for part in region)
    if faced:
        person = np.maximum(person, face)
    head = person * region
    return _pack(head, head * hair, person - head, person), head, person - head, hair


def split_person_by_kernel(person: np.ndarray, region: np.ndarray, faced: bool) -> tuple[np.ndarray, ...]:
    """As `split_person`, compiled; for twice the size of `region`."""
    from .region_kernels import split_person as split

    mattes, (head, body, hair) = np.empty((*person.shape, 4), np.uint8), np.empty((3, *person.shape), np.float32)
    split(person, region, np.float32(faced), mattes, head, body, hair)
    return mattes, head, body, hair


def head_region(
    frame: np.ndarray, model: ClipModel, landmarks_px: np.ndarray, lobes_px: np.ndarray | None
) -> np.ndarray:
    """Which part of a person is head, how likely it is hair there, and where the face certainly is.

    (3, S/2, S/2) float32 in [0, 1]. Above the jaw line and the ear lobes all of the person is head; hair counts down to
    the chin.
    """
    side = frame.shape[0]
    half, scale = (side // 2, side // 2), 0.5
    axes = face_frame(landmarks_px)
    pixels = axes.height * scale
    small = cv2.resize(frame, half, interpolation=cv2.INTER_AREA)

    # The landmarks' line is the head in any case; the flesh under the chin as well, but not a collar that touches it;
    # and what hangs at the ears, lobes and rings, but not a jacket.
    collar, clothing = (collar_and_clothing_by_kernel if has_numba() else collar_and_clothing)(small, model)
    collar = cv2.GaussianBlur(collar, (0, 0), 0.01 * pixels + 0.4)
    clothing = cv2.GaussianBlur(clothing, (0, 0), 0.02 * pixels + 0.4)
    jaw = above_jaw(landmarks_px, half, scale)
    under = above_jaw(landmarks_px, half, scale, margin=UNDER_CHIN)
    ears = jaw if lobes_px is None else above_jaw(landmarks_px, half, scale, lobes_px=lobes_px)
    oval = cv2.GaussianBlur(face_oval(landmarks_px, half, scale), (0, 0), 0.02 * pixels + 0.4)
    hair = from_map(model.hair_map, axes, half, scale)
    joined = (join_region_by_kernel if has_numba() else join_region)(
        jaw, under, ears, collar, clothing, oval, hair, axes
    )
    face = cv2.GaussianBlur(face_oval(landmarks_px, half, scale, grow=-0.04), (0, 0), 1.0)
    return np.stack([*joined, face])


def collar_and_clothing(small: np.ndarray, model: ClipModel) -> tuple[np.ndarray, np.ndarray]:
    """How likely each pixel of (h, w, 3) uint8 is a bright collar, and clothing of any kind, by its colour: (h, w) float32 each."""
    bins = colour_bins(small)
    bright = cv2.transform(small, np.full((1, 3), 1.0 / 3.0)).astype(np.float32) / float(model.neck.colour.mean())
    other = 1.0 - model.colours.skin[bins]
    return smoothstep(1.0, 1.3, bright) * other, model.colours.clothing[bins] * other


def collar_and_clothing_by_kernel(small: np.ndarray, model: ClipModel) -> tuple[np.ndarray, np.ndarray]:
    """As `collar_and_clothing`, compiled."""
    from .region_kernels import collar_and_clothing as fill

    collar, clothing = np.empty((2, *small.shape[:2]), np.float32)
    fill(small, model.colours.skin, model.colours.clothing, np.float32(model.neck.colour.mean()), collar, clothing)
    return collar, clothing


def join_region(
    jaw: np.ndarray,
    under: np.ndarray,
    ears: np.ndarray,
    collar: np.ndarray,
    clothing: np.ndarray,
    oval: np.ndarray,
    hair: np.ndarray,
    axes: FaceFrame,
) -> tuple[np.ndarray, np.ndarray]:
    """The head, and the hair beside the face, (h, w) float32 each, from the parts that `head_region` draws, each (h, w) float32."""
    across, down = axes.coordinates(jaw.shape, 0.5)
    region = np.maximum(jaw, under * (1.0 - collar))
    region = np.maximum(region, ears * smoothstep(0.6, 0.3, clothing))
    hair = hair * (1.0 - oval)
    return np.maximum(region, hair * smoothstep(0.15, -0.1, down)) * smoothstep(1.5, 1.2, np.abs(across)), hair


def join_region_by_kernel(
    jaw: np.ndarray,
    under: np.ndarray,
    ears: np.ndarray,
    collar: np.ndarray,
    clothing: np.ndarray,
    oval: np.ndarray,
    hair: np.ndarray,
    axes: FaceFrame,
) -> tuple[np.ndarray, np.ndarray]:
    """As `join_region`, compiled."""
    from .region_kernels import join_region as join

    region = np.empty_like(jaw)
    place = np.array([*axes.chin, *axes.across, *axes.down, axes.height, 2.0], np.float32)
    join(jaw, under, ears, collar, clothing, oval, place, region, hair)
    return region, hair


def _pack(*channels: np.ndarray) -> np.ndarray:
    return cv2.merge([to_bytes(channel, 255.0) for channel in channels])
