"""`bench capture`: heads driven by each other's clips, rendered, and tracked again: are lips the driver's, and faces their own?"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..capture.from_video import TrackedFace
from ..capture.retarget import Fit
from ..capture.take import write_take
from ..errors import UsageError
from ..evaluation.contact_sheet import image_sheet
from ..evaluation.face_shape import shape_distance
from ..evaluation.landmarks import lip_reader
from ..portrait_sync.blend import over
from ..progress import Reporter
from ..protocol import HEAD_PART, Stage
from ..training import checkpoints
from ..workspace.animation import Animation
from ..workspace.arrays import correlation
from ..workspace.head_track import HeadTrack
from ..workspace.images import write_image
from ..workspace.landmarks import eye_opening, lip_opening
from ..workspace.store import Workspace
from . import pages
from .markdown import table
from .options import Capture as Options

SHOWN = 8
"""Moments in a sheet."""


def run(options: Options, reporter: Reporter) -> dict[str, Any]:
    """The figures of docs/benchmarks/capture.md.

    Raises:
        UsageError: one workspace alone.
        SyncTalkError: a workspace without a trained head.
    """
    if len(options.workspace) < 2:
        raise UsageError("bench capture needs two workspaces or more: each head is driven by another's clip")
    people = [_Person(Workspace.open(root), options, reporter) for root in options.workspace]
    pairs = [
        _crossed(subject, driver, take, options)
        for subject, driver in itertools.permutations(people, 2)
        for take in (Fit().take, (*Fit().take, HEAD_PART))
    ]
    result = {"size": options.size, "pairs": pairs}
    return pages.kept("capture", options, result, in_words(result))


class _Person:
    """A trained head, and what is measured of its own clip."""

    def __init__(self, workspace: Workspace, options: Options, reporter: Reporter) -> None:
        self.workspace, self.size, self.reporter = workspace, options.size, reporter
        self.checkpoint = checkpoints.load_for_rendering(workspace, reporter, options.head)
        self.track: HeadTrack = workspace.head_track(head=self.checkpoint.kind)
        own = workspace.footage_animation(self.track)
        kept = np.flatnonzero(self.track.valid)
        own = replace(
            own,
            blendshapes=own.blendshapes[kept],
            head_to_camera=own.head_to_camera[kept],
            plate_frame=own.plate_frame[kept],
        )
        self.own_distance = self.distance(self.landmarks(self.rendered(own)), own)

    @property
    def name(self) -> str:
        return self.workspace.root.name

    def rendered(self, animation: Animation) -> Iterator[np.ndarray]:
        """(size, size, 3) uint8: the frames of an animation over their plates."""
        conditions = self.checkpoint.lips.animation_conditions(self.workspace, animation)
        renderer, camera = self.checkpoint.renderer(), animation.camera.scaled(self.size, self.size)
        for frame in range(animation.frames):
            rgba = renderer.render(camera, animation.head_to_camera[frame], conditions[frame]).rgba
            plate = self.workspace.read_plate(int(animation.plate_frame[frame]))
            yield over(rgba, cv2.resize(plate, (self.size, self.size), interpolation=cv2.INTER_AREA))
            self.reporter.progress(Stage.COMPARING, frame + 1, animation.frames)

    def landmarks(self, frames: Iterator[np.ndarray]) -> np.ndarray:
        """(n, 478, 2) pixels of the working frame."""
        with lip_reader() as (_, read):
            return np.array([read(frame) for frame in frames]) * self.workspace.subject.size / self.size

    def distance(self, landmarks_px: np.ndarray, animation: Animation, of: _Person | None = None) -> float:
        """Mean distance to a person's neutral face, its own unless given."""
        face = (of or self).track.face_head_m
        return float(np.nanmean(shape_distance(landmarks_px, animation.head_to_camera, animation.camera, face)))

    def openings(self, animation: Animation) -> tuple[np.ndarray, np.ndarray]:
        """(n) twice: this person's own lips and eyes at the frames of an animation that it drives."""
        valid = np.flatnonzero(self.track.valid)
        at_s, own_s = np.arange(animation.frames) / animation.fps, valid / self.workspace.subject.fps
        seen = self.track.landmarks_px[valid]
        lips, eyes = (np.interp(at_s, own_s, opening) for opening in (lip_opening(seen), eye_opening(seen)))
        return lips, eyes

    def frame_at(self, time_s: float) -> np.ndarray:
        index = min(round(time_s * self.workspace.subject.fps), self.workspace.subject.frames - 1)
        return cv2.resize(self.workspace.read_frame(index), (self.size, self.size), interpolation=cv2.INTER_AREA)


def _crossed(subject: _Person, driver: _Person, take: tuple[str, ...], options: Options) -> dict[str, Any]:
    """One head driven by another person's clip."""
    with tempfile.TemporaryDirectory() as folder:
        capture = replace(TrackedFace.of(driver.workspace).capture, audio=None)
        kind, out = subject.checkpoint.kind, Path(folder) / "animation.npz"
        animation = write_take(subject.workspace, capture, out, Fit(take), Reporter(), head=kind)
    shown = set(np.linspace(0, animation.frames - 1, SHOWN).astype(int).tolist())
    kept: dict[int, np.ndarray] = {}

    def frames() -> Iterator[np.ndarray]:
        for index, frame in enumerate(subject.rendered(animation)):
            if index in shown:
                kept[index] = frame
            yield frame

    landmarks = subject.landmarks(frames())
    if options.out is not None:
        times = {index: index / animation.fps for index in kept}
        above = {f"{at_s:.2f} s": driver.frame_at(at_s) for at_s in times.values()}
        below = {f"{at_s:.2f} s": kept[index] for index, at_s in times.items()}
        head = "-head" if HEAD_PART in take else ""
        sheet = image_sheet({driver.name: above, f"{subject.name}, driven": below})
        write_image(options.out / f"{subject.name}-by-{driver.name}{head}.png", sheet)
    lips, eyes = driver.openings(animation)
    mouth = lip_opening(landmarks)
    known = np.isfinite(mouth)
    distance = subject.distance(landmarks, animation)
    return {
        "subject": subject.name,
        "driver": driver.name,
        "take": list(take),
        "frames": animation.frames,
        "lost": int((~known).sum()),
        "lips": float(correlation(mouth, lips)),
        "lips_gain": float(np.polyfit(lips[known], mouth[known], 1)[0]),
        "eyes": float(correlation(eye_opening(landmarks), eyes)),
        "shape": distance,
        "shape_self": subject.own_distance,
        "shape_ratio": distance / subject.own_distance,
        "shape_driver": subject.distance(landmarks, animation, driver),
    }


def in_words(result: dict[str, Any]) -> str:
    """A table, a row a pair."""
    heading = ["head", "driven by", "taken", "frames", "lips: correlation, gain", "eyes: correlation"]
    heading += ["face from its own neutral: driven, itself, ratio", "from the driver's"]
    rows = [
        (
            pair["subject"],
            pair["driver"],
            ", ".join(pair["take"]),
            str(pair["frames"]),
            f"**{pair['lips']:.2f}**, {pair['lips_gain']:.2f}",
            f"{pair['eyes']:.2f}",
            f"{pair['shape']:.4f}, {pair['shape_self']:.4f}, **{pair['shape_ratio']:.2f}**",
            f"{pair['shape_driver']:.4f}",
        )
        for pair in result["pairs"]
    ]
    return "\n".join(table(heading, rows))
