"""The mouth's blendshapes of a clip, measured again with its trained head.

Landmarks are fitted by 52 shapes that all faces share. What such a fit leaves over, of the landmarks and of the image of the mouth, is
noise and what is this person's own: how the lips round, press, lie over the teeth. The head shows which: in some hundred training
frames the blendshapes are moved until the rendered mouth is closest to the frame's, and that correction is regressed on what the fit
has left over, by weights that vary with the mouth: what a shadow says of shut lips it does not say of open ones. By this map every
frame, also one that is not trained on, gets its correction from its landmarks and its image, without a rendering: a tracker of this one
mouth.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..face_sync.blendshapes import View
from ..face_sync.calibration import offsets_m
from ..protocol import Stage
from ..renderer.head import HeadRenderer
from ..renderer.regions import LIP_INDICES
from ..workspace.camera import Camera
from ..workspace.head_track import HeadTrack
from ..workspace.landmarks import LIPS
from ..workspace.pose_track import PoseTrack
from ..workspace.shapes import Float, Int
from ..workspace.store import Workspace
from .dataset import Frame, read_frame
from .track_refinement import each_frame

if TYPE_CHECKING:
    from .field_trainer import FieldTrainer

FRAMES, MIN_FRAMES = 1000, 80
"""Training frames whose mouths are compared, spread over the clip; with fewer the blendshapes stay."""
SIZE = 256
"""Side of the frames, pixels: in larger ones the image is not linear in a change of the lips by one landmark's error."""
MAX_TIME_SHARE = 0.08
"""Of the training's time, after which no further frame is compared; none beyond the first ones where the fewest need more."""
AT_ONCE, READ_AT_ONCE = 12, 48
"""Frames that are compared, and images that are read, between two readings of the clock."""
READERS = 2
"""Threads that read images."""
DETAILS = 60
"""Principal components of what the fit leaves over of the landmarks, and as many of the image, at most."""
VIEW_M, VIEW_CELLS = (0.066, 0.050), (44, 33)
"""Width and height of the part of the head that the mouth's image shows, and its pixels."""
MAX_COVER = 25
"""Of 255: more of something before the head, and a pixel is none of the mouth."""
MAX_READING_SHARE = 0.04
"""Of the training's time, after which the clip's images are not read for their details: those of the landmarks remain."""
MAX_DETAIL = 4.0
"""In standard deviations of the training frames: landmarks that are lost are no grimace."""
CHANGE = 0.04
"""Of a blendshape, for the derivative of the image."""
PRIOR_SIGMA = 0.05
"""Standard deviation of a correction."""
PIXELS_AS_ONE = 30
"""Errors of neighbouring pixels and of the three channels go together: so many count as one."""
RIDGE = 0.3
"""Of the regression, where a frame's details have a mean square norm of 1."""
ALIKE = 3.0
"""How much more than all frames those count whose mouths are alike."""
FOLDS = 4


DetailsOf = Callable[["float | None"], np.ndarray]
"""`mouth_details` of a clip, by the training's limit in seconds."""


@dataclass(frozen=True)
class MouthError:
    """A frame's mouth beside its rendering, linear in the mouth's S blendshapes: squared error |e - J d|² of a change d.

    Attributes:
        normal: J^T J.
        gradient: J^T e.
        squared: |e|², of premultiplied colour in [0, 1].
        values: how many numbers e has.
    """

    normal: Float[np.ndarray, "s s"]
    gradient: Float[np.ndarray, " s"]
    squared: float
    values: int

    def gain(self, change: Float[np.ndarray, " s"]) -> float:
        """How much smaller the squared error is after a change of the blendshapes."""
        return float(2 * change @ self.gradient - change @ self.normal @ change)


def refine_mouth(
    trainer: FieldTrainer,
    renderers: Sequence[HeadRenderer],
    poses: Float[np.ndarray, "n 4 4"],
    blendshapes: Float[np.ndarray, "n 52"],
    limit_s: float | None,
    details_of: DetailsOf,
) -> Float[np.ndarray, "n 52"]:
    """Blendshapes of all frames of the clip, those of the mouth corrected where that brings frames closer that the map was not
    fitted to.

    Args:
        renderers: of the trained head, one thread each.
        poses, blendshapes: of all frames, as refined so far.
        limit_s: of the training, of which this may take `MAX_TIME_SHARE`; no limit where it is None.
        details_of: `mouth_details` of the clip.
    """
    track = trainer.tracking
    used = trainer.training_frames
    chosen = used[np.unique(np.linspace(0, len(used) - 1, min(FRAMES, len(used))).astype(int))]
    chosen = np.random.default_rng(trainer.seed).permutation(chosen)  # what fits into the time is spread over the clip
    if len(chosen) < MIN_FRAMES or len(track.face_head_m) == 0 or trainer.lips.inputs:
        return blendshapes
    errors = _mouth_errors(trainer, renderers, poses, blendshapes, chosen, limit_s)
    in_time = np.argsort(chosen[: len(errors)])
    chosen, errors = chosen[in_time], [errors[place] for place in in_time]
    if len(chosen) < MIN_FRAMES:
        trainer.reporter.info("The mouth is not measured again: the training is too short for it.")
        return blendshapes
    details = details_of(limit_s)
    mouth = list(LIP_INDICES)
    tracked = track.blendshapes[:, mouth]
    corrections = fitted_corrections(errors)
    if validated_gain(details[chosen], tracked[chosen], corrections, errors) <= 0:
        return blendshapes
    corrected = CorrectionMap.fit(details[chosen], tracked[chosen], corrections)(details, tracked)
    result = blendshapes.copy()
    result[:, mouth] = np.clip(result[:, mouth] + corrected, 0, 1)
    return result


def mouth_details(trainer: FieldTrainer, limit_s: float | None) -> Float[np.ndarray, "n k"]:
    """`DETAILS` of each frame's landmarks, and as many of its image where reading takes no more than `MAX_READING_SHARE` of
    `limit_s`."""
    track, tracked, used = trainer.tracking, trainer.workspace.pose_track(), trainer.training_frames
    reading_s = None if limit_s is None else MAX_READING_SHARE * limit_s
    images = image_details(trainer.workspace, track, tracked, used, DETAILS, reading_s)
    return np.concatenate([lip_details(track, tracked, used, DETAILS), images], 1)


def lip_details(
    track: HeadTrack, poses: PoseTrack, training_frames: Int[np.ndarray, " used"], count: int
) -> Float[np.ndarray, "n {count}"]:
    """What the mouth's blendshapes leave over of each frame's lip landmarks, as `_left_over` has it.

    Landmarks are taken to the head by the tracked pose.
    """
    seen = _seen(track, poses)
    found = poses.head_to_camera[seen]
    view = View(found, poses.camera.focal_px, poses.principal_px)
    lips = list(LIPS)
    places = offsets_m(track.face_head_m[lips], track.landmarks_px[seen][:, lips], view).reshape(len(found), -1)
    return _left_over(places, seen, track, training_frames, count)


def image_details(
    workspace: Workspace,
    track: HeadTrack,
    poses: PoseTrack,
    training_frames: Int[np.ndarray, " used"],
    count: int,
    limit_s: float | None,
) -> Float[np.ndarray, "n {count}"]:
    """What the mouth's blendshapes leave over of each frame's image of the mouth, as `_left_over` has it; nothing, (n, 0), where the
    images cannot be read within `limit_s`.

    The image is the brightness in a plane through the lips, which lies still in the head. Where something is before the head it is the
    mean of the clip.
    """
    seen = _seen(track, poses)
    lips = track.face_head_m[list(LIPS)].mean(0)
    across, down = ((np.arange(cells) + 0.5) / cells - 0.5 for cells in VIEW_CELLS)
    plane = lips + np.stack([*np.meshgrid(across * VIEW_M[0], down * VIEW_M[1]), np.zeros(VIEW_CELLS[::-1])], -1)
    side = workspace.subject.size
    scale = min(SIZE / side, 1.0)

    def image(index: int) -> np.ndarray:
        pose = poses.head_to_camera[index]
        points = plane @ pose[:3, :3].T + pose[:3, 3]
        pixels = poses.camera.focal_px * points[..., :2] / points[..., 2:] + poses.principal_px
        places = (pixels * scale - 0.5).astype(np.float32)

        def seen_from_head(values: np.ndarray) -> np.ndarray:
            reduced = cv2.resize(values, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            return cv2.remap(reduced, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).ravel()

        values = seen_from_head(cv2.cvtColor(workspace.read_frame(index), cv2.COLOR_RGB2GRAY)).astype(np.float32)
        cover = workspace.read_cover(index)
        if cover is not None:
            values[seen_from_head(cover) > MAX_COVER] = np.nan
        return values

    began = time.monotonic()
    images: list[np.ndarray] = []
    frames = np.flatnonzero(seen).tolist()
    with ThreadPoolExecutor(READERS) as pool:
        for first in range(0, len(frames), READ_AT_ONCE):
            images += pool.map(image, frames[first : first + READ_AT_ONCE])
            if limit_s is not None and (time.monotonic() - began) / len(images) * len(frames) > limit_s:
                return np.zeros((track.frames, 0))
    values = np.array(images)
    hidden = np.isnan(values)
    values[hidden] = 0
    means = values.sum(0) / np.maximum((~hidden).sum(0), 1)
    return _left_over(np.where(hidden, means, values), seen, track, training_frames, count)


def _seen(track: HeadTrack, poses: PoseTrack) -> np.ndarray:
    """(n) bool: frames in which the face was tracked."""
    seen: np.ndarray = track.valid & np.isfinite(poses.head_to_camera).all((1, 2))
    return seen


def _left_over(
    values: Float[np.ndarray, "seen v"],
    seen: np.ndarray,
    track: HeadTrack,
    training_frames: Int[np.ndarray, " used"],
    count: int,
) -> Float[np.ndarray, "n {count}"]:
    """Principal components of what the mouth's blendshapes do not say of some values, in standard deviations of the first one in the
    training frames; 0 in frames that were not seen.

    The others stay as small as they are: in standard deviations of their own the last ones, which are noise, would count as much.

    What is linear in the blendshapes is left out, so that a head which is driven by blendshapes alone, as by speech, is on average
    where it was.
    """
    known = np.concatenate([track.blendshapes[seen][:, LIP_INDICES], np.ones((len(values), 1))], 1)
    training = np.isin(np.flatnonzero(seen), training_frames)
    left = values - known @ np.linalg.lstsq(known[training], values[training], rcond=None)[0]
    directions = np.linalg.svd(left[training], full_matrices=False)[2][:count]
    components = left @ directions.T
    deviations = np.maximum(components[training].std(0), 1e-9)
    details = np.zeros((len(seen), len(directions)))
    details[seen] = np.clip(components, -MAX_DETAIL * deviations, MAX_DETAIL * deviations) / deviations[:1]
    return details


def mouth_error(
    renderer: HeadRenderer, camera: Camera, pose: Float[np.ndarray, "4 4"], blendshapes: np.ndarray, frame: Frame
) -> MouthError:
    """A frame's mouth beside its rendering; nothing where the mouth is outside of the frame.

    Args:
        camera: of the frame.
    """
    rows, columns = frame.alpha.shape
    x0, y0, x1, y1 = np.clip(frame.boxes[1].round().astype(int), 0, (columns, rows, columns, rows))
    shapes = len(LIP_INDICES)
    if x1 <= x0 or y1 <= y0:
        return MouthError(np.zeros((shapes, shapes)), np.zeros(shapes), 0.0, 0)
    part = slice(y0, y1), slice(x0, x1)
    crop = frame.x0 + int(x0), frame.y0 + int(y0), int(x1 - x0), int(y1 - y0)
    seen = np.ones(frame.alpha[part].shape, bool) if frame.covered is None else ~frame.covered[part]
    true = (frame.colour[part] * (frame.alpha[part][..., None] / np.float32(255 * 255)))[seen]

    def rendered(values: np.ndarray) -> np.ndarray:
        return renderer.render(camera, pose, values, crop).rgba[..., :3][seen]

    now = rendered(blendshapes)
    error = (true - now).ravel()
    jacobian = np.empty((shapes, error.size), np.float32)
    for row, shape in enumerate(LIP_INDICES):
        changed = np.array(blendshapes, np.float32)
        by = CHANGE if changed[shape] + CHANGE <= 1 else -CHANGE
        changed[shape] += by
        jacobian[row] = (rendered(changed) - now).ravel() / by
    return MouthError(jacobian @ jacobian.T, jacobian @ error, float(error @ error), error.size)


def fitted_corrections(errors: Sequence[MouthError]) -> Float[np.ndarray, "frames s"]:
    """The change of each frame's blendshapes that its image asks for: one step of Gauss-Newton with the prior `PRIOR_SIGMA`."""
    variance = PIXELS_AS_ONE * sum(error.squared for error in errors) / max(sum(error.values for error in errors), 1)
    variance = max(variance, 1e-12)
    prior = np.eye(len(LIP_INDICES)) / PRIOR_SIGMA**2
    normal = np.stack([error.normal for error in errors]) / variance + prior
    gradient = np.stack([error.gradient for error in errors]) / variance
    solved: np.ndarray = np.linalg.solve(normal, gradient[..., None])[..., 0]
    return solved


@dataclass(frozen=True)
class CorrectionMap:
    """Corrections by details: a linear map whose weights vary smoothly with the mouth's tracked blendshapes.

    Kernel ridge regression. Of two frames with details d, d' and blendshapes b, b' the kernel is d·d' (1 + `ALIKE` exp(-|b - b'|²)), in
    units in which d and b - mean(b) have a mean square norm of 1 in the fitted frames. No details, no correction: speech and sliders
    give none, so the head that they drive stays where it was.

    Attributes:
        details, mouths: of the fitted frames, in those units.
        weights: of each fitted frame, for each blendshape.
        detail_unit, mouth_unit: by which details and blendshapes are divided.
    """

    details: Float[np.ndarray, "frames k"]
    mouths: Float[np.ndarray, "frames s"]
    weights: Float[np.ndarray, "frames s"]
    detail_unit: float
    mouth_unit: float

    @classmethod
    def fit(
        cls,
        details: Float[np.ndarray, "frames k"],
        mouths: Float[np.ndarray, "frames s"],
        corrections: Float[np.ndarray, "frames s"],
    ) -> CorrectionMap:
        """The corrections' mean is left out: it would move a mouth at rest."""
        detail_unit, mouth_unit = (_norm(values) for values in (details, mouths - mouths.mean(0)))
        details, mouths = details / detail_unit, mouths / mouth_unit
        kernel = _kernel(details, mouths, details, mouths) + RIDGE * np.eye(len(details))
        return cls(details, mouths, np.linalg.solve(kernel, corrections - corrections.mean(0)), detail_unit, mouth_unit)

    def __call__(self, details: Float[np.ndarray, "n k"], mouths: Float[np.ndarray, "n s"]) -> Float[np.ndarray, "n s"]:
        """The corrections of some frames."""
        similar = _kernel(details / self.detail_unit, mouths / self.mouth_unit, self.details, self.mouths)
        corrections: np.ndarray = similar @ self.weights
        return corrections


def _norm(values: np.ndarray) -> float:
    return max(float(np.sqrt((values**2).sum(1).mean())), 1e-9)


def _kernel(details: np.ndarray, mouths: np.ndarray, other_details: np.ndarray, other_mouths: np.ndarray) -> np.ndarray:
    squares = (mouths**2).sum(1)[:, None] + (other_mouths**2).sum(1) - 2 * mouths @ other_mouths.T
    alike: np.ndarray = 1 + ALIKE * np.exp(-squares)
    return details @ other_details.T * alike


def validated_gain(
    details: Float[np.ndarray, "frames k"],
    mouths: Float[np.ndarray, "frames s"],
    corrections: Float[np.ndarray, "frames s"],
    errors: Sequence[MouthError],
) -> float:
    """Share of the squared error that the map takes away in frames that it was not fitted to; below 0 where it adds some.

    Frames are in the order of time, and a quarter of the clip is left out at a time: neighbours are nearly equal.
    """
    fold = np.arange(len(details)) * FOLDS // len(details)
    gain = 0.0
    for left_out in range(FOLDS):
        others, own = fold != left_out, np.flatnonzero(fold == left_out)
        change = CorrectionMap.fit(details[others], mouths[others], corrections[others])(details[own], mouths[own])
        gain += sum(errors[i].gain(correction) for i, correction in zip(own, change, strict=True))
    return gain / max(sum(error.squared for error in errors), 1e-12)


def _mouth_errors(
    trainer: FieldTrainer,
    renderers: Sequence[HeadRenderer],
    poses: np.ndarray,
    blendshapes: np.ndarray,
    chosen: np.ndarray,
    limit_s: float | None,
) -> list[MouthError]:
    """Of the chosen frames, in their order; of the first of them where not all fit into the time."""

    def measured(renderer: HeadRenderer, index: int) -> MouthError:
        frame = read_frame(trainer.workspace, trainer.tracking, index, size)
        return mouth_error(renderer, camera, poses[index], blendshapes[index], frame)

    size = min(SIZE, trainer.pool.size)
    camera = trainer.camera.scaled(size, size)
    began = time.monotonic()
    errors: list[MouthError] = []
    with ThreadPoolExecutor(len(renderers)) as pool:
        for first in range(0, len(chosen), AT_ONCE):
            errors += each_frame(pool, measured, renderers, chosen[first : first + AT_ONCE].tolist())
            trainer.reporter.progress(Stage.MOUTH, len(errors), len(chosen))
            taken_s = time.monotonic() - began
            needed_s = taken_s / len(errors) * max(MIN_FRAMES, len(errors))
            if limit_s is not None and needed_s > MAX_TIME_SHARE * limit_s:
                break
    trainer.reporter.progress(Stage.MOUTH, len(chosen), len(chosen))
    return errors
