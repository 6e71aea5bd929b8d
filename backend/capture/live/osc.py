"""OSC as face trackers send it: the VMC protocol, and plain ARKit names.

- VMC (protocol.vmc.info): `/VMC/Ext/Blend/Val name value` for each shape, then `/VMC/Ext/Blend/Apply`, by which they count;
  `/VMC/Ext/Bone/Pos name x y z qx qy qz qw` of Head and Neck; `/VMC/Ext/OK loaded`; `/VMC/Ext/T seconds`.
- Plain: the name as the address (`/jawOpen 0.3`, `/anything/jawOpen 0.3`), or as the first argument (`/face jawOpen 0.3`).
"""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.shapes import Float
from ..names import shape_index
from .sample import LiveFace, Unusable

PORT = 39539
"""Where receivers of the VMC protocol commonly listen."""

LARGEST = 16384
"""Bytes; 52 shapes with their names take 3 kB. It also bounds how deeply bundles can be nested."""

NOT_OSC, CUT_OFF, TOO_LARGE, STALE, BAD_NUMBERS, OUTSIDE, NO_SHAPES = (
    "packets that are not OSC", "packets that are cut off", f"packets of more than {LARGEST >> 10} KiB", "packets older than the newest",
    "invalid numbers", "values far outside 0 to 1", "messages that name none of ARKit’s 52 shapes",
)  # fmt: skip
_MOST = 2.0
"""Trackers exceed 1 a little; one that counts to 100 is set wrongly."""

_IMMEDIATELY = 1
_TIMETAG = struct.Struct(">8sQ")
_STALE_S = 2.0
"""A bundle that is older by more is of a clock that was set back, or of another sender."""


class OscDecoder:
    """Collects messages into faces. One for each sender: it holds the values that came last."""

    def __init__(self) -> None:
        self.is_loaded = True
        """What `/VMC/Ext/OK` has: whether the sender has an avatar, and so a face."""
        self._values = np.zeros(len(BLENDSHAPE_NAMES), np.float32)
        self._present = np.zeros(len(BLENDSHAPE_NAMES), bool)
        self._waiting: dict[int, float] = {}
        """Of the VMC protocol: values that count from the next Apply on."""
        self._bones: dict[str, np.ndarray] = {}
        self._newest_bundle = 0.0
        self._sent_s: float | None = None
        self.has_restarted = False
        """Whether the sender's clock was set back by the last packet."""

    def decode(self, packet: bytes) -> tuple[LiveFace | None, list[str]]:
        """The face that a packet completes, None where it completes none; and what of it was not taken, each a kind of fault.

        Raises:
            Unusable: nothing of it can be read.
        """
        if len(packet) > LARGEST:
            raise Unusable(TOO_LARGE)
        messages = _messages(packet)
        self._check_order(packet)
        self.has_restarted = False
        is_complete, faults = False, []
        for address, params in messages:
            try:
                is_complete |= self._take(address, params)
            except Unusable as fault:
                faults.append(str(fault))
        face = LiveFace(self._values.copy(), self._present.copy(), self._turn(), self._sent_s) if is_complete else None
        return face, faults

    def _check_order(self, packet: bytes) -> None:
        if not packet.startswith(b"#bundle\0"):
            return
        _, tag = _TIMETAG.unpack_from(packet)
        if tag == _IMMEDIATELY:
            return
        sent_s = tag / 2**32
        if 0 < self._newest_bundle - sent_s < _STALE_S:
            raise Unusable(STALE)
        self._newest_bundle = sent_s

    def _take(self, address: str, params: list[Any]) -> bool:
        """Whether a face is complete with this message."""
        if not address.lower().startswith("/vmc/"):
            return self._take_plain(address, params)
        kind = address.lower().removeprefix("/vmc/ext/")
        if kind == "blend/val":
            index, value = _named(params)
            is_repeated = index in self._waiting  # of a sender that never sends Apply
            complete = is_repeated and self._apply()
            self._waiting[index] = value
            return complete
        if kind == "blend/apply":
            return self._apply()
        if kind == "bone/pos":
            self._take_bone(params)
        elif kind == "ok" and params and isinstance(params[0], int):
            self.is_loaded = bool(params[0])
        elif kind == "t" and params and _is_number(params[0]):
            self.has_restarted |= self._sent_s is not None and params[0] < self._sent_s
            self._sent_s = float(params[0])
        return False  # other messages of the protocol (body, camera, lights, keys) are right, and no business of a face

    def _take_plain(self, address: str, params: list[Any]) -> bool:
        index = shape_index(address.rsplit("/", 1)[-1])
        if index is not None and len(params) == 1:
            value = _number(params[0])
        else:
            index, value = _named(params)
        self._values[index], self._present[index] = value, True
        return True

    def _take_bone(self, params: list[Any]) -> None:
        if not params or not isinstance(params[0], str) or params[0].lower() not in ("head", "neck"):
            return
        if len(params) < 8 or not all(_is_number(number) for number in params[1:8]):
            raise Unusable(BAD_NUMBERS)
        quaternion = np.array(params[4:8], float)
        length = float(np.linalg.norm(quaternion))
        if not 0.5 < length < 2:
            raise Unusable(BAD_NUMBERS)
        self._bones[params[0].lower()] = quaternion / length

    def _apply(self) -> bool:
        for index, value in self._waiting.items():
            self._values[index], self._present[index] = value, True
        complete = bool(self._waiting) or bool(self._bones)
        self._waiting.clear()
        return complete

    def _turn(self) -> Float[np.ndarray, "3 3"] | None:
        """Head after neck. Unity's axes (x to the figure's right, y up, z before it) are ours, all three reversed, and a rotation
        stays the same matrix."""
        if not self._bones:
            return None
        from scipy.spatial.transform import Rotation

        turn = np.eye(3)
        for bone in ("neck", "head"):
            if bone in self._bones:
                turn = turn @ Rotation.from_quat(self._bones[bone]).as_matrix()
        return turn


def _messages(packet: bytes) -> list[tuple[str, list[Any]]]:
    """Address and arguments of each message.

    Raises:
        Unusable: the packet cannot be parsed.
    """
    from pythonosc.osc_packet import OscPacket

    try:
        _check_whole(packet)
        return [(timed.message.address, list(timed.message.params)) for timed in OscPacket(packet).messages]
    except Unusable:
        raise
    except Exception as error:  # whatever a stranger's bytes do to the parser
        raise Unusable(NOT_OSC) from error


def _check_whole(packet: bytes) -> None:
    """Raise `Unusable` where a bundle or an argument ends after the packet: python-osc takes what is missing for zeros."""
    waiting = [(0, len(packet))]
    while waiting:
        at, stop = waiting.pop()
        if packet.startswith(b"#bundle\0", at):
            at += _TIMETAG.size
            while at < stop:
                (size,) = struct.unpack_from(">i", packet, at)
                at += 4
                if not 0 < size <= stop - at:
                    raise Unusable(CUT_OFF)
                waiting.append((at, at + size))
                at += size
            continue
        tags_at = _after_text(packet, at, stop)
        at = _after_text(packet, tags_at, stop)
        for tag in packet[tags_at + 1 : packet.index(b"\0", tags_at)].decode("ascii"):
            at = _after_text(packet, at, stop) if tag in "sS" else at + _SIZES.get(tag, 0)
        if at > stop:
            raise Unusable(CUT_OFF)


_SIZES = dict.fromkeys("ifcrm", 4) | dict.fromkeys("hdt", 8)
"""Bytes of an argument by its type tag; the others have none, or are no number or text."""


def _after_text(packet: bytes, at: int, stop: int) -> int:
    """Where a text, filled up to a multiple of four bytes, has ended."""
    end = packet.find(b"\0", at, stop)
    if end < 0:
        raise Unusable(CUT_OFF)
    return end + 4 - (end - at) % 4


def _named(params: list[Any]) -> tuple[int, float]:
    """The index of a shape and its value, from a name and a number."""
    index = shape_index(params[0]) if len(params) > 1 and isinstance(params[0], str) else None
    if index is None:
        raise Unusable(NO_SHAPES)
    return index, _number(params[1])


def _number(value: Any) -> float:
    if not _is_number(value):
        raise Unusable(BAD_NUMBERS)
    if not -_MOST < value < _MOST:
        raise Unusable(OUTSIDE)
    return min(max(float(value), 0.0), 1.0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
