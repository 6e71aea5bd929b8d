"""`capture video`: a clip of another person drives this head; here the synthetic speaker, who is both."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from backend.capture.from_video import TrackedFace
from backend.commands.capture import video
from backend.commands.render import Options as Render
from backend.commands.render import run as render
from backend.errors import CaptureError, UsageError
from backend.media.audio import read_audio
from backend.media.decode import probe
from backend.progress import Reporter
from backend.workspace.arrays import correlation
from backend.workspace.landmarks import lip_opening
from backend.workspace.poses import rotation_log
from backend.workspace.store import Workspace
from tests.backend.made_up_track import make_track

pytestmark = pytest.mark.long


def run(driver: Path, workspace: Path, **options) -> video.Result:
    return video.run(video.Options(video=driver, workspace=workspace, **options), Reporter())


def test_a_clip_is_tracked_by_the_stages_and_drives_the_head(short_clip, trained, tmp_path):
    result = run(short_clip, trained, take=("mouth", "brows", "eyes", "head"))
    workspace, tracked = Workspace.open(trained), Workspace.open(trained / "captures" / "short")
    assert [
        tracked.stage_state(name) for name in ("media", "landmarks", "head_sync", "face_sync", "portrait_sync")
    ] == [
        *["done"] * 4,
        "absent",
    ]
    assert result.taken == ("mouth", "brows", "eyes", "head") and result.missing == ()
    animation, track = workspace.animation(result.animation), workspace.head_track()
    # The same clip was tracked twice, so the speaker drives himself: nearly what he did.
    lips = lip_opening(track.landmarks_px)[: animation.frames]
    jaw = animation.blendshapes[:, 24]
    assert correlation(jaw, track.blendshapes[: animation.frames, 24]) > 0.98 and correlation(jaw, lips) > 0.5
    turned = rotation_log(
        track.head_to_camera[: animation.frames, :3, :3].swapaxes(1, 2) @ animation.head_to_camera[:, :3, :3]
    )
    assert np.degrees(np.linalg.norm(turned, axis=1)).max() > 0.5, "the clip's own turns came on top"
    assert result.audio is not None
    with wave.open(str(result.audio)) as audio:
        assert audio.getnframes() == round(animation.frames / 25 * 48_000)
    heard, clip = read_audio(result.audio), read_audio(short_clip)
    late = round(tracked.subject.audio_offset_ms * 16)
    both = min(len(heard), len(clip) - late)
    assert correlation(heard[:both], clip[late : late + both]) > 0.98, "the driver's audio, its offset taken out"

    render(
        Render(workspace=trained, directions=result.animation, out=tmp_path / "take.mp4", size=128, unsigned=True),
        Reporter(),
    )
    assert probe(tmp_path / "take.mp4").frames == animation.frames


def test_a_tracked_clip_is_not_tracked_again(short_clip, processed_once, trained):
    """A workspace of the driver is taken as it is."""
    before = (processed_once / "tracking.npz").stat().st_mtime_ns
    result = run(processed_once, trained)
    assert (processed_once / "tracking.npz").stat().st_mtime_ns == before and result.taken == ("mouth", "brows", "eyes")
    assert not (trained / "captures").exists()
    assert result.animation == trained / "renders" / "speaker" / "animation.npz"
    own, driven = Workspace.open(trained).head_track(), Workspace.open(trained).animation(result.animation)
    assert np.abs(driven.blendshapes - own.blendshapes[: driven.frames]).max() < 0.05


def test_the_heads_own_workspace_cannot_hold_the_drivers_clip(short_clip, trained):
    with pytest.raises(UsageError, match="another workspace"):
        run(short_clip, trained, tracked=trained)


def test_frames_without_a_face_are_gaps(processed):
    workspace = Workspace.open(processed)
    valid = np.ones(workspace.subject.frames, bool)
    valid[30:40] = False
    make_track(len(valid), valid=valid).write(workspace.tracking_path, 25.0)
    capture = TrackedFace.of(workspace).capture
    assert np.allclose(np.diff(capture.times_s).max(), 11 / 25) and len(capture.blendshapes) == valid.sum()
    make_track(len(valid), valid=np.arange(len(valid)) < 5).write(workspace.tracking_path, 25.0)
    with pytest.raises(CaptureError, match="tracked in 5 frames only"):
        TrackedFace.of(workspace)
