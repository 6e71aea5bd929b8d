"""What a clip teaches about itself: its background, its noise, the colours of the subject's hair."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..workspace.arrays import smoothstep
from ..workspace.subject import ALPHA_BACKGROUND
from .background import fill_unseen, masked_median, temporal_noise
from .camera_motion import camera_motion
from .colours import ColourTables, Neck, SubjectColours, colour_bins
from .fill import disc
from .frame import ClipModel, person_and_background
from .head_region import MAP_SHAPE, face_frame, face_oval, into_map, map_axes
from .segmenter import probability_of

SAMPLES = 64
LOBES = -0.3  # the height of the ear lobes in the head's plane, face heights down from the chin


def learn_clip(
    read_frame: Callable[[int], np.ndarray],
    segment: Callable[[np.ndarray], np.ndarray],
    landmarks_px: np.ndarray,
    usable: np.ndarray,
    each: Callable[[int, int], None] = lambda done, total: None,
    read_alpha: Callable[[int], np.ndarray | None] = lambda index: None,
) -> ClipModel:
    """Learn the clip's model from frames spread over it.

    Args:
        read_frame: gives frame i as (S, S, 3) uint8.
        segment: the network's person probability of a frame.
        landmarks_px: (N, 478, 2).
        usable: (N) bool, where the landmarks hold.
        each: called with (done, total) after each piece of work.
        read_alpha: gives the clip's own alpha of frame i as (S, S) uint8, None where it has none.
    """
    count = len(usable)
    indices = np.unique(np.linspace(0, count - 1, min(SAMPLES, count)).astype(int))
    heights = [face_frame(points).height for points in landmarks_px[usable]]
    total = 2 * len(indices)
    frames, probabilities, alphas = [], [], []
    for done, index in enumerate(indices):
        frames.append(read_frame(int(index)))
        alphas.append(read_alpha(int(index)))
        probabilities.append(segment(frames[-1]) if alphas[-1] is None else probability_of(alphas[-1]))
        each(done + 1, total)
    frames = np.stack(frames)
    side = frames.shape[1]
    face_height = float(np.median(heights)) if heights else side / 2.5

    # First look: keep well away from the person, for the network misses ears and wisps of hair.
    hidden = np.stack([_grown(probability > 0.1, side, 0.09 * face_height) for probability in probabilities])
    background, seen = masked_median(frames, hidden)
    noise = temporal_noise(frames, hidden, background)
    colours = learn_colours(frames, probabilities, indices, landmarks_px, usable)
    hair_map = learn_hair_map(frames, probabilities, indices, landmarks_px, usable, colours)
    neck = Neck.of(neck_colour(frames, probabilities, indices, landmarks_px, usable, colours), colours.skin)
    if alphas[0] is not None:  # What the person was composited over is known.
        plain, everywhere = np.full_like(background, ALPHA_BACKGROUND), np.ones_like(seen, bool)
        return ClipModel(plain, everywhere, np.ones_like(noise), colours, hair_map, neck, face_height)
    moves = camera_motion(frames, probabilities)
    model = ClipModel(fill_unseen(background, seen > 0), seen > 0, noise, colours, hair_map, neck, face_height)
    # Second look: with that background the border is known closely, so more of the background is seen.
    for position, frame in enumerate(frames):
        alpha, _ = person_and_background(frame, model, probabilities[position])
        hidden[position] = _grown(alpha > 0.03, side, max(2.0, 0.02 * face_height))
        each(len(indices) + position + 1, total)
    background, seen = masked_median(frames, hidden)
    enough = seen >= min(3, len(indices))
    noise = temporal_noise(frames, hidden, background)
    return ClipModel(fill_unseen(background, enough), enough, noise, colours, hair_map, neck, face_height, moves)


def learn_colours(
    frames: np.ndarray,
    probabilities: list[np.ndarray],
    indices: np.ndarray,
    landmarks_px: np.ndarray,
    usable: np.ndarray,
) -> ColourTables:
    """The subject's colours from the frames that have a face, see `SubjectColours`."""
    colours = SubjectColours()
    shape = probabilities[0].shape
    for frame, probability, index in zip(frames, probabilities, indices):  # noqa: B905
        if not usable[index]:
            continue
        small = cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA)
        scale = shape[0] / frame.shape[0]
        points = landmarks_px[index]
        axes = face_frame(points)
        across, down = axes.coordinates(shape, scale)
        person = cv2.erode((probability > 0.9).astype(np.uint8), disc(0.02 * axes.height * scale)) > 0
        outside = face_oval(points, shape, scale, grow=0.05) == 0
        colours.add(
            small,
            # Above the brows, and what hangs down beyond the ears: it is too high to be a shoulder.
            hair=person
            & outside
            & (((down < -0.75) & (np.abs(across) < 0.8)) | ((down < -0.35) & (np.abs(across) > 0.5))),
            face=face_oval(points, shape, scale, grow=-0.05) > 0.9,
            neck=person & outside & (np.abs(across) < 0.15) & (down > 0.04) & (down < 0.2),
            clothing=person & ((down > 0.35) | ((down > -0.1) & (np.abs(across) > 0.75))),
        )
    return colours.tables()


def neck_colour(
    frames: np.ndarray,
    probabilities: list[np.ndarray],
    indices: np.ndarray,
    landmarks_px: np.ndarray,
    usable: np.ndarray,
    colours: ColourTables,
) -> np.ndarray:
    """The neck's colour just below the chin, (3) float32, 0 to 255: the median of what is skin there.

    Where a collar hides it in all frames, the face's colour in shadow.
    """
    shape = probabilities[0].shape
    neck, face = [np.zeros((0, 3))], [np.zeros((0, 3))]
    for frame, probability, index in zip(frames, probabilities, indices):  # noqa: B905
        if not usable[index]:
            continue
        small = cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA)
        axes, scale = face_frame(landmarks_px[index]), shape[0] / frame.shape[0]
        across, down = axes.coordinates(shape, scale)
        grown = [face_oval(landmarks_px[index], shape, scale, grow=width) > 0.5 for width in (0.03, 0.09)]
        below = grown[1] & ~grown[0] & (np.abs(across) < 0.3) & (down > -0.2) & (probability > 0.9)
        neck.append(small[below & (colours.skin[colour_bins(small)] > 0.8)])
        face.append(small[(face_oval(landmarks_px[index], shape, scale, grow=-0.1) > 0.9) & (down > -0.4)][::4])
    neck, face = np.concatenate(neck), np.concatenate(face)
    if len(neck) >= 20 * len(indices):
        return np.median(neck, axis=0).astype(np.float32)
    return (0.6 * np.median(face, axis=0)).astype(np.float32) if len(face) else np.full(3, 90.0, np.float32)


def learn_hair_map(
    frames: np.ndarray,
    probabilities: list[np.ndarray],
    indices: np.ndarray,
    landmarks_px: np.ndarray,
    usable: np.ndarray,
    colours: ColourTables,
) -> np.ndarray:
    """Where the hair is in the head's plane: (MAP_SHAPE) float32 in [0, 1].

    Averaged over the clip in the head's own frame, so that the border it gives moves with the head without flicker.
    """
    totals = np.zeros((5, *MAP_SHAPE), np.float32)
    shape, count = probabilities[0].shape, 0
    for frame, probability, index in zip(frames, probabilities, indices):  # noqa: B905
        if not usable[index]:
            continue
        bins = colour_bins(cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA))
        axes, scale = face_frame(landmarks_px[index]), shape[0] / frame.shape[0]
        for total, table in zip(totals, (None, colours.hair, colours.scalp, colours.skin, colours.clothing)):  # noqa: B905
            total += into_map(probability if table is None else table[bins] * probability, axes, scale)
        count += 1
    person, hair, scalp, skin, clothing = (cv2.GaussianBlur(total / max(count, 1), (0, 0), 1.0) for total in totals)
    # Of the frames that show the person there: a turned head has its hair where a straight one shows background.
    seen = person + 0.1
    hair = np.where((map_axes()[1] < LOBES)[:, None], scalp, hair) / seen
    return hanging_hair(hair, skin / seen, clothing / seen, person)


def hanging_hair(hair: np.ndarray, skin: np.ndarray, clothing: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Where the hair is. Below the ear lobes it must hang down from hair above, so that a dark jacket is none.

    Args:
        hair, skin, clothing: (MAP_SHAPE) float32, how much the person at that place looks like each.
        person: (MAP_SHAPE) float32, how often the person is there.

    Returns:
        (MAP_SHAPE) float32 in [0, 1].
    """
    across, down = map_axes()
    result = smoothstep(0.3, 0.6, hair)
    # Beyond the ears nothing but hair belongs to a person at this height, whatever its colour.
    beyond = smoothstep(0.48, 0.58, np.abs(across))[None] * smoothstep(0.3, 0.7, person)
    first = int(np.searchsorted(down, LOBES))
    result[:first] = np.maximum(result[:first], beyond[:first])
    # Further down hair that hangs is known by what it is not, for in its own shadow it has no colour to know it by.
    other = smoothstep(0.7, 0.3, skin) * smoothstep(0.2, 0.5, person)
    likely = np.maximum(smoothstep(0.45, 0.7, hair), np.maximum(beyond, other) * smoothstep(0.6, 0.3, clothing))
    likely *= smoothstep(0.24, 0.32, np.abs(across))[None]  # mouth, chin, throat and tie
    for row in range(first, len(down)):
        above = cv2.dilate(result[row - 1][None], np.ones((1, 3), np.uint8))[0]
        result[row] = np.minimum(likely[row], above)
    return result


def _grown(mask: np.ndarray, side: int, radius_px: float) -> np.ndarray:
    """A mask (h, w) as (side, side), grown by `radius_px` of the larger."""
    scale = mask.shape[0] / side
    grown = cv2.dilate(mask.astype(np.uint8), disc(radius_px * scale))
    return cv2.resize(grown, (side, side), interpolation=cv2.INTER_NEAREST) > 0
