"""Videos and folders of frames of any system, compared like held-out frames."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import MediaError
from ..media.decode import frames, frames_in, probe
from ..media.guard import guarded, guarded_items
from ..progress import Reporter
from ..workspace.frame_rate import UNSTATED
from ..workspace.images import read_image
from .evaluate import Evaluation, FramePair, evaluate


def evaluate_videos(
    video: Path, reference: Path, mattes: Path | None = None, reporter: Reporter | None = None, landmarks: str = "auto"
) -> Evaluation:
    """Compare two videos, or two folders of images, frame by frame, at the frame rate of the reference, else of the video.

    Two folders are paired by the numbers in their files' names, and a frame that only one of them holds is left out.
    With a video frames are paired in order from the first one on, and the shorter decides.

    A reference that `render --split test` wrote is taken at its `%06d_truth.png`, inside its `%06d_head.png`; given as
    `video` too, its `%06d.png` are compared with them, which gives the figures of `evaluate` on the workspace.

    Args:
        mattes: folder of the true heads' mattes, `%06d_head.png` or `%06d.png`, whose red channel counts; the
            reference's own `%06d_head.png` when None. Without any the figures of the head are None.
        landmarks: what reads the lips: `task`, `mesh` or `auto`.

    Raises:
        MediaError: one cannot be read, is empty, shares no frame with the other, or sizes differ.
        Cancelled: the user asked to stop.
    """
    reporter = reporter or Reporter()
    pairing = _pairing(video, reference, reporter)
    heads = _heads(mattes, reference)
    inside = 0

    def pairs() -> Iterator[FramePair]:
        nonlocal inside
        first: np.ndarray | None = None
        for done, (index, predicted, truth) in enumerate(pairing.frames, 1):
            _same_size(index, predicted, video, truth, reference)
            if first is not None:
                _same_size(index, predicted, video, first, video)
            first = predicted
            head = None
            if index in heads:
                head = np.ascontiguousarray(read_image(heads[index])[..., 0])
                _same_size(index, head, heads[index].parent, truth, reference)
                inside += 1
            yield FramePair(index, predicted, truth, head)
            reporter.progress("comparing frames", done, max(pairing.count, done))

    evaluation = evaluate(pairs(), landmarks, float(pairing.rate))
    if mattes is not None and not inside:
        raise MediaError(f"{mattes} holds no matte of a compared frame: give mattes the numbers of their frames.")
    return evaluation


@dataclass(frozen=True)
class _Pairing:
    """(number, predicted, true) frames, how many there are, or about how many where a video states its length, and how many a
    second."""

    frames: Iterable[tuple[int, np.ndarray, np.ndarray]]
    count: int
    rate: Fraction = UNSTATED


def _pairing(video: Path, reference: Path, reporter: Reporter) -> _Pairing:
    suffix = "_truth" if _named(reference, "_truth") else ""
    if not (video.is_dir() and reference.is_dir()):
        timed = video if reference.is_dir() else reference
        rate = guarded(probe, timed, reporter=reporter, about=timed).rate
        images = _images(video, rate, reporter), _images(reference, rate, reporter, suffix)
        count = min(_length(video, rate, reporter), _length(reference, rate, reporter, suffix))
        return _Pairing(zip(itertools.count(), *images, strict=False), count, rate)
    predicted, truth = _numbered(video), _numbered(reference, suffix)
    both = sorted(predicted.keys() & truth.keys())
    if not both:
        raise MediaError(
            f"{video} and {reference} share no frame number: number the frames of both as in the clip (000000.png, …)."
        )
    return _Pairing(((index, read_image(predicted[index]), read_image(truth[index])) for index in both), len(both))


def _numbered(folder: Path, suffix: str = "") -> dict[int, Path]:
    """Images of a folder whose name is a number and `suffix`, in the numbers' order.

    Raises:
        MediaError: there is none.
    """
    found = _named(folder, suffix)
    if not found:
        raise MediaError(f"{folder} holds no frames (000000.png, ...): give a video or a folder of frames.")
    return found


def _named(folder: Path, suffix: str) -> dict[int, Path]:
    # A frame's own companions (000001_truth.png) are not frames.
    name = re.compile(rf"(\d+){suffix}\.(png|jpe?g)", re.IGNORECASE)
    matches = ((name.fullmatch(path.name), path) for path in (folder.iterdir() if folder.is_dir() else ()))
    return dict(sorted((int(match[1]), path) for match, path in matches if match))


def _heads(mattes: Path | None, reference: Path) -> dict[int, Path]:
    """Mattes of the folder asked for, else those beside the true frames, if there are any."""
    if mattes is None:
        return _named(reference, "_head")
    found = _named(mattes, "_head") or _named(mattes, "")
    if not found:
        raise MediaError(f"{mattes} holds no mattes (000000_head.png or 000000.png, ...).")
    return found


def _images(path: Path, rate: Fraction, reporter: Reporter, suffix: str = "") -> Iterator[np.ndarray]:
    if path.is_dir():
        yield from map(read_image, _numbered(path, suffix).values())
    else:
        yield from (image for _, image in guarded_items(frames, path, 0.0, rate, reporter=reporter, about=path))


def _length(path: Path, rate: Fraction, reporter: Reporter, suffix: str = "") -> int:
    if path.is_dir():
        return len(_numbered(path, suffix))
    return frames_in(guarded(probe, path, reporter=reporter, about=path).duration_s, rate)


def _same_size(index: int, one: np.ndarray, one_of: Path, other: np.ndarray, other_of: Path) -> None:
    if one.shape[:2] != other.shape[:2]:
        raise MediaError(
            f"Frame {index} of {one_of} has {one.shape[1]} x {one.shape[0]} pixels, that of {other_of} "
            f"{other.shape[1]} x {other.shape[0]}: render both at one size."
        )
