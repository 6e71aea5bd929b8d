"""What the field is conditioned on, a row per frame: the 52 blendshapes and, for a head with audio-driven lips (the
paper's way, section 3.2), features of the audio in place of the mouth's blendshapes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from ..errors import WorkspaceError
from ..face_sync.audio_features import StepFeatures
from ..face_sync.encoders import open_encoder
from ..face_sync.encoders.speech_encoder import encode
from ..face_sync.speech import SpeechModel
from ..face_sync.steps import at_frames, steps_over
from ..media.audio import audio_blocks
from ..media.guard import guarded_items
from ..workspace.animation import Animation
from ..workspace.store import Workspace

SHAPE, ADAPTED = "shape", "adapted"
CONTEXT = 2
"""Steps of 40 ms on either side whose features are inputs as well."""


@dataclass(frozen=True)
class LipSource:
    """What drives a head's lips.

    Attributes:
        name: `shape` for the mouth's blendshapes; else features of audio: `adapted` for the speech encoder adapted to
            the subject, or an encoder's name (`face_sync.encoders.NAMES`).
        mean, scale: (D) of the clip's features; the field sees them in standard deviations.
    """

    name: str = SHAPE
    mean: tuple[float, ...] = field(default=())
    scale: tuple[float, ...] = field(default=())

    @classmethod
    def of_clip(cls, workspace: Workspace, name: str) -> LipSource:
        """For a workspace's clip; mean and scale are of the frames before the test frames.

        Raises:
            ModelError: there is no such encoder, or its weights are missing.
        """
        if name == SHAPE:
            return cls()
        subject, heard = workspace.subject, heard_frames(workspace)
        features = at_frames(_clip_features(workspace, name), subject.frames, subject.rate)
        features = features[: subject.first_test_frame][heard[: subject.first_test_frame]]
        return cls(name, tuple(features.mean(0).tolist()), tuple((features.std(0) + 1e-3).tolist()))

    @property
    def inputs(self) -> int:
        """Numbers per frame besides the blendshapes."""
        return (2 * CONTEXT + 1) * len(self.mean)

    def clip_conditions(self, workspace: Workspace, blendshapes: np.ndarray) -> np.ndarray:
        """(N, 52 + inputs) float32 of the clip's N frames."""
        if self.name == SHAPE:
            return blendshapes
        return self._beside(blendshapes, _clip_features(workspace, self.name), workspace.subject.rate)

    def animation_conditions(self, workspace: Workspace, animation: Animation) -> np.ndarray:
        """(N, 52 + inputs) float32 of an animation's N frames.

        Raises:
            WorkspaceError: the lips follow audio, and the animation has none.
        """
        if self.name == SHAPE:
            return animation.blendshapes
        path = animation.audio
        if path is None or not path.exists():
            raise WorkspaceError(
                "This head needs audio and the animation has none: render with --audio, or train the head "
                "with lips=shape."
            )
        audio = guarded_items(audio_blocks, path, about=path)
        steps = steps_over(animation.frames, animation.rate)
        features = _features(workspace, self.name, audio, steps, animation.audio_offset_ms)
        return self._beside(animation.blendshapes, features, animation.rate)

    def _beside(self, blendshapes: np.ndarray, steps: np.ndarray, rate: Fraction) -> np.ndarray:
        standard = (steps - np.float32(self.mean)) / np.float32(self.scale)
        around = range(-CONTEXT, CONTEXT + 1)
        windows = [at_frames(standard, len(blendshapes), rate, ahead) for ahead in around]
        return np.concatenate([blendshapes, *windows], 1).astype(np.float32)


def heard_frames(workspace: Workspace) -> np.ndarray:
    """(N,) bool: frames of the clip that have audio; all, in a workspace of an earlier version."""
    path = workspace.root / "audio_features.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as data:
            if "heard" in data.files:
                return data["heard"].astype(bool)
    return np.ones(workspace.subject.frames, bool)


def _clip_features(workspace: Workspace, name: str) -> np.ndarray:
    path, offset_ms = workspace.aligned_audio
    steps = steps_over(workspace.subject.frames, workspace.subject.rate)
    return _features(workspace, name, audio_blocks(path), steps, offset_ms)


def _features(workspace: Workspace, name: str, audio: Iterable[np.ndarray], steps: int, offset_ms: float) -> np.ndarray:
    """(steps, D) float32."""
    if name == ADAPTED:
        model = SpeechModel.load(workspace.root / "speech.safetensors")
        return encode(model.encoder, StepFeatures(audio, steps, offset_ms))
    return open_encoder(name).features(audio, steps, offset_ms)
