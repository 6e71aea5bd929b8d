"""What a stream shows: which head, what it plays, and over what."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...delivery.footage import output_size
from ...delivery.from_footage import Taking
from ...delivery.shot import Shot
from ...face_sync.footage_beneath import footage_beneath, shapes_beneath
from ...progress import Reporter
from ...protocol import MOUTH_PART
from ...training.checkpoints import Checkpoint
from ...workspace.animation import Animation
from ...workspace.head_track import HeadTrack
from ...workspace.idle_part import calm_part, longest, takes
from ...workspace.store import Workspace
from ..live.sample import LIVE
from ..live.session import LiveSession, LiveValues
from ..parts import PARTS
from ..person import PersonRange, as_shapes
from .loop_audio import opened_audio
from .names import FOOTAGE
from .program import LiveProgram, LoopProgram, Program

LARGEST = 1280
"""Longer side where none is given: what a browser and two processor cores take at the clip's rate."""
_FOOTAGE_S = 300
"""A live head's footage is played in an order that repeats itself after so long."""


@dataclass(frozen=True)
class Scene:
    """What is shown.

    Attributes:
        directions: an animation; None for the clip itself.
        live: begins to receive the face that drives the head, in place of both.
        background: as `Composer` takes it.
        size: longer side of the frames.
    """

    workspace: Workspace
    head: Checkpoint
    directions: Path | None
    live: Callable[[], LiveSession] | None
    background: str
    size: int | None
    taking: Taking
    label: bool


@contextlib.contextmanager
def opened(scene: Scene, reporter: Reporter) -> Iterator[tuple[Program, Shot]]:
    """What is played, and the shot by which its frames are made.

    Raises:
        FaceError: the clip shows no head for long enough.
        SyncTalkError: the animation, its audio or the live source cannot be used.
    """
    workspace, track = scene.workspace, scene.workspace.head_track(head=scene.head.kind)
    if scene.live is not None:
        shot = _shot(scene, _calm_footage(workspace, track, reporter))
        with contextlib.closing(scene.live()) as session:
            reporter.info(f"Listening: {session.source.place}.")
            yield LiveProgram(shot.animation, lambda: _newest(session)), shot
        return
    audio: Path | Workspace | None
    if scene.directions is None:
        first, last = longest(takes(track))
        shot, audio = _shot(scene, workspace.footage_animation(track)), workspace
        shot = replace(shot, animation=_part(shot.animation, first, last), conditions=shot.conditions[first:last])
    else:
        shot, first = _shot(scene, workspace.animation(scene.directions)), 0
        audio = shot.animation.audio
    with opened_audio(audio, first, shot.animation, reporter) as heard:
        yield LoopProgram(shot.animation, shot.conditions, heard), shot


def _newest(session: LiveSession) -> LiveValues | None:
    """None where nothing comes, or comes no more."""
    return session.newest if session.state().status == LIVE else None


def _calm_footage(workspace: Workspace, track: HeadTrack, reporter: Reporter) -> Animation:
    """Footage for a head that someone drives: a calm part, with the mouth at rest."""
    rate, part = workspace.subject.rate, calm_part(track, workspace.subject.rate)
    beneath = footage_beneath(workspace, track, round(_FOOTAGE_S * rate), part, reporter)
    shapes = shapes_beneath(track, beneath, part, rate)
    mouth, rest = PARTS[MOUTH_PART], PersonRange.of(track.blendshapes[track.valid]).rest
    shapes[:, mouth] = np.clip(as_shapes(rest[None])[0, mouth], 0, 1)
    return Animation(shapes, track.head_to_camera[beneath], track.camera, beneath, rate)


def _shot(scene: Scene, animation: Animation) -> Shot:
    """With frames of even sides, as 4:2:0 needs them: the complete ones over the footage, else the working frame."""
    subject, shot = scene.workspace.subject, Shot.of(scene.workspace, scene.head, animation, None, scene.taking)
    if scene.background != FOOTAGE:
        side = (scene.size or min(subject.size, LARGEST)) // 2 * 2
        return replace(shot, camera=animation.camera.scaled(side, side))
    width, height = output_size(subject, scene.size or min(max(subject.source_size), LARGEST))
    return replace(shot, camera=shot.camera.scaled(width // 2 * 2, height // 2 * 2))


def _part(animation: Animation, first: int, last: int) -> Animation:
    """Its frames from `first` to before `last`."""
    return replace(
        animation,
        blendshapes=animation.blendshapes[first:last],
        head_to_camera=animation.head_to_camera[first:last],
        plate_frame=animation.plate_frame[first:last],
    )
