"""Frames of the clip rendered by the trained head, each beside its true frame: self-reenactment and audio-driven."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..delivery.footage import WorkingFrames
from ..delivery.from_footage import FromFootage, Taking, WithFootage
from ..delivery.place import Place
from ..face_sync import speech
from ..face_sync.audio_features import StepFeatures
from ..face_sync.steps import at_frames, steps_over
from ..media.audio import audio_blocks
from ..portrait_sync.placed_head import PlacedHead
from ..portrait_sync.portrait import open_portrait
from ..progress import Reporter
from ..protocol import OURS, Stage
from ..training import checkpoints, lip_gain
from ..workspace.checkpoint_index import AUTO
from ..workspace.images import write_image
from ..workspace.store import Workspace

MEASURED = Taking(hair=False)


@dataclass(frozen=True)
class RenderedPair:
    """One frame as it is compared: all (size, size), uint8."""

    index: int
    predicted: np.ndarray
    truth: np.ndarray
    head: np.ndarray
    rgba: np.ndarray


@dataclass(frozen=True)
class Reenactment:
    """How frames are rendered.

    Attributes:
        size: side of the frames; the working frame's own when None.
        head: of `checkpoint_index.HEADS`: which one renders them, in its own poses.
        portrait: of `protocol.PORTRAITS`: how it is put into the frame.
        taking: from the footage, by `OURS`. The hair is the rendered one where it is the head that is measured.
    """

    size: int | None = None
    head: str = AUTO
    portrait: str = OURS
    taking: Taking = MEASURED


def test_frames(workspace: Workspace, how: Reenactment, reporter: Reporter) -> Iterator[RenderedPair]:
    """The last 1/11 of the clip by self-reenactment: the training never used the pixels of these frames."""
    return self_reenactment(workspace, held_out_indices(workspace), how, reporter)


def audio_driven_test_frames(workspace: Workspace, how: Reenactment, reporter: Reporter) -> Iterator[RenderedPair]:
    """As `test_frames`, the mouth driven by the frames' own audio, which the speech model was not fitted to."""
    blendshapes = audio_driven_blendshapes(workspace, how.head)
    return self_reenactment(workspace, held_out_indices(workspace), how, reporter, blendshapes)


def audio_driven_blendshapes(workspace: Workspace, head: str = AUTO) -> np.ndarray:
    """(N, 52) float32: the clip's blendshapes, those of the mouth as the speech model predicts them from its audio."""
    path, offset_ms = workspace.aligned_audio
    frames, rate = workspace.subject.frames, workspace.subject.rate
    features = StepFeatures(audio_blocks(path), steps_over(frames, rate), offset_ms)
    model = speech.SpeechModel.load(workspace.root / "speech.safetensors")
    blendshapes = workspace.head_track().blendshapes.copy()
    mouth = speech.predict(model, features, lip_gain.speech_gain(workspace, head))
    blendshapes[:, speech.MOUTH_INDEX] = at_frames(mouth, frames, rate).clip(0, 1)
    return blendshapes


def self_reenactment(
    workspace: Workspace,
    frames: np.ndarray,
    how: Reenactment,
    reporter: Reporter,
    blendshapes: np.ndarray | None = None,
) -> Iterator[RenderedPair]:
    """Frames rendered with their own tracked pose and blendshapes in their own frame; untracked ones are left out.

    Args:
        blendshapes: (N, 52) of the clip's frames, in place of the tracked ones.
    """
    checkpoint = checkpoints.load_for_rendering(workspace, reporter, how.head)
    tracking = workspace.head_track(head=checkpoint.kind)
    # In its own pose and with its own blendshapes a head needs no other neck than the plate's.
    taking = replace(how.taking, neck=how.taking.neck and blendshapes is not None)
    blendshapes = tracking.blendshapes if blendshapes is None else blendshapes
    conditions = checkpoint.lips.clip_conditions(workspace, blendshapes)
    renderer = checkpoint.renderer()
    size = how.size or workspace.subject.size
    camera, images = tracking.camera.scaled(size, size), WorkingFrames(workspace, size)
    composing = open_portrait(how.portrait, images, workspace, tracking)
    if how.portrait == OURS:
        place = Place(size / workspace.subject.size, 0.0, 0.0)
        composing = WithFootage(composing, FromFootage.of(workspace, tracking, taking), place)
    frames = frames[tracking.valid[frames]]
    for done, index in enumerate(frames.tolist(), 1):
        pose = tracking.head_to_camera[index]
        rgba = renderer.render(camera, pose, conditions[index]).rgba
        predicted = composing.compose(PlacedHead(rgba, index, camera, pose, blendshapes[index]))
        # The renderer draws the next image into its array.
        yield RenderedPair(index, predicted, images.frame(index), images.matte(index, 0), rgba.copy())
        reporter.progress(Stage.COMPARING, done, len(frames))


def write_test_frames(workspace: Workspace, out: Path, how: Reenactment, reporter: Reporter) -> int:
    """Write the held-out frames as they are compared: `%06d.png`, `%06d_truth.png`, `%06d_head.png`; returns how many."""
    count = 0
    for pair in test_frames(workspace, how, reporter):
        write_image(out / f"{pair.index:06d}.png", pair.predicted)
        write_image(out / f"{pair.index:06d}_truth.png", pair.truth)
        write_image(out / f"{pair.index:06d}_head.png", np.repeat(pair.head[..., None], 3, 2))
        count += 1
    return count


def held_out_indices(workspace: Workspace) -> np.ndarray:
    """Numbers of the held-out frames."""
    return np.arange(workspace.subject.first_test_frame, workspace.subject.frames)
