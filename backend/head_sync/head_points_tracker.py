"""Head points tracker: texture of the skull, tracked from several reference frames by optical flow.

Landmarks are detected again in each frame and jitter with the network's errors. Patches of skin that are matched with
one
reference image do not: every frame is compared with the references directly, never by way of its neighbours, so nothing
drifts and nothing crosses a cut. Each frame is first aligned to the reference by the affine map that the two poses from
landmarks predict, which leaves the flow a few pixels to find.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from ..workspace.camera import PIXEL_CENTRE
from ..workspace.poses import project
from ..workspace.shapes import Bool, Float, Int, UInt8
from .face_geometry import PUPIL_DISTANCE_M
from .head_motion_tracker import HeadMotion
from .head_points_choice import (
    Reference,
    choose_references,
    even_contrast,
    fit_affine,
    make_references,
    rotation_between_deg,
)
from .patch_flow import Pyramid, match
from .shapes import Marks, Principal

MAX_TURN_DEG = 20.0
"""Rotation from a reference beyond which skin looks too different to match. Within it every frame is compared with every
reference: a point that is tracked over a few degrees looks flatter than it is, and the head's rotations larger (on a
rendered head by 5 to 10 %)."""

FORWARD_BACKWARD_PX = 0.5
"""Largest difference between flow there and flow back."""

WINDOW = 0.25
"""Side of the patch that is matched, in distances between the pupils."""

MAX_PATCH_DIFFERENCE = 24.0
"""Mean difference between a patch and its match, in levels of evened grey (whose deviation is 40), beyond which it is
another patch."""

MAX_FLOW = 0.12
"""Farthest match from the predicted place, in distances between the pupils."""

GreyFrame = Callable[[int], np.ndarray]
"""Frame number to its image in grey, (S, S) uint8."""


@dataclass(frozen=True)
class HeadPoints:
    """K points of the head seen in N frames.

    Attributes:
        points_head_m: first guess, from the face's surface.
        reference: the frame in which each was chosen.
        on_face: on the upper face; else on hair and ears, or behind them.
    """

    points_head_m: Float[np.ndarray, "k 3"]
    points_px: Float[np.ndarray, "n k 2"]
    seen: Bool[np.ndarray, "n k"]
    reference: Int[np.ndarray, " k"]
    on_face: Bool[np.ndarray, " k"]


def track_head_points(
    read_grey: GreyFrame,
    landmarks_px: Marks,
    motion: HeadMotion,
    principal: Principal,
    keypoints: str = "corners",
    on_frame: Callable[[int], None] = lambda done: None,
) -> HeadPoints:
    """Choose points of the skull in reference frames and find them in all known frames.

    Args:
        motion: by `track_head_motion`.
        keypoints: `corners` of the image (Shi and Tomasi 1994), or of three times as many the third whose dense flow
            bends most (`flow-most`, as the paper words it) or least (`flow-least`), by its Laplacian.
        on_frame: called with the number of frames finished; may raise to stop.
    """
    poses, known, focal = motion.poses, motion.known, motion.focal.px
    pupil_px = focal * PUPIL_DISTANCE_M / float(np.median(poses[known, 2, 3]))
    window = int(np.clip(round(pupil_px * WINDOW), 9, 41)) | 1
    images = {frame: even_contrast(read_grey(frame), pupil_px) for frame in choose_references(poses, known)}
    references = make_references(images, landmarks_px, motion, principal, pupil_px, window, keypoints)
    frames, count = len(poses), references[-1].part.stop if references else 0
    points_px = np.zeros((frames, count, 2), np.float32)
    seen = np.zeros((frames, count), bool)
    rotation = poses[:, :3, :3]
    turns_deg = [rotation_between_deg(rotation, rotation[reference.frame]) for reference in references]

    def track(frame: int) -> None:
        image = even_contrast(read_grey(frame), pupil_px)
        for reference, turn_deg in zip(references, turns_deg, strict=True):
            if turn_deg[frame] < MAX_TURN_DEG:
                guess = project(poses[frame : frame + 1], reference.points_head_m, focal, principal)[0]
                match = _match(reference, image, guess, window, MAX_FLOW * pupil_px)
                points_px[frame, reference.part], seen[frame, reference.part] = match

    todo = np.flatnonzero(known) if references else []
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        jobs = [pool.submit(track, int(frame)) for frame in todo]
        try:
            for done, job in enumerate(jobs):
                job.result()
                on_frame(done + 1)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return HeadPoints(
        np.concatenate([np.zeros((0, 3)), *(reference.points_head_m for reference in references)]),
        points_px,
        seen,
        np.repeat([r.frame for r in references], [len(r.points_px) for r in references]).astype(int),
        np.concatenate([np.zeros(0, bool), *(reference.on_face for reference in references)]),
    )


def _match(
    reference: Reference, image: UInt8[np.ndarray, "h w"], guess: Float[np.ndarray, "k 2"], window: int, reach_px: float
) -> tuple[Float[np.ndarray, "k 2"], Bool[np.ndarray, " k"]]:
    """Pixels of the reference's points in another frame, and which of them can be trusted."""
    # OpenCV's pixels from here.
    start = reference.points_px - reference.corner - PIXEL_CENTRE
    guess = guess - PIXEL_CENTRE
    affine = fit_affine(guess, start)
    aligned = Pyramid.of(cv2.warpAffine(image, affine, reference.image.shape[::-1], flags=cv2.INTER_LINEAR))
    aim = guess @ affine[:, :2].T + affine[:, 2]
    there, good, difference = match(reference.pyramid, aligned, start, aim, window)
    good &= np.linalg.norm(there - aim, axis=1) < reach_px
    good &= difference < MAX_PATCH_DIFFERENCE
    # The way back begins at the mirrored guess, as if the answer were not known.
    back, found, _ = match(aligned, reference.pyramid, there[good], (there + start - aim)[good], window)
    good[good] = found & (np.linalg.norm(back - start[good], axis=1) < FORWARD_BACKWARD_PX)
    inverse = np.linalg.inv(affine[:, :2])
    return ((there - affine[:, 2]) @ inverse.T + PIXEL_CENTRE).astype(np.float32), good
