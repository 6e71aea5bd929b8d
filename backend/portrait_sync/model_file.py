"""The model of a clip in its workspace: `portrait_sync.npz` and `background.png`, read and written here alone, and
`camera_motion.npz` beside them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ..errors import WorkspaceError
from ..workspace.files import PROCESS_AGAIN, read_arrays, write_arrays
from ..workspace.images import read_image, write_image
from ..workspace.store import Workspace
from .colours import ColourTables, Neck
from .frame import ClipModel


def model_path(workspace: Workspace) -> Path:
    """`portrait_sync.npz`."""
    return workspace.root / "portrait_sync.npz"


def write_model(workspace: Workspace, model: ClipModel, key: str) -> None:
    """Write the files, atomically; `key` is that of the stage."""
    write_image(workspace.background_path, model.background)
    if model.camera is None:
        workspace.camera_path_file.unlink(missing_ok=True)
    else:
        model.camera.write(workspace.camera_path_file)
    write_arrays(
        model_path(workspace),
        key=key,
        seen=model.seen,
        noise=model.noise,
        colours=np.stack([getattr(model.colours, field.name) for field in dataclasses.fields(ColourTables)]),
        hair_map=model.hair_map,
        neck_colour=model.neck.colour,
        face_height=model.face_height,
        camera_motion=model.camera_motion,
    )


def read_model(workspace: Workspace, key: str) -> ClipModel | None:
    """The model, or None where there is none of this key."""
    if not (model_path(workspace).exists() and workspace.background_path.exists()):
        return None
    arrays = read_arrays(model_path(workspace))
    if str(arrays["key"]) != key:
        return None
    colours = ColourTables(*arrays["colours"])
    return ClipModel(
        background=read_image(workspace.background_path),
        seen=arrays["seen"],
        noise=arrays["noise"],
        colours=colours,
        hair_map=arrays["hair_map"],
        neck=Neck.of(arrays["neck_colour"], colours.skin),
        face_height=float(arrays["face_height"]),
        camera_motion=float(arrays.get("camera_motion", 0.0)),
        camera=workspace.camera_path(),
    )


def read_seen(workspace: Workspace) -> np.ndarray:
    """`ClipModel.seen` of a processed workspace, (S, S) bool."""
    return read_arrays(model_path(workspace))["seen"]


def finished_model(workspace: Workspace) -> ClipModel:
    """The model of a workspace whose stage is done.

    Raises:
        WorkspaceError: the stage is not done, or its files are missing or damaged.
    """
    workspace.require("portrait_sync")
    model = read_model(workspace, str(workspace.subject.stages["portrait_sync"].get("key")))
    if model is None:
        raise WorkspaceError(f"{model_path(workspace)} or {workspace.background_path} is missing: {PROCESS_AGAIN}.")
    return model
