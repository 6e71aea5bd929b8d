"""Live Link CSV out, and in again."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from backend.capture.axes import angles_of
from backend.capture.files import read_capture
from backend.commands import export
from backend.commands.capture import import_file
from backend.errors import ConsentError, UsageError
from backend.media.audio import write_wav
from backend.progress import Reporter
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.poses import make_poses, mean_rotation, rotation_exp
from backend.workspace.store import Workspace
from backend.workspace.subject import STAGES
from tests.backend.capture_samples import ANGLES
from tests.backend.made_up_track import make_track

FRAMES = 300
CLOSE = 1e-4


def make_workspace(root: Path, rate: Fraction, timecode: str = "") -> Workspace:
    """Of a subject who consents and whose head turns by a few degrees."""
    made = Workspace.create(root)
    made.subject.frames, made.subject.rate, made.subject.size, made.subject.timecode = FRAMES, rate, 256, timecode
    made.subject.stages = {name: {"state": "done", "key": ""} for name in STAGES}
    made.subject.consent = {"given": True, "by": "a test"}
    made.save()
    at = np.arange(FRAMES)[:, None] / 40
    turns = rotation_exp(np.radians([4.0, 6.0, 3.0]) * np.sin(at * [1.0, 0.7, 1.3]))
    shapes = 0.07 + 0.07 * np.sin(at * np.random.default_rng(0).uniform(1, 3, 52))
    poses = make_poses(turns, np.tile([0, 0, 0.8], (FRAMES, 1)))
    make_track(FRAMES, head_to_camera=poses, blendshapes=shapes.astype(np.float32)).write(
        made.tracking_path, float(rate)
    )
    return made


def run(workspace: Workspace, **options) -> export.Result:
    return export.run(export.Options(workspace=workspace.root, format="livelink", **options), Reporter())


RATES = [
    Fraction(25),
    Fraction(30),
    Fraction(50),
    Fraction(60),
    Fraction(30000, 1001),
    Fraction(60000, 1001),
    Fraction(24),
]


@pytest.mark.parametrize("rate", RATES)
def test_a_motion_comes_back(tmp_path, rate):
    workspace = make_workspace(tmp_path / "anna", rate)
    result = run(workspace)
    assert (result.out, result.frames) == (workspace.root / "exports" / "head.csv", FRAMES)
    capture, track = read_capture(result.out, Reporter()), workspace.head_track()
    assert capture.rate == rate and capture.present.all() and capture.head_turn is not None
    assert np.abs(capture.times_s - np.arange(FRAMES) / float(rate)).max() <= CLOSE
    assert np.abs(capture.blendshapes - track.blendshapes).max() <= CLOSE
    middle = mean_rotation(track.head_to_camera[:, :3, :3])
    own = angles_of(middle.T @ track.head_to_camera[:, :3, :3])
    assert np.abs(angles_of(capture.head_turn) - own).max() <= CLOSE


def test_a_23976_motion_comes_back_with_its_rate(tmp_path):
    """No time code drops frames at 23.976: the user states the rate."""
    rate = Fraction(24000, 1001)
    out = run(make_workspace(tmp_path / "anna", rate)).out
    capture = read_capture(out, Reporter(), fps=rate)
    assert capture.rate == rate and np.abs(capture.times_s - np.arange(FRAMES) / float(rate)).max() <= CLOSE


def test_the_file_is_as_the_app_writes_it(tmp_path):
    out = run(make_workspace(tmp_path / "anna", Fraction(30000, 1001), "01:00:59;00")).out
    header, *rows = (line.split(",") for line in out.read_text().splitlines())
    assert header[:2] == ["Timecode", "BlendShapeCount"] and header[-9:] == ANGLES and len(header) == 63
    assert sorted(name[0].lower() + name[1:] for name in header[2:54]) == sorted(BLENDSHAPE_NAMES)
    assert header.index("JawRight") < header.index("JawLeft")
    assert {row[1] for row in rows} == {"61"} and {len(row) for row in rows} == {63}
    assert [rows[k][0] for k in (0, 29, 30)] == ["01:00:59;00.000", "01:00:59;29.000", "01:01:00;02.000"]


def test_an_own_export_drives_the_head_as_it_was(tmp_path):
    """Through `capture import` with its fit: the same shapes, and head turns about the footage's pose."""
    workspace = make_workspace(tmp_path / "anna", Fraction(25))
    out = run(workspace).out
    taken = import_file.run(import_file.Options(workspace=workspace.root, file=out), Reporter())
    assert np.abs(workspace.animation(taken.animation).blendshapes - workspace.head_track().blendshapes).max() <= CLOSE


def test_an_animation_is_exported_at_its_own_rate(tmp_path):
    workspace = make_workspace(tmp_path / "anna", Fraction(25), "10:00:00:00")
    exported = run(workspace).out
    options = import_file.Options(workspace=workspace.root, file=exported, strength=0.5)
    animation = import_file.run(options, Reporter()).animation
    again = read_capture(run(workspace, animation=animation, out=tmp_path / "half.csv").out, Reporter())
    assert np.abs(again.blendshapes - workspace.animation(animation).blendshapes).max() <= CLOSE
    assert str(again.start) == "10:00:00:00"


def test_the_animations_audio_lies_beside_and_is_read_again(tmp_path):
    workspace = make_workspace(tmp_path / "anna", Fraction(25))
    tone = 0.2 * np.sin(np.arange(16_000 * 12) * 0.1).astype(np.float32)
    write_wav(tmp_path / "line.wav", [tone])
    options = import_file.Options(workspace=workspace.root, file=run(workspace).out, audio=tmp_path / "line.wav")
    result = run(workspace, animation=import_file.run(options, Reporter()).animation)
    assert result.audio == workspace.root / "exports" / "take.wav"
    assert read_capture(result.out, Reporter()).audio == result.audio


def test_what_does_not_go_together_is_refused(tmp_path):
    workspace = make_workspace(tmp_path / "anna", Fraction(25))
    with pytest.raises(UsageError, match=r"must end in \.csv"):
        run(workspace, out=tmp_path / "take.usda")
    with pytest.raises(UsageError, match="--frames chooses of an animation as glb or usd"):
        run(workspace, frames=(1, 2))
    workspace.subject.consent = {}
    workspace.save()
    with pytest.raises(ConsentError):
        run(workspace)
