"""`capture import`: from a file to an animation that `render` takes."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from backend import protocol
from backend.commands.capture import import_file
from backend.commands.option import from_params
from backend.commands.verify import verify
from backend.errors import CaptureError, UsageError, WorkspaceError
from backend.media.audio import write_wav
from backend.media.audio_rates import DELIVERY_RATE
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.store import Workspace
from backend.workspace.subject import STAGES
from tests.backend.capture_samples import COUNT, codes, live_link_rows, make_take, write_rows
from tests.backend.made_up_track import make_track

RATE = Fraction(30000, 1001)
FRAMES = 150


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Of a subject at 29.97 frames a second."""
    made = Workspace.create(tmp_path / "anna")
    made.subject.frames, made.subject.rate, made.subject.size = FRAMES, RATE, 256
    made.subject.stages = {name: {"state": "done", "key": ""} for name in STAGES}
    made.save()
    make_track(FRAMES).write(made.tracking_path, float(RATE))
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A take of two seconds at 60 frames a second, with audio beside it."""
    write_wav(tmp_path / "line.wav", [0.1 * np.sin(np.arange(32_000) * 0.1).astype(np.float32)])
    return write_rows(tmp_path / "line.csv", live_link_rows(make_take(), codes(COUNT, 60, first=3600)))


def run(workspace: Workspace, file: Path, **options) -> import_file.Result:
    return import_file.run(import_file.Options(workspace=workspace.root, file=file, **options), Reporter())


def test_a_take_is_an_animation_at_the_subjects_rate_with_its_audio(workspace, file):
    result = run(workspace, file)
    assert result.animation == workspace.renders / "line" / "animation.npz"
    assert result.audio == workspace.renders / "line" / "speech.wav"
    animation = workspace.animation(result.animation)
    assert animation.rate == RATE and animation.audio == result.audio
    checked = verify(result.audio)
    assert (checked.status, checked.manifest, checked.made["content"]) == (0, "untrusted", "speech")
    assert result.frames == animation.frames == int((COUNT - 1) / 60 * float(RATE)) + 1
    assert (result.taken, result.missing, result.source_fps) == (("mouth", "brows", "eyes"), (), 60)
    assert result.timecode == "00:01:00:00"
    with wave.open(str(result.audio)) as audio:
        assert audio.getframerate() == DELIVERY_RATE
        assert audio.getnframes() == round(result.frames / float(RATE) * DELIVERY_RATE)
    assert np.array_equal(animation.head_to_camera, workspace.head_track().head_to_camera[: animation.frames])


def test_as_is_the_files_values_are_the_animations(workspace, file):
    shapes = workspace.animation(run(workspace, file, as_is=True).animation).blendshapes
    at_s, times_s = np.arange(len(shapes)) / float(RATE), np.arange(COUNT) / 60
    jaw = BLENDSHAPE_NAMES.index("jawOpen")
    plain = np.interp(at_s, times_s, make_take().shapes[:, jaw])
    assert np.allclose(shapes[1:-1, jaw], plain[1:-1], atol=0.01)


def test_the_head_turns_when_it_is_to_be_taken(workspace, file):
    result = run(workspace, file, take=("head",))
    animation, track = workspace.animation(result.animation), workspace.head_track()
    assert result.taken == ("head",)
    assert np.array_equal(animation.blendshapes, track.blendshapes[: animation.frames])
    assert np.ptp(animation.head_to_camera[:, 0, 2]) > 0.05


def test_an_animation_has_the_name_it_is_given(workspace, file, tmp_path):
    result = run(workspace, file, out=tmp_path / "takes" / "one.npz")
    assert result.animation == tmp_path / "takes" / "one.npz" and result.audio == tmp_path / "takes" / "one.wav"
    assert sorted(path.name for path in (tmp_path / "takes").iterdir()) == ["one.npz", "one.wav"]


def test_audio_that_is_given_replaces_the_takes(workspace, file, tmp_path):
    write_wav(tmp_path / "other.wav", [np.full(48_000, 0.5, np.float32)])
    audio = run(workspace, file, audio=tmp_path / "other.wav").audio
    assert audio is not None
    with wave.open(str(audio)) as read:
        assert abs(np.frombuffer(read.readframes(20_000), "<i2")[5000:] / 32767 - 0.5).max() < 0.01


def test_a_file_without_audio_is_silent(workspace, file):
    file.with_suffix(".wav").unlink()
    result = run(workspace, file)
    assert result.audio is None and workspace.animation(result.animation).audio is None


@pytest.mark.parametrize("in_file", [True, False])
def test_gains_are_given_as_json_or_a_file_of_it(workspace, file, tmp_path, in_file):
    gains = '{"mouth": 0, "browInnerUp": 0.5}'
    if in_file:
        (tmp_path / "gains.json").write_text(gains)
        gains = str(tmp_path / "gains.json")
    shapes = workspace.animation(run(workspace, file, gains=gains).animation).blendshapes
    assert np.ptp(shapes[:, BLENDSHAPE_NAMES.index("jawOpen")]) < 1e-5
    assert np.ptp(shapes[:, BLENDSHAPE_NAMES.index("browInnerUp")]) > 0.1


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "no object of names"),
        ('{"lips": 1}', "names 'lips'"),
        ('{"mouth": -1}', "from 0 to 10"),
    ],
)
def test_wrong_gains_are_refused(workspace, file, tmp_path, text, match):
    gains = tmp_path / "gains.json"
    gains.write_text(text)
    with pytest.raises(UsageError, match=match):
        run(workspace, file, gains=str(gains))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('{"mouth": 1', "gains cannot be read as JSON"),
        ('{"lips": 1}', "gains names 'lips'"),
        ("no.json", "no.json cannot"),
    ],
)
def test_wrong_gains_that_are_no_file_are_refused(workspace, file, text, match):
    with pytest.raises(UsageError, match=match):
        run(workspace, file, gains=text)


def test_what_the_file_does_not_move_cannot_be_taken(workspace, tmp_path):
    rows = [["time", "jawOpen"], *([str(k / 30), str(k % 7 / 10)] for k in range(60))]
    file = write_rows(tmp_path / "jaw.csv", rows)
    with pytest.raises(CaptureError, match="does not move brows; it moves mouth: take that"):
        run(workspace, file, take=("brows",))
    result = run(workspace, file)
    assert result.taken == ("mouth",) and "mouthClose" in result.missing


def test_a_workspace_that_is_not_processed_is_refused(file, tmp_path):
    with pytest.raises(WorkspaceError, match="the stage media is not finished"):
        run(Workspace.create(tmp_path / "new"), file)


def test_the_server_imports_for_blender(workspace, file, client):
    params = {"file": str(file), "workspace": str(workspace.root), "take": ["mouth", "head"], "strength": 0.8}
    result = client.call("capture.import", **params)
    assert result["taken"] == ["mouth", "head"] and Path(result["animation"]).exists()
    stages = {note["params"]["stage"] for note in client.notes if note["method"] == "progress"}
    assert stages == {protocol.Stage.CAPTURE}


def test_the_params_are_the_options():
    options = from_params(
        import_file.Options, {"file": "a.csv", "workspace": "w", "fps": 59.94, "idle_s": [1, 2]}, "capture.import"
    )
    assert options.fps == 59.94 and options.idle_s == (1.0, 2.0) and options.take == ("mouth", "brows", "eyes")
