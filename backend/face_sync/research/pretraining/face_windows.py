"""Talking clips for the audio-visual encoder: the lower face of each frame, aligned, with its audio features."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from ....errors import MediaError, SyncTalkError, WorkspaceError
from ....head_sync.landmarks import FaceLandmarker, choose_face, open_landmarker
from ....media.audio import check_speech, clip_audio
from ....media.decode import FrameReader
from ....media.read_position import reading
from ....workspace.arrays import filled
from ....workspace.landmarks import COUNT, lip_opening
from ...audio_features import step_features
from ...audio_offset import CONFIDENT, estimate_offset_ms
from ...dead_audio import dead_intervals, heard_frames
from ...steps import STEP_RATE
from .prepared import FACE_SIDE, Item

VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg"}
ANCHORS = (33, 133, 362, 263, 168, 6)
"""Landmarks that fix the window: corners of the eyes and the nose's ridge, which do not move with the lips."""

_ANCHORS_AT = np.array([[0.1, -0.18], [0.36, -0.17], [0.64, -0.17], [0.9, -0.18], [0.5, -0.2], [0.5, -0.08]])
"""Their positions, in sides of the window, just above it: the window shows the face from the eyes to the chin."""

MIN_FRAMES = 25


def find_clips(folder: Path) -> dict[str, Path]:
    """Talking clips anywhere below a folder: prepared name to path. LRS2 has `main/SPEAKER/NNNNN.mp4`.

    Raises:
        MediaError: there is no such folder.
        WorkspaceError: it holds no video.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder} is not a folder: name the one with the talking clips.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    if not paths:
        raise WorkspaceError(f"{folder} holds no video: give the folder of the talking clips.")
    return {prepared_name(path.relative_to(folder)): path for path in paths}


def prepared_name(relative: Path) -> str:
    """Name of a clip's prepared file: its own, and a hash of its path, as names repeat among folders."""
    place = relative.with_suffix("").as_posix()
    return f"{relative.stem}_{hashlib.sha256(place.encode()).hexdigest()[:8]}"


def held_out_of_lists(folder: Path) -> set[str] | None:
    """Prepared names that a data set's own `val.txt` holds out (LRS2: a line `SPEAKER/NNNNN` each); None without it."""
    lists = [path for name in ("val.txt", "test.txt") for path in (folder / name, folder / "main" / name)]
    found: set[str] = set()
    for path in lists:
        if path.is_file():
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.strip():
                    place = Path(line.split()[0])
                    found |= {prepared_name(prefix / place) for prefix in (Path(), Path("main"))}
    return found or None


def read_clips(paths: list[Path]) -> Iterator[tuple[Item | str, float]]:
    """What `read_clip` makes of each path, or the sentence with which it refuses; for a reader process."""
    for path in paths:
        reading(str(path))
        # Each clip has its own: a landmarker follows the face from one image to the next, and would begin with the last clip's.
        with contextlib.closing(open_landmarker()) as landmarker:
            try:
                found: tuple[Item | str, float] = read_clip(path, landmarker)
            except SyncTalkError as error:
                found = str(error), 0.0
        yield found


def read_clip(path: Path, landmarker: FaceLandmarker) -> tuple[Item, float]:
    """Face windows and audio features of one clip, and the audio offset, milliseconds, that was corrected.

    Raises:
        MediaError, AudioError: it cannot be read, has no audio, or shows a face in fewer than `MIN_FRAMES` frames.
    """
    reader = FrameReader(path, rate=STEP_RATE)
    points, last = [], None
    for _, image in reader:
        face = choose_face(landmarker.detect(image), last)
        last = face or last
        points.append(np.full((COUNT, 2), np.nan) if face is None else face.points_px)
    if not points:
        raise MediaError(f"No frame of {path} can be decoded: convert it to H.264 in an MP4 file.")
    anchors = np.array(points)[:, list(ANCHORS)]
    valid = np.isfinite(anchors).all((1, 2))
    if valid.sum() < MIN_FRAMES:
        raise MediaError(f"{path} shows a face in {valid.sum()} frames: give clips of one talking person.")
    # Smoothed, as jitter of the tracker would look like moving lips.
    steady = gaussian_filter1d(filled(anchors, valid), 1.5, axis=0)
    # Decoded again: the frames of a long clip do not fit into memory.
    faces = np.stack(
        [_window(image, at) for (_, image), at in zip(FrameReader(path, rate=STEP_RATE), steady, strict=False)]
    )
    audio = np.concatenate(list(clip_audio(path, reader.info.start_s, float(len(faces) / STEP_RATE))))
    check_speech(audio, name=path)
    # Training on shifted audio would be wrong: the offset is corrected where it can be measured.
    opening = lip_opening(np.array(points))
    heard = heard_frames(len(opening), float(STEP_RATE), np.array(dead_intervals(audio, opening)).reshape(-1, 2))
    offset_ms, confidence = estimate_offset_ms(audio, np.where(heard, opening, np.nan))
    offset_ms = offset_ms if confidence >= CONFIDENT else 0.0
    features = step_features(audio, len(faces), offset_ms).astype(np.float16)
    return Item(features, np.array([len(faces)]), faces=faces, valid=(valid & heard)[: len(faces)]), offset_ms


def _window(image: np.ndarray, anchors_px: np.ndarray) -> np.ndarray:
    """(FACE_SIDE, FACE_SIDE) uint8, grey: the lower face, upright and at one scale."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scale = 320 / min(grey.shape)
    if scale < 1:  # reduced first: warping alone would skip pixels
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        anchors_px = anchors_px * scale
    matrix, _ = cv2.estimateAffinePartial2D(anchors_px, _ANCHORS_AT * FACE_SIDE, method=cv2.LMEDS)
    if matrix is None:
        return np.zeros((FACE_SIDE, FACE_SIDE), np.uint8)
    return cv2.warpAffine(grey, matrix, (FACE_SIDE, FACE_SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
