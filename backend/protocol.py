"""JSON-RPC 2.0 between Blender and the backend, one message a line. Standard library only: both sides import this.

docs/protocol.md lists the methods. A long job is one request whose response is its result; meanwhile the backend
sends notifications that carry the request's id as `job`. Anything the backend's libraries print goes to stderr, never
to stdout: stdout carries messages alone.
"""

from __future__ import annotations

import enum
import json
from typing import Any

VERSION = 2

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603
USER_ERROR = -32000
"""A `SyncTalkError`: `message` is a sentence for the user, `data.kind` its class."""

AUTO, GAUSSIANS, FIELD = HEADS = ("auto", "gaussians", "field")
"""Which head is meant: what fits best, the Gaussian twin, or the tri-plane field."""
DEVICE_VARIABLE = "SYNCTALK_DEVICE"
"""Environment variable with what `--device auto` means: `cpu`, `cuda`, `cuda:N` or `mps`."""
OURS, PAPER, NO_PORTRAIT = PORTRAITS = ("ours", "paper", "none")
"""How a head is put into the footage (docs/portrait-sync.md)."""

DEPTH, VECTOR, NORMAL = "Depth", "Vector", "Normal"
MATTES = HEAD, HAIR, MOUTH, SKIN, NECK = "Head", "Hair", "Mouth", "Skin", "Neck"
PASSES = {DEPTH: "Z", VECTOR: "XYZW", NORMAL: "XYZ", **dict.fromkeys(MATTES, "X")}
"""What a frame has besides its colour (docs/delivery.md): names as Blender has them, each with a letter a channel."""
NO_DEPTH_M = 1e10
"""Depth of a pixel that shows no head, as Blender has it."""

MARKED, NOT_OURS, ALTERED = 0, 1, 3
"""`status` of a file in the result of `verify`, and the command's exit status, where 2 is a wrong command line."""

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A longer line is nonsense: the reader drops the connection instead of filling memory."""

SYNTHETIC_MARK = "Synthetic likeness made with SyncTalk"
"""Metadata that marks every likeness as synthetic."""
SYNTHETIC_NOTE = "Synthetic likeness of {subject} made with SyncTalk for Blender"
"""What Blender writes into what it renders: the note in images, the comment in videos."""

BLENDSHAPE_NAMES: tuple[str, ...] = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""ARKit's 52 names in MediaPipe's order without `_neutral`, then `tongueOut`. Left is the subject's left."""

MOUTH_NAMES: tuple[str, ...] = tuple(
    name for name in BLENDSHAPE_NAMES if name.startswith(("jaw", "mouth")) or name in ("cheekPuff", "tongueOut")
)
"""The blendshapes that speech drives."""

CAPTURE_PARTS = MOUTH_PART, BROWS_PART, EYES_PART, HEAD_PART = ("mouth", "brows", "eyes", "head")
"""What a capture may drive; the footage drives the rest."""


class Stage(str, enum.Enum):
    """What a job does, as `progress` notifications carry it; downloads, benchmarks and research have their own texts."""

    MEDIA = "media"
    LANDMARKS = "landmarks"
    HEAD_SYNC = "head_sync"
    FACE_SYNC = "face_sync"
    PORTRAIT_SYNC = "portrait_sync"
    FOOTAGE = "footage"
    MATTES = "mattes"
    LOADING = "loading frames"
    VISUAL_HULL = "building the visual hull"
    GAUSSIANS = "placing the Gaussians"
    FOCAL_LENGTH = "choosing the focal length"
    KERNELS = "preparing the kernels"
    TRAINING = "training"
    POSES = "refining poses"
    MOUTH = "measuring the mouth again"
    SAVING = "saving the head"
    READINESS = "measuring mouth and eyes"
    SPEAK = "speak"
    CAPTURE = "reading the capture"
    RENDERER = "preparing the renderer"
    RENDERING = "rendering"
    COMPARING = "rendering frames to compare"

    __str__ = str.__str__


class MessageError(ValueError):
    """A line that is not a JSON-RPC 2.0 message."""


def encode(message: dict[str, Any]) -> bytes:
    """One message as one UTF-8 line. NaN and infinity are refused: they are not JSON."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def decode(line: bytes | str) -> dict[str, Any]:
    """The message in a line.

    Raises:
        MessageError: the line is not a JSON object with `"jsonrpc": "2.0"`.
    """
    try:
        message = json.loads(line)
    except (ValueError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"not JSON: {error}") from error
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise MessageError("not a JSON-RPC 2.0 message")
    return message


def request(request_id: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """A request; its response carries the same id."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def notification(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """A message that needs no response: progress, log, preview, cancel."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def response(request_id: int, result: Any) -> dict[str, Any]:
    """The answer to a request."""
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def error_response(request_id: int | None, code: int, message: str, **data: Any) -> dict[str, Any]:
    """The failure of a request: `message` is a sentence, `data` carries `kind` and, for defects, `traceback`."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message, "data": data}}


def format_duration(seconds: float) -> str:
    """Seconds as people read them: `48 s`, `3 min 05 s`, `2 h 10 min`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
