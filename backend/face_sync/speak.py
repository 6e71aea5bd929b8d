"""Speech: an audio file becomes an animation of the head (docs/animation.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..errors import SyncTalkError
from ..media.audio import audio_blocks, convert_speech, workspace_audio, write_wav
from ..media.audio_rates import DELIVERY_RATE, RATE
from ..media.guard import guarded, guarded_items
from ..progress import Reporter
from ..protocol import Stage
from ..workspace.animation import Animation
from ..workspace.checkpoint_index import AUTO
from ..workspace.store import Workspace
from . import speech
from .audio_features import StepFeatures
from .footage_beneath import footage_beneath, shapes_beneath
from .steps import at_frames, steps_over

STAGE = Stage.SPEAK


def speak(
    workspace: Workspace,
    audio: Path | None,
    out_dir: Path,
    *,
    head: str = AUTO,
    strength: float = 1.0,
    speech_gain: float = 1.0,
    smoothing_ms: float = 0.0,
    offset_ms: float = 0.0,
    close_in_silence: bool = False,
    idle_s: Sequence[float] = (0.0, 0.0),
    reporter: Reporter | None = None,
) -> Path:
    """Write `animation.npz` and `speech.wav` into `out_dir`.

    The mouth follows the audio. Lids, brows, gaze, head pose and plate come from the footage, in order for as long as it
    lasts, else with transitions that are not seen (`footage_path`).

    Args:
        workspace: processed up to `face_sync`.
        audio: an audio or video file of any length, rate and layout; None repeats the clip itself as tracked.
        head: of `checkpoint_index.HEADS`: whose poses.
        strength: of the mouth's motion about its resting pose; 0 keeps it at rest, 1 is the subject's own.
        speech_gain: factor on the mouth's motion for new audio; compensates a head that opens its lips too little.
        smoothing_ms: full width at half maximum of a Gaussian over the mouth's motion; 0 for none.
        offset_ms: shift of the mouth against the audio, positive is earlier: the mouth at t speaks the audio at t +
            `offset_ms`.
        close_in_silence: shut the lips in pauses, where they otherwise rest as this subject's do.
        idle_s: the part of the clip to stay in, from and to in seconds; twice 0 for all of it. Has no use without `audio`.

    Returns:
        The path of `animation.npz`.

    Raises:
        MediaError, AudioError: the audio cannot be used.
        WorkspaceError, ModelError: the workspace is not processed, or damaged.
        SyncTalkError: no idle part of the clip.
    """
    if not (math.isfinite(strength) and math.isfinite(smoothing_ms) and math.isfinite(offset_ms)) or smoothing_ms < 0:
        raise SyncTalkError("Strength, smoothing and offset must be finite numbers, and smoothing 0 or more.")
    reporter = reporter or Reporter()
    workspace.require("face_sync")
    track, rate = workspace.head_track(head=head), workspace.subject.rate
    model = speech.SpeechModel.load(workspace.root / "speech.safetensors")
    reporter.progress(STAGE, 0, 3, "steps", "reading the audio")
    speech_path = out_dir / "speech.wav"
    if audio is None:
        if any(idle_s):
            raise SyncTalkError("An idle part needs audio to speak: without it the clip itself is reproduced.")
        samples = workspace_audio(workspace)
        write_wav(speech_path, [samples])
        plate_frame = np.arange(track.frames)
        features = StepFeatures([samples], steps_over(track.frames, rate), offset_ms)
        mouth = speech.strengthened(model, track.blendshapes[:, speech.MOUTH_INDEX], strength)
    else:
        source = Path(audio)
        length = guarded(
            convert_speech, source, speech_path, DELIVERY_RATE, reporter=reporter, about=source, folders=(out_dir,)
        )
        frames = math.ceil(round(length / DELIVERY_RATE * float(rate), 3))
        reporter.progress(STAGE, 0, 3, "steps", "choosing footage")
        plate_frame = footage_beneath(workspace, track, frames, idle_s, reporter)
        reporter.progress(STAGE, 1, 3, "steps", "mouth from the audio")
        blocks = guarded_items(audio_blocks, source, RATE, reporter=reporter, about=source)
        features = StepFeatures(blocks, steps_over(frames, rate), offset_ms)
        mouth = at_frames(speech.predict(model, features, strength * speech_gain), frames, rate)
    if close_in_silence:
        share = at_frames(speech.shut_share(features)[:, None], len(mouth), rate)[:, 0]
        mouth = speech.closed_in_pauses(model, mouth, share.clip(0, 1))
    if smoothing_ms > 0:
        sigma = smoothing_ms / 1000 * float(rate) / (2 * math.sqrt(2 * math.log(2)))
        mouth = gaussian_filter1d(mouth, sigma, axis=0)
    blendshapes = shapes_beneath(track, plate_frame, idle_s, rate)
    blendshapes[:, speech.MOUTH_INDEX] = np.clip(mouth, 0, 1)

    reporter.progress(STAGE, 2, 3, "steps", "writing")
    path = out_dir / "animation.npz"
    poses = track.head_to_camera[plate_frame]
    Animation(blendshapes, poses, track.camera, plate_frame, rate, speech_path, offset_ms).write(path)
    reporter.progress(STAGE, 3, 3, "steps")
    return path
