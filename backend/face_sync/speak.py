"""Speech: an audio file becomes an animation of the head (docs/animation.md)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..errors import FaceError, SyncTalkError
from ..media.audio import audio_blocks, convert_speech, workspace_audio, write_wav
from ..media.audio_rates import DELIVERY_RATE, RATE
from ..media.guard import guarded, guarded_items
from ..progress import Reporter
from ..protocol import BLENDSHAPE_NAMES, Stage
from ..workspace.animation import Animation
from ..workspace.checkpoint_index import AUTO
from ..workspace.intervals import intervals
from ..workspace.store import Workspace
from ..workspace.subject import FPS
from . import speech
from .audio_features import FrameFeatures

STAGE = Stage.SPEAK
TURN_WINDOW_S = 2.0
"""How far from the ends of the footage playback may reverse, to find a moment at which the head is still."""


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
    reporter: Reporter | None = None,
) -> Path:
    """Write `animation.npz` and `speech.wav` into `out_dir`.

    The mouth follows the audio. Lids, brows, gaze, head pose and plate come from the footage, which is played forwards
    and backwards if the audio is longer.

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

    Returns:
        The path of `animation.npz`.

    Raises:
        MediaError, AudioError: the audio cannot be used.
        WorkspaceError, ModelError: the workspace is not processed, or damaged.
    """
    if not (math.isfinite(strength) and math.isfinite(smoothing_ms) and math.isfinite(offset_ms)) or smoothing_ms < 0:
        raise SyncTalkError("Strength, smoothing and offset must be finite numbers, and smoothing 0 or more.")
    reporter = reporter or Reporter()
    workspace.require("face_sync")
    track = workspace.head_track(head=head)
    model = speech.SpeechModel.load(workspace.root / "speech.safetensors")
    reporter.progress(STAGE, 0, 3, "steps", "reading the audio")
    speech_path = out_dir / "speech.wav"
    if audio is None:
        samples = workspace_audio(workspace)
        write_wav(speech_path, [samples])
        plate_frame = np.arange(track.frames)
        features = FrameFeatures([samples], track.frames, offset_ms)
        mouth = speech.strengthened(model, track.blendshapes[:, speech.MOUTH_INDEX], strength)
    else:
        source = Path(audio)
        length = guarded(
            convert_speech, source, speech_path, DELIVERY_RATE, reporter=reporter, about=source, folders=(out_dir,)
        )
        frames = math.ceil(round(length / DELIVERY_RATE * FPS, 3))
        plate_frame = footage_path(track.head_to_camera, track.valid, track.blendshapes, frames)
        reporter.progress(STAGE, 1, 3, "steps", "mouth from the audio")
        blocks = guarded_items(audio_blocks, source, RATE, reporter=reporter, about=source)
        features = FrameFeatures(blocks, frames, offset_ms)
        mouth = speech.predict(model, features, strength * speech_gain)
    if close_in_silence:
        mouth = speech.closed_in_pauses(model, mouth, features)
    if smoothing_ms > 0:
        sigma = smoothing_ms / 1000 * FPS / (2 * math.sqrt(2 * math.log(2)))
        mouth = gaussian_filter1d(mouth, sigma, axis=0)
    blendshapes = track.blendshapes[plate_frame]
    blendshapes[:, speech.MOUTH_INDEX] = np.clip(mouth, 0, 1)

    reporter.progress(STAGE, 2, 3, "steps", "writing")
    path = out_dir / "animation.npz"
    poses = track.head_to_camera[plate_frame]
    Animation(blendshapes, poses, track.camera, plate_frame, speech_path, offset_ms).write(path)
    reporter.progress(STAGE, 3, 3, "steps")
    return path


def footage_path(head_to_camera: np.ndarray, valid: np.ndarray, blendshapes: np.ndarray, frames: int) -> np.ndarray:
    """Footage frame under each frame of the animation.

    The longest tracked interval is played forwards and backwards, one frame at a time, so nothing jumps. Playback reverses
    within `TURN_WINDOW_S` of the interval's ends, where the head is still and the eyes are open.

    Args:
        head_to_camera: (N, 4, 4). valid: (N,) bool. blendshapes: (N, 52). frames: number of frames.

    Returns:
        (frames,) int.

    Raises:
        FaceError: no frame is valid.
    """
    tracked = intervals(np.asarray(valid, bool))
    if not tracked:
        raise FaceError("No frame of this clip has a tracked head: process a clip that shows the face.")
    start, stop = max(tracked, key=lambda interval: interval[1] - interval[0])
    if frames <= stop - start:
        return np.arange(start, start + frames)
    if stop - start < 3:
        return np.full(frames, start)

    position = head_to_camera[start:stop, :3, 3] + 0.1 * head_to_camera[start:stop, :3, 2]
    speed = np.linalg.norm(np.gradient(position, axis=0), axis=1)
    speed /= np.median(speed) + 1e-9
    blink = blendshapes[start:stop, [BLENDSHAPE_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]].max(1)
    cost = gaussian_filter1d(speed + 4 * blink, 2.0)
    window = min(int(TURN_WINDOW_S * FPS), (stop - start) // 4)
    low = int(np.argmin(cost[: window + 1]))
    high = len(cost) - 1 - int(np.argmin(cost[::-1][: window + 1]))
    # The first pass starts at the first frame of the interval; later passes run between the two turning points.
    step = np.arange(frames)
    later = (step - low) % (2 * (high - low))
    bounced = low + np.where(later <= high - low, later, 2 * (high - low) - later)
    return start + np.where(step < low, step, bounced)
