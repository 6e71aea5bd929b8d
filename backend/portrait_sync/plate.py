"""The frame without its head: background where the head was, and the neck and collar extended behind it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..compilation import has_numba
from ..workspace.arrays import smoothstep
from .colours import Neck, colour_bins
from .fill import disc
from .head_region import FaceFrame
from .pixels import largest, mixed, to_bytes

SHADOW = 0.03
"""How far below the jaw the chin's shadow on the neck is darkest, in face heights. It stays in the plate: the neck takes it along with
the jaw (`delivery.neck`)."""
STRIP = 0.08
"""How much of the visible neck below that gives the colour behind the head, in face heights."""
REACH = (0.30, 0.10)
"""Where the neck behind the head begins and ends to fade, up at the ears: face heights below the bridge of the nose."""
GUESSED = (0.9, 0.5)
"""The head's alpha from which the frame says nothing of what is behind it, and up to which it limits what is guessed."""
WRONG, FRINGE = 8.0, 0.01
"""Such a guess is wrong by more than so many 8-bit levels, in pieces that hold a disc of this radius, in face heights."""
BESIDE, HANGING = (0.55, 0.7), 0.1
"""So far beside the bridge of the nose, in face heights, there is no neck but hanging hair, of which so much is behind the head's."""
SHADE = 0.12
"""How much darker the neck gets up there."""


@dataclass(frozen=True)
class PlateParts:
    """What is done to a plate; a benchmark turns parts off.

    Attributes:
        neck: the neck is extended upwards behind the head; else background is behind all of it.
        light: the background has the light of its frame; else that of the clip.
    """

    neck: bool = True
    light: bool = True


ALL_PARTS = PlateParts()


def make_plate(
    frame: np.ndarray,
    background: np.ndarray,
    head: np.ndarray,
    body: np.ndarray,
    hair: np.ndarray,
    neck: Neck,
    axes: FaceFrame,
    parts: PlateParts = ALL_PARTS,
) -> np.ndarray:
    """The frame with its head removed.

    Args:
        frame: (H, W, 3) uint8.
        background: (H, W, 3) float32, as it is in this frame.
        head: (H, W) float32 head matte.
        body: (H, W) float32 matte of torso and neck.
        hair: (H, W) float32 in [0, 1], how likely a pixel is hair.
        neck: what the neck usually looks like.
        axes: the face's frame in this image.
        parts: which are done.

    Returns:
        (H, W, 3) uint8. Equal to the frame away from the head.
    """
    plate = frame.copy()
    window = _window(head, round(0.2 * axes.height))
    if window is None:
        return plate
    covered = (head[window] > 0.02).astype(np.uint8)
    bridge = axes.centre - (window[1].start, window[0].start)
    extended = extend_body(frame[window], body[window], hair[window], covered > 0, neck, axes.height, bridge)
    # Towards the background a wide margin is replaced with the head, which includes the hair's fringe. Towards the body
    # the matte's ramp is enough, as it is below the jaw where the frame shows neck and collar.
    size = covered.shape[::-1]
    wide = cv2.resize(covered, (size[0] // 2, size[1] // 2), interpolation=cv2.INTER_NEAREST)
    wide = cv2.resize(cv2.dilate(wide, disc(0.025 * axes.height)).astype(np.float32), size)
    behind = BehindHead(frame, background, head, body, window, extended, wide, parts.neck)
    cover = BehindHead.cover_by_kernel if has_numba() else BehindHead.cover
    cover(behind, plate)
    return plate


def possible_behind(guess: np.ndarray, frame: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The colour next to a guess that can become the frame behind a head: (..., 3) float32.

    With the frame C and the head's matte α it lies between (C − 255·α) / (1 − α) and C / (1 − α).

    Args:
        guess: (..., 3) float32; frame: (..., 3) uint8; alpha: (..., 1) float32.
    """
    own, times = frame.astype(np.float32), 1.0 / np.maximum(1.0 - alpha, 0.02)
    return np.clip(guess, 255.0 + (own - 255.0) * times, own * times)


def limit_by_frame(
    plate: np.ndarray, frame: np.ndarray, head: np.ndarray, seen: np.ndarray, face_height: float
) -> None:
    """Change a plate in place where its background is a guess that cannot have become the frame under what the head's matte leaves of it.

    It is brought to what is possible (`possible_behind`). What is thin is a fringe of hair, which the matte has missed.

    Args:
        plate, frame: (H, W, 3) uint8.
        head: (H, W) float32.
        seen: (H, W) bool, where the background is known.
        face_height: pixels.
    """
    window = _window(head, 0)
    if window is None:
        return
    shown, own, alpha = plate[window], frame[window], head[window]
    guessed = cv2.compare(largest(cv2.absdiff(shown, own)), 0, cv2.CMP_GT) > 0
    rows, columns = np.nonzero(guessed & ~seen[window] & (alpha < GUESSED[0]))
    if not rows.size:
        return
    share = alpha[rows, columns, None]
    guess = shown[rows, columns].astype(np.float32)
    change = smoothstep(*GUESSED, share) * (possible_behind(guess, own[rows, columns], share) - guess)
    wrong = np.zeros(alpha.shape, np.uint8)
    wrong[rows, columns] = np.abs(change).max(1) > WRONG
    wrong = cv2.morphologyEx(wrong, cv2.MORPH_OPEN, disc(FRINGE * face_height))
    is_wrong = wrong[rows, columns] > 0
    shown[rows[is_wrong], columns[is_wrong]] = np.clip(np.rint((guess + change)[is_wrong]), 0, 255)


@dataclass(frozen=True)
class BehindHead:
    """What a plate shows where the head is.

    Attributes:
        frame: (H, W, 3) uint8.
        background: (H, W, 3) float32.
        head, body: (H, W) float32 mattes.
        window: the head's, rows and columns (h, w).
        extended: the body behind the head, there.
        wide: (h, w) float32, what is replaced with background.
        neck: whether the body is extended.
    """

    frame: np.ndarray
    background: np.ndarray
    head: np.ndarray
    body: np.ndarray
    window: tuple[slice, slice]
    extended: ExtendedBody
    wide: np.ndarray
    neck: bool

    def cover_by_kernel(self, plate: np.ndarray) -> None:
        """As `cover`, compiled."""
        from .frame_kernels import cover_head

        extended, corner = self.extended, (self.window[0].start, self.window[1].start)
        darkening = np.array([extended.reach_px, SHADE], np.float32)
        cover_head(
            self.frame, self.background, self.head, self.body, corner, extended.colour, extended.matte, extended.lowest,
            darkening, self.wide, np.float32(self.neck), plate,
        )  # fmt: skip

    def cover(self, plate: np.ndarray) -> None:
        """`frame_kernels.cover_head` by OpenCV and NumPy: its oracle, and what runs without Numba.

        Args:
            plate: (H, W, 3) uint8, written in the window.
        """
        extended = self.extended
        frame, background, head, body = (
            image[self.window] for image in (self.frame, self.background, self.head, self.body)
        )
        rows = np.arange(len(head), dtype=np.float32)[:, None]
        shade = 1.0 - SHADE * np.clip((extended.lowest - rows) / np.float32(extended.reach_px), 0.0, 1.0)
        colour = cv2.merge([shade * channel for channel in extended.colour.T])
        # Only behind the head and the body: it must not show beside a narrow jaw.
        share = extended.matte * smoothstep(0.5, 1.0, head + body) * float(self.neck)
        zone = np.maximum(self.wide * (1.0 - body), smoothstep(0.0, 0.8, head))
        shown = mixed(frame, mixed(background, colour, share), zone)
        # Of what the head half covers, the frame limits the colour: with no colour of the head could another one become the frame.
        possible = possible_behind(shown, frame, head[..., None])
        share = smoothstep(0.8, 1.0, head + body) * smoothstep(0.9, 0.5, head)
        plate[self.window] = to_bytes(mixed(shown, possible, share))


@dataclass(frozen=True)
class ExtendedBody:
    """The body's border with the head, extended upwards behind the head."""

    colour: np.ndarray
    """(W, 3) float32, 0 to 255, of each column; it darkens by `SHADE` from `lowest` up."""
    matte: np.ndarray
    """(H, W) float32, zero where no body is below."""
    lowest: np.ndarray
    """(W) float32, the lowest row of the head, H where there is none."""
    reach_px: float
    """Over how many pixels it darkens."""


def extend_body(
    frame: np.ndarray,
    body: np.ndarray,
    hair: np.ndarray,
    head: np.ndarray,
    neck: Neck,
    face_height: float,
    bridge_px: np.ndarray,
) -> ExtendedBody:
    """Extend the body's border with the head upwards behind the head, column by column.

    Args:
        frame: (H, W, 3) uint8.
        body: (H, W) float32 matte of torso and neck.
        hair: (H, W) float32, how likely a pixel is hair: behind a collar the neck is extended.
        head: (H, W) bool, what is to be covered.
        neck: its colour where neither skin nor hair is visible, and which colours are its skin.
        face_height: pixels.
        bridge_px: (2) the bridge of the nose, which the mouth does not move.
    """
    matte, lowest = neck_coverage(head, body, face_height, bridge_px)
    shadow, strip = _shadow_and_strip(face_height)
    sums = np.empty((len(lowest), 4), np.float32)
    if has_numba():
        from .frame_kernels import strip_sums as sum_strip
    else:
        sum_strip = strip_sums
    sum_strip(frame, body, hair, neck.likeness, lowest, shadow, strip, sums)
    columns = sums[None] / strip
    # Low frequencies only; a column without skin or hair takes its colour from the nearest with some, or the usual one.
    mixed = 0.02 * np.append(neck.colour, 1.0).astype(np.float32)
    for spread, gain in ((0.04, 1.0), (0.12, 0.3)):
        mixed = mixed + gain * cv2.GaussianBlur(columns, (0, 0), sigmaX=max(0.8, spread * face_height), sigmaY=0.1)[0]
    return ExtendedBody(mixed[:, :3] / mixed[:, 3:], matte, lowest, 0.4 * face_height)


def strip_sums(
    frame: np.ndarray,
    body: np.ndarray,
    hair: np.ndarray,
    likeness: np.ndarray,
    lowest: np.ndarray,
    shadow: int,
    strip: int,
    sums: np.ndarray,
) -> None:
    """`frame_kernels.strip_sums` by NumPy: its oracle, and what runs without Numba."""
    depth = np.arange(len(frame), dtype=np.float32)[:, None] - lowest
    weight = body * ((depth > shadow) & (depth <= shadow + strip))
    skin = likeness[colour_bins(frame)] * (1.0 - hair)
    weight = weight * np.maximum(skin, hair)
    sums[:, :3], sums[:, 3] = np.einsum("hwc,hw->wc", frame, weight), weight.sum(axis=0)


def neck_coverage(
    head: np.ndarray, body: np.ndarray, face_height: float, bridge_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where a body is behind the head: the part of `extend_body` that colours have no say in.

    Args:
        head, body, face_height, bridge_px: as `extend_body` has them.

    Returns:
        matte (H, W) float32 of the hidden body, and (W) float32, the lowest row of the head in each column, H where there
        is none.
    """
    height = len(head)
    rows = np.arange(height, dtype=np.float32)[:, None]
    occupied = head.any(axis=0)
    lowest = np.where(occupied, height - 1 - np.argmax(head[::-1], axis=0), height).astype(np.float32)
    _, strip = _shadow_and_strip(face_height)
    under = slice(int(lowest.min()), None)  # no column's border is higher
    depth = rows[under] - lowest
    visible = np.clip(height - 1 - lowest, 1, strip)
    coverage = (body[under] * ((depth > 0) & (depth <= strip))).sum(axis=0) / visible
    # Where the head reaches the lower edge of the image, the body is below it, unseen.
    coverage = np.where(lowest >= height - 3, 1.0, coverage) * occupied
    gap = np.ones((1, 2 * round(0.05 * face_height) + 1), np.uint8)
    coverage = cv2.morphologyEx(coverage[None].astype(np.float32), cv2.MORPH_CLOSE, gap)
    coverage = cv2.GaussianBlur(coverage, (0, 0), sigmaX=max(0.6, 0.01 * face_height))[0]
    reach = smoothstep(REACH[1], REACH[0], (rows - bridge_px[1]) / face_height)
    beside = smoothstep(*BESIDE, np.abs(np.arange(len(lowest)) + 0.5 - bridge_px[0]) / face_height)
    hanging = smoothstep(HANGING, 0.0, (lowest - rows) / face_height)
    return (coverage * reach * (1.0 - beside * (1.0 - hanging))).astype(np.float32), lowest


def _shadow_and_strip(face_height: float) -> tuple[int, int]:
    """Pixels of `SHADOW` and `STRIP`."""
    return max(1, round(SHADOW * face_height)), max(2, round(STRIP * face_height))


def _window(head: np.ndarray, margin: int) -> tuple[slice, slice] | None:
    """The head's bounding box with a margin."""
    rows, columns = np.flatnonzero((head > 0.02).any(axis=1)), np.flatnonzero((head > 0.02).any(axis=0))
    if rows.size == 0:
        return None
    return (
        slice(max(0, rows[0] - margin), min(head.shape[0], rows[-1] + margin + 1)),
        slice(max(0, columns[0] - margin), min(head.shape[1], columns[-1] + margin + 1)),
    )
