"""The stage `face_sync`: blendshapes of the footage, the face mesh, sound features, and the map from sound to mouth."""

from __future__ import annotations

import numpy as np

from .. import workspace as ws
from ..media.audio import read_audio
from ..options import ProcessOptions
from ..progress import Reporter
from ..protocol import BLENDSHAPE_NAMES
from ..workspace import Workspace
from . import blendshape_basis, blendshapes, face_mesh, speech
from .audio_features import frame_features

STAGE = "face_sync"
VERSION = 2
"""Part of the stage's key: raised when its results change."""


def key(workspace: Workspace, options: ProcessOptions) -> str:
    """What the stage's result depends on."""
    earlier = [workspace.subject.stages.get(name, {}).get("key") for name in ("media", "landmarks", "head_sync")]
    return ws.key_of(STAGE, VERSION, earlier, options.audio_offset_ms)


def run(workspace: Workspace, options: ProcessOptions, reporter: Reporter) -> None:
    """Write `tracking.npz`, `face_mesh.npz`, `audio_features.npz` and `speech.safetensors`.

    Each file is whole or absent; an interrupted run begins the stage again, which takes seconds.

    Raises:
        WorkspaceError: an earlier stage is missing.
        Cancelled: the user asked to stop.
    """
    workspace.require("media", "landmarks", "head_sync")
    stage_key = key(workspace, options)
    if workspace.stage_is_done(STAGE, stage_key):
        return
    workspace.stage_begins(STAGE, stage_key)
    steps = 4
    reporter.progress(STAGE, 0, steps, "steps", "reading the tracking")
    landmarks = ws.read_arrays(workspace.root / "landmarks.npz")
    head = ws.read_arrays(workspace.root / "head_sync.npz")
    valid = head["valid"].astype(bool)
    frames = len(valid)

    reporter.progress(STAGE, 1, steps, "steps", "blendshapes")
    shapes = blendshape_basis.displacements(head["face_head_m"])
    coefficients = blendshapes.capture(
        landmarks["landmarks_px"],
        blendshapes.View(head["head_to_camera"], float(head["focal_px"]), head["principal_px"]),
        head["face_head_m"],
        shapes,
        valid,
        landmarks["scores"] if len(landmarks["scores"]) else None,
    )
    ws.write_arrays(
        workspace.tracking_path,
        frame_time_s=np.arange(frames) / workspace.subject.fps,
        valid=valid,
        landmarks_px=landmarks["landmarks_px"].astype(np.float32),
        focal_px=np.float64(head["focal_px"]),
        principal_px=head["principal_px"],
        head_to_camera=head["head_to_camera"],
        points_head_m=head["points_head_m"],
        points_px=head["points_px"],
        points_seen=head["points_seen"],
        blendshapes=coefficients,
        blendshape_names=np.array(BLENDSHAPE_NAMES),
        reprojection_px=head["reprojection_px"],
        face_head_m=head["face_head_m"],
    )

    reporter.progress(STAGE, 2, steps, "steps", "face mesh")
    ws.write_arrays(
        workspace.root / "face_mesh.npz",
        vertices_m=head["face_head_m"].astype(np.float32),
        triangles=face_mesh.triangles(),
        shape_keys=shapes.astype(np.float32),
        shape_key_names=np.array(BLENDSHAPE_NAMES),
    )

    reporter.progress(STAGE, 3, steps, "steps", "speech")
    audio = read_audio(workspace.audio_path)
    features = frame_features(audio, frames, workspace.subject.audio_offset_ms)
    ws.write_arrays(workspace.root / "audio_features.npz", features=features, fps=workspace.subject.fps)
    training = slice(0, workspace.subject.first_test_frame)
    model = speech.fit(features[training], coefficients[training][:, speech.MOUTH_INDEX], valid[training])
    model.save(workspace.root / "speech.safetensors")
    workspace.stage_ends(STAGE, stage_key)
    reporter.progress(STAGE, steps, steps, "steps")
