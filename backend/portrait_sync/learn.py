"""The model of a clip, from frames spread over it: its background and noise, the subject's colours, where the hair is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..workspace.arrays import smoothstep
from ..workspace.subject import ALPHA_BACKGROUND
from .background import (
    SELDOM,
    disagreeing,
    fill_unseen,
    masked_median,
    still_background,
    temporal_noise,
    without_specks,
)
from .colours import ColourTables, Neck, SubjectColours, colour_bins
from .exemplar import continue_into
from .fill import disc, without_notches
from .frame import ClipModel, person_and_background
from .head_region import BROW, FACE_OVAL, MAP_SHAPE, NOSE_BRIDGE, FaceFrame, face_frame, face_oval, into_map, map_axes
from .moving_camera.camera_motion import camera_motion
from .moving_camera.moving import MovingCamera
from .pixels import largest
from .segmenter import probability_of

SAMPLES = 64
SIDES, FURTHEST = 12, 3
"""In so many directions as many frames each are sampled as well in which the head is furthest that way: they show most of the
background beside it."""
SPECK = 0.008
"""Background is known in pieces that hold a disc of this radius, in sides of the frame."""
NOTCH = 0.06
"""Half the width of a notch in the crown that is none, in face heights: dark roots before a dark wall. Of a wider one the wall counts."""
LOBES = -0.3  # height of the ear lobes in the head's plane, face heights down from the chin


@dataclass(frozen=True)
class _Face:
    """A sampled frame that shows the face, at the size of the network's mask."""

    image: np.ndarray
    """(h, w, 3) uint8."""
    probability: np.ndarray
    """(h, w) float32, of the person."""
    points: np.ndarray
    """(478, 2) landmarks in the working frame."""
    axes: FaceFrame
    scale: float
    """The mask's size over the frame's."""
    hair: np.ndarray | None
    """(h, w) float32, of hair, by its network; None without one."""

    @classmethod
    def of(cls, frame: np.ndarray, probability: np.ndarray, points: np.ndarray, hair: np.ndarray | None) -> _Face:
        size = probability.shape[::-1]
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        hair = None if hair is None else cv2.resize(hair, size, interpolation=cv2.INTER_AREA)
        return cls(small, probability, points, face_frame(points), len(probability) / len(frame), hair)

    def oval(self, grow: float) -> np.ndarray:
        return face_oval(self.points, self.probability.shape, self.scale, grow)

    def coordinates(self) -> tuple[np.ndarray, np.ndarray]:
        return self.axes.coordinates(self.probability.shape, self.scale)


def learn_clip(
    read_frame: Callable[[int], np.ndarray],
    segment: Callable[[np.ndarray], np.ndarray],
    landmarks_px: np.ndarray,
    usable: np.ndarray,
    each: Callable[[int, int], None] = lambda done, total: None,
    read_alpha: Callable[[int], np.ndarray | None] = lambda index: None,
    segment_hair: Callable[[np.ndarray], np.ndarray] | None = None,
    shown: np.ndarray | None = None,
) -> ClipModel:
    """Fit the clip's model to frames spread over it.

    Args:
        read_frame: returns frame i as (S, S, 3) uint8.
        segment: the network's person probability of a frame.
        landmarks_px: (N, 478, 2).
        usable: (N) bool, where the landmarks are valid.
        each: called with (done, total) after each piece of work.
        read_alpha: returns the clip's alpha of frame i as (S, S) uint8, None where it has none.
        segment_hair: a network's hair probability of a frame; without one, hair is known by its colours.
        shown: (S, S) uint8, 0 where the working frame is beyond the source's edge; None where it nowhere is.
    """
    count = len(usable)
    indices = sampled_frames(landmarks_px, usable)
    heights = [face_frame(points).height for points in landmarks_px[usable]]
    total = 2 * len(indices)
    samples, probabilities, alphas = [], [], []
    for done, index in enumerate(indices, 1):
        samples.append(read_frame(index))
        alpha = read_alpha(index)
        alphas.append(alpha)
        probabilities.append(segment(samples[-1]) if alpha is None else probability_of(alpha))
        each(done, total)
    frames = np.stack(samples)
    side = frames.shape[1]
    face_height = float(np.median(heights)) if heights else side / 2.5

    # First pass: a wide margin around the person, as the network misses ears and wisps of hair.
    hidden = np.stack([_grown(probability > 0.1, side, 0.09 * face_height) for probability in probabilities])
    background, seen = masked_median(frames, hidden)
    noise = temporal_noise(frames, hidden, background)
    near, still = still_beside_person(
        frames, probabilities, seen, landmarks_px[indices], usable[indices], noise, face_height
    )
    background[still], seen[still] = near[still], len(indices)
    faces = [
        _Face.of(frame, probability, landmarks_px[index], segment_hair(frame) if segment_hair else None)
        for frame, probability, index in zip(frames, probabilities, indices, strict=True)
        if usable[index]
    ]
    colours = learn_colours(faces)
    hair_map = learn_hair_map(faces, colours) if segment_hair is None else network_hair_map(faces)
    neck = Neck.of(neck_colour(faces, colours, len(indices)), colours.skin)
    if alphas[0] is not None:  # the background of the person is known
        plain, everywhere = np.full_like(background, ALPHA_BACKGROUND), np.ones_like(seen, bool)
        return ClipModel(plain, everywhere, np.ones_like(noise), colours, hair_map, neck, face_height)
    moves = camera_motion(frames, probabilities)
    model = ClipModel(fill_unseen(background, seen > 0), seen > 0, noise, colours, hair_map, neck, face_height, moves)
    moving = MovingCamera.register(frames, probabilities, shown) if moves else None
    if moving is not None:
        moving = moving.refined(model := moving.model(model, frames, hidden, 1))
        model = replace(model, camera=moving.canvas.path)
    brows_px = [landmarks_px[index][BROW, 1] if usable[index] else 0.0 for index in indices]
    # Second pass: with that background the border is known closely, so more of the background is visible.
    for position, frame in enumerate(frames):
        alpha, _ = person_and_background(frame, model.at(position, side), probabilities[position])
        shown_person = closed_crown(alpha > 0.03, brows_px[position], NOTCH * face_height)
        hidden[position] = _grown(shown_person, side, max(2.0, 0.02 * face_height))
        if moving is None:  # else a place of the frame is none of the background
            hidden[position] &= ~still | (largest(cv2.absdiff(frame, near)) > 3.0 + 3.0 * noise)
        each(len(indices) + position + 1, total)
    if moving is not None:
        model = moving.model(model, frames, hidden, min(3, len(indices)))
        model = replace(model, background=continue_into(model.background, model.seen, side))
        return moving.all_frames(model, indices, count, read_frame, segment, lambda: each(total, total))
    background, seen = masked_median(frames, hidden)
    enough = (seen >= min(3, len(indices))) & ~disagreeing(frames, hidden, background)
    enough = without_specks(enough, SPECK * side)
    noise = temporal_noise(frames, hidden, background)
    background = continue_into(fill_unseen(background, enough), enough, side)
    return ClipModel(background, enough, noise, colours, hair_map, neck, face_height, moves)


def sampled_frames(landmarks_px: np.ndarray, usable: np.ndarray) -> list[int]:
    """Numbers of the frames that a clip's model is fitted to, in order: `SAMPLES` spread over it, and those that show most of the
    background beside the head.

    Args:
        landmarks_px: (N, 478, 2); usable: (N) bool, where they are valid.
    """
    count = len(usable)
    spread = np.linspace(0, count - 1, min(SAMPLES, count)).astype(int)
    faces, chosen = np.flatnonzero(usable), set(spread.tolist())
    if len(faces) > SAMPLES:
        outline = landmarks_px[faces][:, list(FACE_OVAL)].astype(np.float64)
        angles = np.arange(SIDES) * 2 * np.pi / SIDES
        reach = (outline @ np.stack([np.cos(angles), np.sin(angles)])).max(1)  # of each face in each direction
        chosen.update(faces[np.argsort(reach, 0, kind="stable")[:FURTHEST].ravel()].tolist())
    return sorted(chosen)


def still_beside_person(
    frames: np.ndarray,
    probabilities: list[np.ndarray],
    seen: np.ndarray,
    points: np.ndarray,
    usable: np.ndarray,
    noise: np.ndarray,
    face_height: float,
) -> tuple[np.ndarray, np.ndarray]:
    """`still_background` of what the wide margin hides in most frames, with as narrow a one as the network's answer allows.

    What it leaves free in less than `SELDOM` is looked at again: a backdrop that moves shows something else in these few than in all
    others.
    """
    hidden = np.stack([_grown(mask > 0.5, frames.shape[1], 0.01 * face_height) for mask in probabilities])
    heads = np.where(usable[:, None], points[:, NOSE_BRIDGE].astype(np.float64), np.nan) / face_height
    level = float(np.median(noise[seen > 0])) if (seen > 0).any() else 1.0
    return still_background(frames, hidden, seen < SELDOM * len(frames), heads, level)


def learn_colours(faces: list[_Face]) -> ColourTables:
    """The subject's colours, see `SubjectColours`."""
    colours = SubjectColours()
    for face in faces:
        across, down = face.coordinates()
        radius = 0.02 * face.axes.height * face.scale
        person = cv2.erode((face.probability > 0.9).astype(np.uint8), disc(radius)) > 0
        outside = face.oval(0.05) == 0
        # Above the brows, and what hangs down beyond the ears: it is too high to be a shoulder.
        high = ((down < -0.75) & (np.abs(across) < 0.8)) | ((down < -0.35) & (np.abs(across) > 0.5))
        colours.add(
            face.image,
            hair=person & outside & high,
            face=face.oval(-0.05) > 0.9,
            neck=person & outside & (np.abs(across) < 0.15) & (down > 0.04) & (down < 0.2),
            clothing=person & ((down > 0.35) | ((down > -0.1) & (np.abs(across) > 0.75))),
        )
    return colours.tables()


def neck_colour(faces: list[_Face], colours: ColourTables, frames: int) -> np.ndarray:
    """The neck's colour just below the chin, (3) float32, 0 to 255: the median of what is skin there.

    Where a collar hides it in all frames, the face's colour in shadow.
    """
    necks, lit = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for face in faces:
        across, down = face.coordinates()
        inner, outer = (face.oval(width) > 0.5 for width in (0.03, 0.09))
        below = outer & ~inner & (np.abs(across) < 0.3) & (down > -0.2) & (face.probability > 0.9)
        necks.append(face.image[below & (colours.skin[colour_bins(face.image)] > 0.8)])
        lit.append(face.image[(face.oval(-0.1) > 0.9) & (down > -0.4)][::4])
    neck, skin = np.concatenate(necks), np.concatenate(lit)
    if len(neck) >= 20 * frames:
        return np.median(neck, axis=0).astype(np.float32)
    return (0.6 * np.median(skin, axis=0)).astype(np.float32) if len(skin) else np.full(3, 90.0, np.float32)


def learn_hair_map(faces: list[_Face], colours: ColourTables) -> np.ndarray:
    """Where the hair is in the head's plane: (MAP_SHAPE) float32 in [0, 1].

    Averaged over the clip in the head's frame: the border it gives moves with the head without flicker.
    """
    totals = np.zeros((5, *MAP_SHAPE), np.float32)
    tables = None, colours.hair, colours.scalp, colours.skin, colours.clothing
    for face in faces:
        bins = colour_bins(face.image)
        for total, table in zip(totals, tables, strict=True):
            mask = face.probability if table is None else table[bins] * face.probability
            total += into_map(mask, face.axes, face.scale)
    person, hair, scalp, skin, clothing = (
        cv2.GaussianBlur(total / max(len(faces), 1), (0, 0), 1.0) for total in totals
    )
    # Relative to the frames that show the person there: a turned head has hair where a straight one shows background.
    seen = person + 0.1
    hair = np.where((map_axes()[1] < LOBES)[:, None], scalp, hair) / seen
    return hanging_hair(hair, skin / seen, clothing / seen, person)


def network_hair_map(faces: list[_Face]) -> np.ndarray:
    """As `learn_hair_map`, by the network, which knows hanging hair from a neck of its colour and from a dark jacket."""
    hair, person = np.zeros((2, *MAP_SHAPE), np.float32)
    for face in faces:
        assert face.hair is not None
        hair += into_map(face.hair, face.axes, face.scale)
        person += into_map(face.probability, face.axes, face.scale)
    hair, person = (cv2.GaussianBlur(total / max(len(faces), 1), (0, 0), 1.0) for total in (hair, person))
    return smoothstep(0.25, 0.6, hair / (person + 0.1))


def hanging_hair(hair: np.ndarray, skin: np.ndarray, clothing: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Where the hair is. Below the ear lobes it must hang down from hair above, or a dark jacket would count as hair.

    Args:
        hair, skin, clothing: (MAP_SHAPE) float32, how likely the person is each at that place.
        person: (MAP_SHAPE) float32, how often the person is there.

    Returns:
        (MAP_SHAPE) float32 in [0, 1].
    """
    across, down = map_axes()
    result = smoothstep(0.3, 0.6, hair)
    # Beyond the ears, at this height, only hair belongs to a person, in any colour.
    beyond = smoothstep(0.48, 0.58, np.abs(across))[None] * smoothstep(0.3, 0.7, person)
    first = int(np.searchsorted(down, LOBES))
    result[:first] = np.maximum(result[:first], beyond[:first])
    # Further down, hair is what is neither skin nor clothing: in its own shadow it has no distinct colour.
    other = smoothstep(0.7, 0.3, skin) * smoothstep(0.2, 0.5, person)
    likely = np.maximum(smoothstep(0.45, 0.7, hair), np.maximum(beyond, other) * smoothstep(0.6, 0.3, clothing))
    likely *= smoothstep(0.24, 0.32, np.abs(across))[None]  # mouth, chin, throat and tie
    for row in range(first, len(down)):
        above = cv2.dilate(result[row - 1][None], np.ones((1, 3), np.uint8))[0]
        result[row] = np.minimum(likely[row], above)
    return result


def closed_crown(mask: np.ndarray, brow_px: float, notch_px: float) -> np.ndarray:
    """A person's mask (H, W) without notches above the brows: dark roots before a dark wall leave some, and are none of the wall."""
    above = max(0, min(len(mask), round(brow_px)))
    if not above:
        return mask
    return np.concatenate([without_notches(mask[:above].astype(np.uint8), notch_px) > 0, mask[above:]])


def _grown(mask: np.ndarray, side: int, radius_px: float) -> np.ndarray:
    """A mask (h, w) as (side, side), grown by `radius_px` of the larger."""
    scale = mask.shape[0] / side
    grown = cv2.dilate(mask.astype(np.uint8), disc(radius_px * scale))
    return cv2.resize(grown, (side, side), interpolation=cv2.INTER_NEAREST) > 0
