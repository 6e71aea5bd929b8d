"""Live Link Face's UDP packet, read and written from its layout.

Numbers are big-endian: version (one byte, 6), length and text of the device's id, length and text of the subject's name, frame
number (int32) and its fraction (float32), numerator and denominator of the frame rate (int32 each), a count (one byte, 61) and as
many float32: the shapes in the order of Unreal Engine's enum EARFaceBlendShape, which has JawLeft before JawRight, other than the
app's CSV; then yaw, pitch and roll of the head and of both eyes. A packet that ends after the name, or has a count of 0, shows
no face.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from ...protocol import BLENDSHAPE_NAMES
from ...workspace.shapes import Float
from ..axes import turn_of
from .sample import LiveFace, Unusable

PORT = 11111
VERSION = 6

_SHAPES = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
COUNT = len(_SHAPES) + 9
_HEAD = slice(len(_SHAPES), len(_SHAPES) + 3)
_OURS = np.array([_SHAPES.index(name) for name in BLENDSHAPE_NAMES])
_THEIRS = np.array([BLENDSHAPE_NAMES.index(name) for name in _SHAPES])
_TIME = struct.Struct(">ifiiB")
_LENGTH = struct.Struct(">i")
_MOST_TEXT = 256

NO_FACE, NOT_LIVE_LINK, CUT_OFF, BAD_NUMBERS = (
    "packets in which no face is seen", "packets that are not Live Link Face’s", "packets that are cut off",
    "packets with invalid numbers",
)  # fmt: skip


@dataclass(frozen=True)
class LiveLinkPacket:
    """What a packet has.

    Attributes:
        frame: number of the frame on the device, with its fraction.
        rate: frames a second.
        values: `COUNT` numbers in the packet's order.
    """

    device: str
    subject: str
    frame: float
    rate: float
    values: Float[np.ndarray, " 61"]

    def face(self) -> LiveFace:
        """The face, in our order and axes."""
        return LiveFace(
            self.values[_OURS].clip(0, 1),
            np.ones(len(BLENDSHAPE_NAMES), bool),
            turn_of(self.values[_HEAD].astype(np.float64)),
            self.frame / self.rate,
        )


def parse(packet: bytes) -> LiveLinkPacket:
    """Read a packet.

    Raises:
        Unusable: it is none, is cut off, has invalid numbers, or shows no face.
    """
    if len(packet) < 1 + 2 * _LENGTH.size or packet[0] != VERSION:
        raise Unusable(NOT_LIVE_LINK)
    device, at = _text(packet, 1)
    subject, at = _text(packet, at)
    if len(packet) == at:
        raise Unusable(NO_FACE)
    if len(packet) < at + _TIME.size:
        raise Unusable(CUT_OFF)
    frame, fraction, numerator, denominator, count = _TIME.unpack_from(packet, at)
    at += _TIME.size
    if count == 0:
        raise Unusable(NO_FACE)
    if len(packet) < at + 4 * count:
        raise Unusable(CUT_OFF)
    if count != COUNT:
        raise Unusable(NOT_LIVE_LINK)
    values = np.frombuffer(packet, ">f4", COUNT, at).astype(np.float32)
    if not (math.isfinite(fraction) and numerator > 0 and denominator > 0 and np.isfinite(values).all()):
        raise Unusable(BAD_NUMBERS)
    return LiveLinkPacket(device, subject, frame + fraction, numerator / denominator, values)


def write(
    device: str,
    subject: str,
    frame: float,
    rate: tuple[int, int],
    blendshapes: Float[np.ndarray, " 52"],
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> bytes:
    """A packet.

    Args:
        rate: numerator and denominator.
        angles: yaw, pitch and roll of the head, radians, as the app has them.
    """
    values = np.zeros(COUNT, ">f4")
    values[: len(_SHAPES)] = blendshapes[_THEIRS]
    values[_HEAD] = angles
    texts = b"".join(_LENGTH.pack(len(text)) + text for text in (device.encode(), subject.encode()))
    return bytes([VERSION]) + texts + _TIME.pack(math.floor(frame), frame % 1.0, *rate, COUNT) + values.tobytes()


def _text(packet: bytes, at: int) -> tuple[str, int]:
    """A text and where it ends."""
    if len(packet) < at + _LENGTH.size:
        raise Unusable(CUT_OFF)
    (length,) = _LENGTH.unpack_from(packet, at)
    at += _LENGTH.size
    if not 0 <= length <= _MOST_TEXT:
        raise Unusable(NOT_LIVE_LINK)
    if len(packet) < at + length:
        raise Unusable(CUT_OFF)
    return packet[at : at + length].decode("utf-8", "replace").rstrip("\0"), at + length
