"""BVH: the rotation of a head, of a body that was captured by other means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np

from ...errors import CaptureError
from ...protocol import BLENDSHAPE_NAMES
from ...workspace.poses import rotation_exp
from ..axes import Y_UP, Z_UP, in_head_frame
from ..face_capture import FaceCapture
from .frame_times import at_rate, nearest_rate

_AXES = {"x": 0, "y": 1, "z": 2}
_ABOVE_TORSO = ("head", "neck")
"""The head turns against the first of its parents whose name has neither: with the torso, it would leave the footage."""


@dataclass
class _Joint:
    name: str
    parent: _Joint | None
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    channels: list[str] = field(default_factory=list)
    first: int = 0
    """Of its channels among all."""

    @property
    def rest(self) -> np.ndarray:
        """(3,) its place before it moves."""
        place = np.zeros(3)
        joint: _Joint | None = self
        while joint is not None:
            place, joint = place + joint.offset, joint.parent
        return place


def read_bvh(path: Path, text: str, joint: str | None, rate: Fraction | None) -> FaceCapture:
    """The head's rotation against the torso: its own and its neck's.

    Args:
        joint: the head's name in the file; None for the joint named head.
        rate: from the user; None for what the file states.

    Raises:
        CaptureError: a damaged file, or no such joint.
    """
    joints, numbers = _parsed(path, text)
    head = _head(joints, joint, path)
    count, frame_s, values = numbers
    width = sum(len(one.channels) for one in joints)
    if count < 2 or len(values) != count * width:
        raise CaptureError(
            f"{path} announces {count} frames of {width} values and holds {len(values)} values: export it again."
        )
    motion = np.array(values).reshape(count, width)
    up = int(np.argmax(np.abs(head.rest)))
    turn = np.tile(np.eye(3), (count, 1, 1))
    at: _Joint | None = head
    while at is not None and (at is head or any(word in at.name.lower() for word in _ABOVE_TORSO)):
        turn = _rotation(at, motion) @ turn
        at = at.parent
    none = np.zeros(len(BLENDSHAPE_NAMES), bool)
    when = at_rate(count, rate or nearest_rate(1 / frame_s))
    head_turn = in_head_frame(turn, Z_UP if up == 2 else Y_UP)
    return FaceCapture(when.times_s, np.zeros((count, len(none))), none, when.rate, head_turn)


def _rotation(joint: _Joint, motion: np.ndarray) -> np.ndarray:
    """(n, 3, 3) in the order of the joint's channels: the first is the outermost."""
    turn = np.tile(np.eye(3), (len(motion), 1, 1))
    for k, channel in enumerate(joint.channels):
        if channel.endswith("rotation"):
            vectors = np.zeros((len(motion), 3))
            vectors[:, _AXES[channel[0]]] = np.radians(motion[:, joint.first + k])
            turn = turn @ rotation_exp(vectors)
    return turn


def _head(joints: list[_Joint], name: str | None, path: Path) -> _Joint:
    if name is not None:
        wanted = [one for one in joints if one.name.lower() == name.strip().lower()]
    else:
        plain = [(one, one.name.lower().rsplit(":", 1)[-1]) for one in joints]
        wanted = [one for one, word in plain if word == "head"] or [
            one for one, word in plain if word.endswith("head") or word.startswith("head")
        ]
    if not wanted:
        what = f"no joint {name!r}" if name else "no joint named head"
        shown = ", ".join(one.name for one in joints[:12])
        raise CaptureError(f"{path} has {what} (it has {shown}): name one with --head-joint.")
    return wanted[0]


def _parsed(path: Path, text: str) -> tuple[list[_Joint], tuple[int, float, list[float]]]:
    """Joints in the order of their channels; the frames' count and seconds, and all of their values."""
    words = iter(text.replace("{", " { ").replace("}", " } ").split())
    try:
        if next(words).upper() != "HIERARCHY":
            raise ValueError("it does not begin with HIERARCHY")
        return _joints(words), _motion(words)
    except (ValueError, StopIteration, RuntimeError, IndexError) as error:
        what = str(error) if isinstance(error, ValueError) else "it ends too early"
        raise CaptureError(f"{path} is no whole BVH ({what}): export it again.") from error


def _joints(words: Iterator[str]) -> list[_Joint]:
    """Up to the word MOTION."""
    joints: list[_Joint] = []
    stack: list[_Joint | None] = []
    current: _Joint | None = None
    for word in words:
        inside = stack[-1] if stack else None
        key = word.upper()
        if key in ("ROOT", "JOINT"):
            current = _Joint(next(words), inside, first=sum(len(one.channels) for one in joints))
            joints.append(current)
        elif key == "END":
            next(words)
            current = None
        elif key == "{":
            stack.append(current)
        elif key == "}":
            stack.pop()
        elif key == "OFFSET":
            offset = np.array([float(next(words)) for _ in range(3)])
            if inside is not None:
                inside.offset = offset
        elif key == "CHANNELS":
            names = _channels(words)
            if inside is None:
                raise ValueError("channels outside of a joint")
            inside.channels = names
        elif key == "MOTION":
            break
        else:
            raise ValueError(f"{word!r} is unexpected")
    return joints


def _channels(words: Iterator[str]) -> list[str]:
    names = [next(words).lower() for _ in range(int(next(words)))]
    for name in names:
        if name[0] not in _AXES or not name.endswith(("rotation", "position")):
            raise ValueError(f"there is no channel {name}")
    return names


def _motion(words: Iterator[str]) -> tuple[int, float, list[float]]:
    if next(words).rstrip(":").upper() != "FRAMES":
        raise ValueError("MOTION lacks Frames:")
    count = int(next(words))
    if (next(words) + next(words)).upper() != "FRAMETIME:":
        raise ValueError("MOTION lacks Frame Time:")
    frame_s = float(next(words))
    if not 0 < frame_s < 1:
        raise ValueError(f"a frame time of {frame_s:g} s")
    values = [float(word) for word in words]
    if not np.isfinite(values).all():
        raise ValueError(f"value {int(np.flatnonzero(~np.isfinite(values))[0])} of the motion is no number")
    return count, frame_s, values
