"""What a stream plays: a loop over an animation, or a head that follows newest values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.animation import Animation
from ...workspace.shapes import Float, Int
from .loop_audio import LoopAudio


@dataclass(frozen=True)
class Played:
    """A head at one time.

    Attributes:
        conditions: as `HeadRenderer.render` takes them; the 52 blendshapes are the first.
        plate_frame: the frame of the footage beneath.
        turn: (3, 3) rotation of the head from how the loop has it in its first frame, in the head frame; of a live head
            from its rest.
        loop_frame: its number in a loop; None for one that does not come again.
    """

    head_to_camera: Float[np.ndarray, "4 4"]
    conditions: Float[np.ndarray, " conditions"]
    plate_frame: int
    turn: Float[np.ndarray, "3 3"]
    loop_frame: int | None = None

    @property
    def blendshapes(self) -> Float[np.ndarray, " 52"]:
        return self.conditions[: len(BLENDSHAPE_NAMES)]


class Program(Protocol):
    """Plays for ever."""

    rate: Fraction
    """Frames a second."""
    ahead: int
    """How many frames may be made before they are due: none of newest values."""
    loop: int
    """How many frames it has before it begins again; 0 where none comes again."""

    def at(self, frame: int) -> Played:
        """The head in a frame of the stream."""
        ...

    def block(self, first: int, count: int) -> Int[np.ndarray, " count"]:
        """Audio from sample `first` of the stream on, 16 bit mono at `DELIVERY_RATE`."""
        ...


class LoopProgram:
    """An animation and its audio, again and again.

    Args:
        conditions: (frames, n), a row a frame.
    """

    ahead = 3

    def __init__(self, animation: Animation, conditions: np.ndarray, audio: LoopAudio) -> None:
        self.rate, self.loop = animation.rate, animation.frames
        self._animation, self._conditions, self.block = animation, conditions, audio.block
        tracked = np.flatnonzero(np.isfinite(animation.head_to_camera).all((1, 2)))
        self._rest = animation.head_to_camera[tracked[0], :3, :3] if len(tracked) else np.eye(3)

    def at(self, frame: int) -> Played:
        frame %= self._animation.frames
        pose = self._animation.head_to_camera[frame]
        turn = self._rest.T @ pose[:3, :3] if np.isfinite(pose).all() else np.eye(3)
        return Played(pose, self._conditions[frame], int(self._animation.plate_frame[frame]), turn, frame)


@dataclass(frozen=True)
class NewestFace:
    """A face that just came, fitted to the subject.

    Attributes:
        blendshapes: `protocol.BLENDSHAPE_NAMES`, 0 to 1.
        head_turn: the head's rotation from its rest, in the head frame; None to leave the head to the footage.
    """

    blendshapes: Float[np.ndarray, " 52"]
    head_turn: Float[np.ndarray, "3 3"] | None = None


class LiveProgram:
    """A head over footage that plays as a loop; its face, and how it is turned, are the newest values.

    Args:
        footage: a loop over the footage, such as `speak --idle` makes it; what it does is shown until values come.
        newest: called once a frame, on the thread that makes frames; None where nothing has come.
    """

    ahead = loop = 0

    def __init__(self, footage: Animation, newest: Callable[[], NewestFace | None]) -> None:
        self.rate, self._footage, self._newest = footage.rate, footage, newest

    def at(self, frame: int) -> Played:
        frame %= self._footage.frames
        pose, shapes = self._footage.head_to_camera[frame], self._footage.blendshapes[frame]
        turn, face = np.eye(3), self._newest()
        if face is not None:
            shapes = face.blendshapes.astype(np.float32)
            if face.head_turn is not None:
                turn = face.head_turn
                pose = pose.copy()
                pose[:3, :3] = pose[:3, :3] @ turn
        return Played(pose, shapes, int(self._footage.plate_frame[frame]), turn)

    def block(self, first: int, count: int) -> Int[np.ndarray, " count"]:
        """Silence: who drives the head is heard by other means."""
        del first
        return np.zeros(count, np.int16)
