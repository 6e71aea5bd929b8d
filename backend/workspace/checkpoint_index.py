"""The checkpoints of a head: their files, and what is read of them without torch: the refined track, what was measured.

`step_*.safetensors` hold the field, `gaussians_*.safetensors` its Gaussian twin, each with the poses it was fitted with.

A safetensors file is 8 bytes of header length, a JSON header, then the tensors' bytes, little-endian.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..protocol import AUTO, FIELD, GAUSSIANS
from ..protocol import HEADS as HEADS
from .files import read_object
from .shapes import Float

_KINDS = {"F32": "<f4", "F64": "<f8"}
_MAX_HEADER_BYTES = 100 << 20
"""As safetensors itself has it."""


@dataclass(frozen=True)
class RefinedTrack:
    """Poses, focal length and blendshapes as a training has refined them.

    Attributes:
        head_sync: key of the stage whose track it began from; empty in checkpoints of earlier versions.
        blendshapes: None where the training left them as they were tracked.
    """

    head_to_camera: Float[np.ndarray, "n 4 4"]
    focal_px: float
    head_sync: str
    blendshapes: Float[np.ndarray, "n 52"] | None = None


def checkpoint_paths(folder: Path) -> list[Path]:
    """`step_*.safetensors` in the folder, the newest first."""
    return sorted(
        (path for path in folder.glob("step_*.safetensors") if re.fullmatch(r"step_\d{7,}", path.stem)), reverse=True
    )


def gaussian_paths(folder: Path) -> list[Path]:
    """`gaussians_*.safetensors` in the folder, the newest first."""
    return sorted(
        (path for path in folder.glob("gaussians_*.safetensors") if re.fullmatch(r"gaussians_\d{7,}", path.stem)),
        reverse=True,
    )


def kind_of(path: Path) -> str:
    """`gaussians` or `field`, by a checkpoint's name."""
    return GAUSSIANS if path.name.startswith(GAUSSIANS) else FIELD


def step_of(path: Path) -> int:
    """How many steps a checkpoint was trained for, by its name."""
    return int(path.stem.rpartition("_")[2])


def head_paths(folder: Path, kind: str = AUTO) -> list[Path]:
    """Checkpoints that can stand for the head, the best first.

    Args:
        kind: of `HEADS`. By default Gaussians, then the field; the field first where the newest twin was measured to be
            worse than it.
    """
    field, gaussians = checkpoint_paths(folder), gaussian_paths(folder)
    if kind != AUTO:
        return gaussians if kind == GAUSSIANS else field
    return [*field, *gaussians] if gaussians and _is_worse(gaussians[0]) else [*gaussians, *field]


def _is_worse(path: Path) -> bool:
    try:
        return _read_state(path).get("preferred") == FIELD
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return False  # damaged: the next one is read


def newest_track(folder: Path, kind: str = AUTO) -> RefinedTrack | None:
    """The track of the checkpoint that stands for the head; None without one."""
    for path in head_paths(folder, kind):
        try:
            return read_track(path)
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            continue  # damaged: `training.checkpoints` warns of it
    return None


def read_track(path: Path) -> RefinedTrack:
    """The track of one checkpoint.

    Raises:
        OSError, ValueError, KeyError, TypeError, struct.error: the file is missing or damaged.
    """
    with open(path, "rb") as file:
        length, header = _read_header(file)
        state = json.loads(header.pop("__metadata__")["state"])
        if path.stat().st_size != 8 + length + max(entry["data_offsets"][1] for entry in header.values()):
            raise ValueError("its length does not fit its header")
        start = 8 + length
        poses = _read_tensor(file, start, header["poses"]).astype(np.float64)
        kept = header.get("blendshapes")
        blendshapes = None if kept is None else _read_tensor(file, start, kept)
    return RefinedTrack(poses, float(state["focal_px"]), str(state.get("head_sync", "")), blendshapes)


def _read_tensor(file: BinaryIO, start: int, entry: dict[str, Any]) -> np.ndarray:
    """
    Args:
        start: where the tensors' bytes begin in the file.
        entry: of the header.
    """
    begin, end = entry["data_offsets"]
    file.seek(start + begin)
    return np.frombuffer(file.read(end - begin), _KINDS[entry["dtype"]]).reshape(entry["shape"])


def _read_header(file: BinaryIO) -> tuple[int, dict[str, Any]]:
    """Its length in bytes and its content."""
    length = struct.unpack("<Q", file.read(8))[0]
    if length > _MAX_HEADER_BYTES:
        raise ValueError(f"a header of {length} bytes")
    return length, json.loads(file.read(length))


def _read_state(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        state: dict[str, Any] = json.loads(_read_header(file)[1]["__metadata__"]["state"])
    return state


def training_config(folder: Path) -> dict[str, Any]:
    """`config.json`, which describes the newest checkpoint; empty where it is missing or damaged."""
    return read_object(folder / "config.json")


def readiness_path(folder: Path, kind: str) -> Path:
    """The file with what `training.readiness` measured of a kind of head."""
    return folder / ("readiness.json" if kind == FIELD else f"readiness_{kind}.json")


def readiness_of(folder: Path, head: str = AUTO) -> dict[str, Any] | None:
    """What `training.readiness` measured of a head's newest checkpoint; None where it did not, or measured another."""
    for path in head_paths(folder, head)[:1]:
        kind = kind_of(path)
        kept = read_object(readiness_path(folder, kind))
        if kept.get("head", FIELD) == kind and kept.get("step") == step_of(path):  # earlier versions wrote no `head`
            return kept
    return None
