"""The stage `face_sync`: blendshapes of the footage, face mesh, audio features, and the map from audio to mouth."""

from __future__ import annotations

import numpy as np

from ..media.audio import read_audio
from ..media.audio_timeline import offsets_ms
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.face_mesh import FaceMesh
from ..workspace.files import key_of, read_arrays, write_arrays
from ..workspace.head_track import HeadTrack
from ..workspace.store import Workspace
from ..workspace.subject import AudioPiece, Subject
from . import adaptation, blendshape_basis, blendshapes, calibration, face_mesh, speech
from .audio_features import step_features
from .clip_offset import as_parts, find_dead_audio, settle_offsets, write_corrected
from .dead_audio import heard_frames
from .encoders.speech_encoder import weights_digest
from .lip_measures import lip_measures
from .steps import STEP_RATE, all_at_steps, at_steps, steps_before

STAGE = Stage.FACE_SYNC
VERSION = 7
"""Part of the stage's key; increased when results change."""

SPEECH_STEPS = 16
"""Weight of the speech adaptation in the progress, beside four short steps."""

FILES = ("tracking.npz", "face_mesh.npz", "audio_features.npz", "speech.safetensors")


def run(workspace: Workspace, reporter: Reporter, audio_offset_ms: float | str | None = None) -> None:
    """Write `tracking.npz`, `face_mesh.npz`, `audio_features.npz` and `speech.safetensors`.

    Files are written atomically; an interrupted run starts the stage again, which takes seconds.

    Args:
        audio_offset_ms: a number or `auto` sets the subject's; `measure` keeps it and reports the difference; None is
            `auto` the first time and `measure` from then on.

    Raises:
        WorkspaceError: an earlier stage is missing.
        Cancelled: the user asked to stop.
    """
    workspace.require("media", "landmarks", "head_sync")
    subject = workspace.subject
    complete = all((workspace.root / name).exists() for name in FILES) and workspace.aligned_audio[0].exists()
    if _is_kept(audio_offset_ms, subject) and complete and workspace.stage_is_done(STAGE, _key(workspace)):
        return
    steps = 4 + SPEECH_STEPS
    reporter.progress(STAGE, 0, steps, "steps", "reading the tracking")
    landmarks = read_arrays(workspace.root / "landmarks.npz")
    head = workspace.pose_track()
    valid, cuts = head.valid, head.cuts
    frames = len(valid)
    points = landmarks["landmarks_px"].astype(np.float32)
    view = blendshapes.View(head.head_to_camera, head.camera.focal_px, head.principal_px)

    reporter.progress(STAGE, 1, steps, "steps", "audio offset")
    audio = read_audio(workspace.audio_path)
    training = np.arange(frames) < subject.first_test_frame  # held-out frames are not used, not even for the offset
    opening = lip_measures(points, view, valid & training)["opening"]
    dead_s = find_dead_audio(workspace, audio, opening, reporter)
    opening = np.where(heard_frames(frames, subject.fps, dead_s), opening, np.nan)
    settle_offsets(workspace, audio_offset_ms, audio, opening, cuts, reporter)
    pieces = subject.audio_timeline or [AudioPiece(0.0, subject.audio_offset_ms)]
    heard = heard_frames(frames, subject.fps, dead_s, offsets_ms(pieces, np.arange(frames) / subject.fps))
    stage_key = _key(workspace)
    if complete and workspace.stage_is_done(STAGE, stage_key):
        return
    workspace.stage_begins(STAGE, stage_key)

    reporter.progress(STAGE, 2, steps, "steps", "blendshapes")
    face = calibration.neutral_face(head.face_head_m, points, view, valid & training)
    shapes = blendshape_basis.displacements(face)
    scores = landmarks["scores"] if len(landmarks["scores"]) else None
    coefficients = blendshapes.capture(points, view, face, shapes, valid, scores, subject.fps)
    HeadTrack(
        head.camera,
        head.head_to_camera,
        valid,
        points,
        coefficients,
        face,
        head.points_head_m,
        head.points_px,
        head.points_seen,
        cuts,
        head.reprojection_px,
        subject.stages["head_sync"]["key"],
    ).write(workspace.tracking_path, subject.fps)

    reporter.progress(STAGE, 3, steps, "steps", "face mesh")
    FaceMesh(face, face_mesh.triangles(), shapes).write(workspace.face_mesh_path)

    reporter.progress(STAGE, 4, steps, "steps", "speech")
    write_corrected(workspace, audio)
    path, offset_ms = workspace.aligned_audio
    steps_held = steps_before(frames, subject.rate)
    features = step_features(audio if path == workspace.audio_path else read_audio(path), steps_held, offset_ms)
    write_arrays(workspace.root / "audio_features.npz", features=features, fps=float(STEP_RATE), heard=heard)
    trained = slice(steps_before(subject.first_test_frame, subject.rate))
    model = adaptation.fit(
        features[trained],
        at_steps(coefficients[:, speech.MOUTH_INDEX], steps_held, subject.rate)[trained],
        all_at_steps(valid & heard, steps_held, subject.rate)[trained],
        shapes[speech.MOUTH_INDEX],
        lambda share: reporter.progress(STAGE, 4 + SPEECH_STEPS * share, steps, "steps", "speech"),
    )
    model.save(workspace.root / "speech.safetensors")
    reporter.progress(STAGE, steps, steps, "steps")
    workspace.stage_ends(STAGE, stage_key)


def _key(workspace: Workspace) -> str:
    """What the stage's result depends on."""
    subject = workspace.subject
    earlier = [subject.stages.get(name, {}).get("key") for name in ("media", "landmarks", "head_sync")]
    pieces = [as_parts(subject.audio_timeline)] if subject.audio_timeline else []
    return key_of(STAGE, VERSION, weights_digest(), earlier, subject.audio_offset_ms, *pieces)


def _is_kept(wanted: float | str | None, subject: Subject) -> bool:
    """Whether the option leaves the subject's offsets as they are."""
    return wanted in (None, "measure") or (wanted == subject.audio_offset_ms and not subject.audio_timeline)
