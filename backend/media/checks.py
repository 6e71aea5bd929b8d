"""The first pass over a clip: where the head is, and whether the clip can be used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import FaceError, MediaError
from ..progress import Reporter, format_duration
from ..workspace.frame_rate import as_text, frames_of
from ..workspace.intervals import intervals
from .ahead import made_ahead
from .alpha import is_transparent
from .bars import BarMeter
from .decode import ClipInfo, FrameReader, frames_in
from .faces import SURE, Face, face_finder
from .frame_pairs import PairMeter
from .still_faces import StillFaces

SEARCHED_S = 0.2
"""Time from one frame that is searched for faces to the next."""

MIN_CLIP_S = 3.0
MIN_FACE_PX = 48
SECOND_FACE = 0.25
"""A second face of at least this share of the main one's height is another person, not one in the background."""

AWAY_S = 1.0
"""A face missing for this long gives a warning, seconds."""

_LOSS_S = 0.2
"""Video that is missing for longer is reported."""

SURVEY_SIDE = 640
_LEAST_SEEN = 0.5
_STILL_FACE = 0.8
"""A photograph of a face of more than this share of the person's height could be taken for the person."""

_THOROUGH_EVERY = 5
"""One search in this many covers tiles too, for a head that is small and for other people: about one a second."""


@dataclass
class Survey:
    """What the first pass over a clip found.

    Attributes:
        time_s: of each image that was searched.
        faces: found in each, in source pixels: the largest first, and after those that move those that never do.
        end_s: where the decoded video track ends.
        damaged_s: times near which the file is damaged.
        interlaced_s: times of frames that are flagged as interlaced.
        pairs: measured from neighbouring frames.
        bars: whether there are bars beside or above the image.
        still: (time, the main face, a face that never moves) of each searched frame that shows one.
        light: mean 8-bit level of the face in each searched frame that shows one.
        source_frames, held_s, sizes: as those of `FrameReader`.
        transparent: the clip is transparent somewhere.
        holes_s: times at which the face is transparent.
    """

    time_s: list[float] = field(default_factory=list)
    faces: list[list[Face]] = field(default_factory=list)
    end_s: float = 0.0
    damaged_s: list[float] = field(default_factory=list)
    interlaced_s: list[float] = field(default_factory=list)
    pairs: PairMeter = field(default_factory=lambda: PairMeter(0.0))
    bars: BarMeter = field(default_factory=BarMeter)
    light: list[float] = field(default_factory=list)
    still: list[tuple[float, Face, Face]] = field(default_factory=list)
    source_frames: int = 0
    held_s: list[tuple[float, float]] = field(default_factory=list)
    sizes: list[tuple[float, int, int]] = field(default_factory=list)
    transparent: bool = False
    holes_s: list[float] = field(default_factory=list)

    @property
    def boxes(self) -> np.ndarray:
        """(M, 4) left, top, right, bottom of the main face where it is seen."""
        return np.array([found[0].box for found in self.faces if found]).reshape(-1, 4)

    def without_bars(self, bars_px: tuple[int, int]) -> Survey:
        """The same in pixels of the image without its bars."""
        left, top = bars_px
        faces = [[replace(face, x=face.x - left, y=face.y - top) for face in found] for found in self.faces]
        return replace(self, faces=faces)


def survey_clip(info: ClipInfo, progress: Callable[[int], None]) -> Survey:
    """Decode the clip once, small, and search one frame every `SEARCHED_S` for faces.

    Args:
        progress: called with the number of frames passed so far.
    """
    survey = Survey(pairs=PairMeter(info.duration_s))
    reader = FrameReader(
        info.path,
        every=frames_of(SEARCHED_S, info.rate),
        max_side=SURVEY_SIDE,
        corrections=info.corrections,
        meter=survey.pairs,
        keep_alpha=True,
    )
    scale = max(info.width, info.height) / min(max(info.width, info.height), SURVEY_SIDE)
    last, still = None, StillFaces()
    with face_finder() as finder, contextlib.closing(made_ahead(reader)) as images:
        for number, (time_s, image) in enumerate(images):
            survey.bars.see(image[..., :3])
            survey.transparent |= is_transparent(image)
            thorough = number % _THOROUGH_EVERY == 0
            faces = finder.find(image[..., :3], around=last, thorough=thorough)
            last = faces[0] if faces else last
            if thorough:
                still.see(image[..., :3], faces)
            if faces:
                face = _inside(image, faces[0])
                survey.light.append(float(face[..., :3].mean()) if face.size else 255.0)
                if is_transparent(face):
                    survey.holes_s.append(time_s)
            survey.time_s.append(time_s)
            survey.faces.append(faces)
            progress(round(time_s * float(info.rate)))
    _separate_still_faces(survey, still)
    survey.faces = [[_scaled(face, scale) for face in found] for found in survey.faces]
    survey.end_s, survey.damaged_s, survey.interlaced_s = reader.end_s, reader.damaged_s, reader.interlaced_s
    survey.source_frames, survey.held_s, survey.sizes = reader.source_frames, reader.held_s, reader.sizes
    return survey


def _separate_still_faces(survey: Survey, still: StillFaces) -> None:
    """Set faces that never move apart where another face moves."""
    moving = [[face for face in found if not still.still(face)] for found in survey.faces]
    if np.mean([bool(found) for found in moving] or [False]) < _LEAST_SEEN:
        return
    for time_s, found, persons in zip(survey.time_s, survey.faces, moving, strict=True):
        if persons:
            survey.still += [(time_s, persons[0], face) for face in found if face not in persons and face.score >= SURE]
    survey.faces = moving


def _scaled(face: Face, scale: float) -> Face:
    return replace(face, x=face.x * scale, y=face.y * scale, width=face.width * scale, height=face.height * scale)


def _inside(image: np.ndarray, face: Face) -> np.ndarray:
    """The middle of the face: eyes, nose and mouth, no hair and no background."""
    middle_x, middle_y = round(face.x + face.width / 2), round(face.y + face.height / 2)
    reach = max(round(face.height / 4), 1)
    return image[max(middle_y - reach, 0) : middle_y + reach, max(middle_x - reach, 0) : middle_x + reach]


def check_length(info: ClipInfo) -> None:
    """Refuse a clip that states a length that is too short, before any work is done.

    Raises:
        MediaError
    """
    if 0 < info.duration_s < MIN_CLIP_S - 0.5 / info.rate:
        _too_short(info.path, info.duration_s)


def check_clip(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    """Refuse a clip that cannot give a head; warn of what will spoil a part of it.

    Raises:
        MediaError: cut off, or too short.
        FaceError: no face, a face in fewer than half of the frames, a face too small, or two people.
    """
    check_complete(info, survey, reporter)
    if frames_in(survey.end_s, info.rate) < MIN_CLIP_S * info.rate:
        _too_short(info.path, survey.end_s)
    _check_seen(info, survey, reporter)
    _check_still_faces(info, survey, reporter)
    _check_alone(info, survey, reporter)
    _check_large(info.path, survey)


def _too_short(path: Path, duration_s: float) -> None:
    raise MediaError(
        f"{path} lasts {duration_s:.1f} s: give at least {MIN_CLIP_S:.0f} s of speech, better a minute or more."
    )


def check_complete(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    """Refuse a clip that is cut off; warn of shorter losses.

    Raises:
        MediaError
    """
    missing_s = info.duration_s - survey.end_s
    if missing_s > max(0.5, 0.02 * info.duration_s):
        raise MediaError(
            f"{info.path} is cut off: it should last {info.duration_s:.1f} s but its video ends at "
            f"{survey.end_s:.1f} s. Copy it again, or export the readable part as a new clip."
        )
    if missing_s > _LOSS_S:
        reporter.warning(
            f"The last {missing_s:.1f} s of the video of {info.path} cannot be read and are left out: copy it again."
        )
    if survey.damaged_s:
        reporter.warning(
            f"{info.path} is damaged near {times(survey.damaged_s)} and its frames there may be wrong: copy it again."
        )


def _check_seen(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    path, fps = info.path, float(info.rate)
    seen = np.array([bool(found) for found in survey.faces])
    if not seen.any():
        raise FaceError(
            f"No face is seen in {path}: give a clip in which one person faces the camera, upright and in good light."
        )
    if seen.mean() < _LEAST_SEEN:
        raise FaceError(
            f"A face is seen in only {seen.mean():.0%} of {path}, first at {survey.time_s[int(seen.argmax())]:.1f} s: "
            "cut the clip to the part in which the person faces the camera."
        )
    for start, end in intervals(~seen):
        start_s, end_s = survey.time_s[start], min(survey.time_s[end - 1] + SEARCHED_S, survey.end_s)
        if end_s - start_s >= AWAY_S:
            reporter.warning(
                f"No face is seen from {start_s:.1f} s to {end_s:.1f} s of {path} (frames {round(start_s * fps)} to "
                f"{round(end_s * fps) - 1}): these frames are left out of training."
            )


def _check_alone(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    path = info.path
    times_s: dict[bool, list[float]] = {True: [], False: []}
    for time_s, found in zip(survey.time_s, survey.faces, strict=True):
        others = [face for face in found[1:] if face.score >= SURE]
        if others:
            times_s[others[0].height >= SECOND_FACE * found[0].height].append(time_s)
    # One box in a single frame is a shadow or a pattern; a person stays.
    large, small = (times if len(times) > 1 else [] for times in (times_s[True], times_s[False]))
    if large:
        raise FaceError(
            f"Two faces are seen in {path} from {large[0]:.1f} s (frame {round(large[0] * float(info.rate))}): crop or "
            "cut the clip to one person."
        )
    if small:
        reporter.warning(
            f"A small face is seen in the background of {path} at {small[0]:.1f} s: the large one is used. "
            "Keep other people out of the frame."
        )


def _check_still_faces(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    path = info.path
    if len(survey.still) < 2:
        return
    time_s, person, image = max(survey.still, key=lambda one: one[2].height / one[1].height)
    if image.height > _STILL_FACE * person.height:
        raise FaceError(
            f"A still face (a poster?) in {path} at {time_s:.1f} s (frame {round(time_s * float(info.rate))}) is as "
            "large as the person: crop the clip to the person."
        )
    reporter.warning(
        f"A still face (a poster?) is in the background of {path} at {time_s:.1f} s: the person who moves "
        "is used. Keep other faces out of the frame."
    )


def _check_large(path: Path, survey: Survey) -> None:
    tall = float(np.median([found[0].height for found in survey.faces if found]))
    if tall < MIN_FACE_PX:
        raise FaceError(
            f"The face in {path} is only {tall:.0f} pixels tall: give a clip in which it has at least "
            f"{MIN_FACE_PX} pixels, better 200."
        )


def times(times_s: list[float]) -> str:
    """The first three times as text, and how many more."""
    shown = ", ".join(f"{time_s:.1f} s" for time_s in sorted({round(max(time_s, 0), 1) for time_s in times_s})[:3])
    return shown + (f" and {len(times_s) - 3} more places" if len(times_s) > 3 else "")


def describe(info: ClipInfo, frames: int, side: int) -> str:
    """One line on what was read, for the user."""
    return (
        f"{info.path.name}: {info.width} x {info.height}, {as_text(info.rate)} frames a second, "
        f"{format_duration(float(frames / info.rate))}; {frames} working frames of {side} x {side}."
    )
