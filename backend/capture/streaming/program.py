"""What a stream plays: a loop over an animation, or a head that follows newest values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.animation import Animation
from ...workspace.poses import rotation_exp, rotation_log
from ...workspace.shapes import Float, Int
from .loop_audio import LoopAudio

if TYPE_CHECKING:
    from ..live.session import LiveValues

_EASE_S = 0.4


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


class LiveProgram:
    """A head over footage that plays as a loop; its face, and how it is turned, are the newest values.

    Args:
        footage: what is shown beneath, and what the head does where nothing drives it.
        newest: called once a frame, on the thread that makes frames; None while nothing comes.
    """

    ahead = loop = 0

    def __init__(self, footage: Animation, newest: Callable[[], LiveValues | None]) -> None:
        self.rate, self._footage, self._newest = footage.rate, footage, newest
        self._last: LiveValues | None = None
        self._share = 0.0
        """Of the live values: it changes little by little when they begin and when they end."""

    def at(self, frame: int) -> Played:
        found = self._newest()
        self._last = found or self._last
        step = 1 / (_EASE_S * float(self.rate))
        self._share = float(np.clip(self._share + (step if found is not None else -step), 0, 1))
        frame %= self._footage.frames
        pose, shapes = self._footage.head_to_camera[frame], self._footage.blendshapes[frame]
        turn = np.eye(3)
        if self._last is not None and self._share > 0:
            shapes = np.where(self._last.driven, shapes + self._share * (self._last.blendshapes - shapes), shapes)
            if self._last.head_turn is not None:
                turn = rotation_exp(self._share * rotation_log(self._last.head_turn[None])[0])
                pose = pose.copy()
                pose[:3, :3] = pose[:3, :3] @ turn
        return Played(pose, shapes.astype(np.float32), int(self._footage.plate_frame[frame]), turn)

    def block(self, first: int, count: int) -> Int[np.ndarray, " count"]:
        """Silence: who drives the head is heard by other means."""
        del first
        return np.zeros(count, np.int16)
