"""The stage `media`: a clip becomes square working frames at its own rate and 16 kHz audio."""

from __future__ import annotations

import os
import shutil
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from ..errors import AudioError, MediaError, WorkspaceError
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.files import key_of, sha256_of
from ..workspace.frame_rate import UNSTATED, Timecode
from ..workspace.heap import reused_memory
from ..workspace.images import write_image
from ..workspace.store import Workspace
from ..workspace.subject import Crop
from .audio import check_clip_audio, write_clip_audio
from .checks import Survey, check_clip, check_length, describe, survey_clip
from .crop import choose_crop
from .decode import ClipInfo, FrameReader, frames_in, probe
from .encodings import BY_TAGS
from .face_size import report_face_size
from .frame_checks import corrections_of, first_corrections, report_frames
from .source import check_file

STAGE = Stage.MEDIA
VERSION = 2
"""Raise it when the code's result changes: workspaces made before are then made again."""

_WRITERS = min(max(os.cpu_count() or 1, 1), 8)
_QUEUE = 2 * _WRITERS
_SURVEY_SHARE = 4
"""A frame of the first pass costs about a quarter of a frame written."""


def run(
    workspace: Workspace, reporter: Reporter, video: Path | None = None, size: int = 512, colour: str | None = None
) -> None:
    """Decode the clip into `frames/` and `audio.wav`; resumes an interrupted run with the same input.

    The caller holds the workspace's lock. Memory does not grow with the clip's length.

    Args:
        video: the clip; None for the one that the workspace was begun with.
        size: largest side of the square working frame in pixels; a smaller face crop keeps its own size.
        colour: how the clip's values encode light, of `encodings.ENCODINGS`, the name of an `ocio.OcioSpace`, `bt709` or `auto`;
            None for what was said of this clip before, else its tags.

    Raises:
        MediaError, AudioError, FaceError: the clip cannot be used; the sentence explains why, where and what to do.
        StorageError: the disk is full or the workspace is read-only.
        Cancelled: the user asked to stop.
    """
    subject, earlier = workspace.subject, len(reporter.warnings)
    video = _video(workspace, video)
    limit = _side_limit(size)
    if not video.exists() and workspace.stage_state(STAGE) == "done" and _is_complete(workspace):
        reporter.info(f"{video} is missing: its frames are already made and are used.")
        return
    check_file(video)
    digest = sha256_of(video)
    info = probe(video)
    if colour is None and subject.source_sha256 == digest:
        colour = subject.corrections.colour
    colour = "" if colour in (None, BY_TAGS) else colour
    # Workspaces of 25 frames a second from before other rates and encodings were kept are done.
    rate = [] if info.rate == UNSTATED else [str(info.rate)]
    key = key_of(STAGE, VERSION, digest, limit, *rate, *([colour] if colour else []))
    if workspace.stage_is_done(STAGE, key) and _is_complete(workspace):
        return

    check_length(info)
    if not info.has_audio:
        raise AudioError(f"{video} has no audio: SyncTalk trains the lips on speech, so give a clip with audio.")

    if not _is_begun(workspace, key):
        # All checks come before the first change: a rejected clip deletes nothing.
        if note := check_clip_audio(video):
            reporter.warning(note)
        info, survey = _surveyed(info, colour, reporter)
        subject.source, subject.source_sha256 = str(video), digest
        subject.corrections, subject.alpha = info.corrections, survey.transparent
        subject.source_size, subject.source_fps = (info.width, info.height), info.fps
        subject.rate, subject.frames = info.rate, frames_in(survey.end_s, info.rate)
        subject.duration_s = float(subject.frames / subject.rate)
        subject.timecode = info.timecode if Timecode.parse(info.timecode, info.rate) else ""
        subject.crop, subject.size = choose_crop(survey.boxes, info.width, info.height, limit)
        report_face_size(info, survey, subject.crop, subject.size, reporter)
        # Files of another clip or size are deleted before subject.json changes, so a kill leaves no mixture.
        workspace.audio_path.unlink(missing_ok=True)
        for folder in ("frames", "alpha"):
            shutil.rmtree(workspace.root / folder, ignore_errors=True)
        # A run that resumes has no first pass, and so none of its warnings.
        subject.stages[STAGE] = {"state": "partial", "key": key, "warnings": reporter.warnings[earlier:]}
        workspace.save()
        write_clip_audio(video, info.start_s, subject.duration_s, workspace.audio_path)
    else:
        info = probe(video, subject.corrections)
    _write_frames(workspace, info, reporter)
    reporter.info(describe(info, subject.frames, subject.size))
    workspace.stage_ends(STAGE, key)


def run_in(root: Path, video: Path | None, size: int, colour: str | None, reporter: Reporter) -> None:
    """`run` on the workspace at `root`: called in a reader process while its parent holds the lock."""
    with reused_memory():
        run(Workspace.open(root), reporter, video, size, colour)


def working_frame(image: np.ndarray, crop: Crop, side: int) -> np.ndarray:
    """Cut the working frame out of a source image; beyond the image's edge its edge is repeated.

    Args:
        image: (H, W, 3 or 4) uint8.
        crop: in pixels of the image.
        side: S of the result.

    Returns:
        (S, S, 3 or 4) uint8.
    """
    height, width = image.shape[:2]
    x, y, size = round(crop.x), round(crop.y), round(crop.size)
    cut = image[max(y, 0) : max(y + size, 0), max(x, 0) : max(x + size, 0)]
    beyond = max(-y, 0), max(y + size - height, 0), max(-x, 0), max(x + size - width, 0)
    if any(beyond):
        cut = cv2.copyMakeBorder(cut, *beyond, cv2.BORDER_REPLICATE)
    if size != side:
        cut = cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(cut)


def _video(workspace: Workspace, video: Path | None) -> Path:
    if video is not None:
        return Path(video).expanduser().absolute()
    if not workspace.subject.source:
        raise WorkspaceError(f"{workspace.root} has no clip yet: give the video to process.")
    return Path(workspace.subject.source)


def _side_limit(size: int) -> int:
    if size < 128 or size > 4096:
        raise MediaError(f"A working size of {size} pixels cannot be used: choose one from 128 to 4096.")
    return size // 16 * 16


def _is_complete(workspace: Workspace) -> bool:
    """Whether what the stage wrote is still there."""
    frames = workspace.subject.frames
    return frames > 0 and workspace.audio_path.exists() and _first_missing(workspace) == frames


def _is_begun(workspace: Workspace, key: str) -> bool:
    """Whether the clip with this `key` has been surveyed and its frames are being written."""
    begun = workspace.subject.stages.get(STAGE, {}).get("key") == key
    return begun and workspace.subject.crop is not None and workspace.audio_path.exists()


def _surveyed(info: ClipInfo, colour: str, reporter: Reporter) -> tuple[ClipInfo, Survey]:
    """What the clip shows, and its size once its frames are corrected."""
    info = probe(info.path, first_corrections(info.path, colour))
    expected = max(info.frames, 1)

    def progress(frame: int) -> None:
        done = min(frame, expected)
        reporter.progress(STAGE, done // _SURVEY_SHARE, _total(expected), "frames", "looking for the face")

    survey = survey_clip(info, progress)
    check_clip(info, survey, reporter)
    report_frames(info, survey, reporter)
    info = probe(info.path, corrections_of(info, survey))
    return info, survey.without_bars(info.corrections.bars_px)


def _total(frames: int) -> int:
    return frames + frames // _SURVEY_SHARE


def _write_frames(workspace: Workspace, info: ClipInfo, reporter: Reporter) -> None:
    subject = workspace.subject
    crop = subject.crop
    assert crop is not None
    first = _first_missing(workspace)
    surveyed = subject.frames // _SURVEY_SHARE
    reporter.progress(STAGE, surveyed + first, _total(subject.frames), "frames", "writing frames")
    if first == subject.frames:
        return

    def write(index: int, image: np.ndarray) -> None:
        frame = working_frame(image, crop, subject.size)
        if subject.alpha:  # First, for a frame that is there is done.
            alpha = frame[..., 3:] if frame.shape[2] == 4 else np.full((*frame.shape[:2], 1), 255, np.uint8)
            write_image(workspace.alpha_path(index), alpha)
        write_image(workspace.frame_path(index), np.ascontiguousarray(frame[..., :3]))

    pending: deque[Future] = deque()
    index = first
    with ThreadPoolExecutor(_WRITERS, "frame-writer") as pool:
        try:
            reader = FrameReader(
                info.path,
                start_s=first / subject.fps,
                corrections=subject.corrections,
                keep_alpha=subject.alpha,
                rate=subject.rate,
            )
            for time_s, image in reader:
                index = round(time_s * subject.fps)
                if index >= subject.frames:
                    break
                pending.append(pool.submit(write, index, image))
                index += 1
                if len(pending) >= _QUEUE:  # Decoding runs ahead by this much and no more.
                    pending.popleft().result()
                    reporter.progress(
                        STAGE, surveyed + index - len(pending), _total(subject.frames), "frames", "writing frames"
                    )
            while pending:
                pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
    if index < subject.frames:
        raise MediaError(
            f"{info.path} changed while it was read (frame {index} of {subject.frames} is missing): process it again."
        )
    reporter.progress(STAGE, _total(subject.frames), _total(subject.frames), "frames", "writing frames")


def _first_missing(workspace: Workspace) -> int:
    """Index of the first frame not yet written; the writers finish them nearly, not exactly, in order."""
    index = 0
    paths = (workspace.frame_path, workspace.alpha_path) if workspace.subject.alpha else (workspace.frame_path,)
    while index < workspace.subject.frames and all(path(index).exists() for path in paths):
        index += 1
    return index
