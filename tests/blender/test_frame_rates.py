"""Clip, training, speech, video and Blender at the source's own frame rate: the complete way with the real backend."""

from __future__ import annotations

import json
import subprocess
import wave
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from backend.workspace.files import read_arrays
from backend.workspace.frame_rate import as_text, exact_rate

ROOT = Path(__file__).resolve().parent.parent.parent
DRIVE = ROOT / "backend" / "actor" / "sample" / "drive.wav"
SECONDS = 3.2
START = "01:00:00:00"
RATES = [
    pytest.param(
        Fraction(rate), marks=pytest.mark.long if rate == "30000/1001" else pytest.mark.slow, id=as_text(Fraction(rate))
    )
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001")
]


@pytest.fixture
def backend(python):
    """Run a module of the backend's environment; its JSON."""

    def run(*words: object) -> dict:
        command = [str(python), "-m", *map(str, words)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.mark.parametrize("rate", RATES)
def test_rate_and_frames_stay_the_source_s_own_from_the_clip_to_blender(kit, backend, tmp_path, rate):
    clip, root = tmp_path / "clip.mov", tmp_path / "subject"
    count = backend("tests.backend.retimed", "make", clip, rate, SECONDS, START)["frames"]

    done = backend("backend", "process", clip, "--workspace", root, "--consent", "synthetic: nobody is shown", "--json")
    assert (done["frames"], done["fps"]) == (count, float(rate))
    assert not [text for text in done["warnings"] if "frame rate" in text or "frames a second" in text]
    backend("backend", "train", root, "--steps", "40", "--head", "field", "--json")

    video = tmp_path / "again.mov"
    backend("backend", "render", root, "--out", video, "--json")
    seen = backend("tests.backend.retimed", "read", video)
    assert (Fraction(*seen["rate"]), seen["timecode"]) == (rate, START)
    assert seen["numbers"] == list(range(count)), "frame k lies over frame k's torso"
    np.testing.assert_allclose(seen["times_s"], np.arange(count) / float(rate), atol=1e-4)
    assert abs(seen["audio_s"] - count / rate) < 0.02

    spoken = backend("backend", "speak", root, "--audio", DRIVE, "--json")
    with wave.open(str(DRIVE)) as audio:
        length_s = audio.getnframes() / audio.getframerate()
    assert spoken["frames"] == ceil(round(length_s * float(rate), 3))
    arrays = read_arrays(Path(spoken["animation"]))
    assert Fraction(*arrays["rate"].tolist()) == rate
    np.testing.assert_allclose(arrays["frame_time_s"], np.arange(spoken["frames"]) / float(rate))

    rig = kit.import_tracking(root)
    render, scene = kit.scene.render, kit.scene
    assert exact_rate(render.fps / render.fps_base) == rate
    assert (scene.frame_start, scene.frame_end) == (1, count)
    assert _keys(rig.head).tolist() == list(range(1, count + 1))
    workspace = kit.opened(root)
    kit.part("scene.importer").import_animation(scene, rig, workspace, workspace.animation(Path(spoken["animation"])))
    assert scene.frame_end == spoken["frames"]
    assert _keys(rig.head).tolist() == list(range(1, spoken["frames"] + 1))
    shown = [kit.part("scene.footage").shown_at(_evaluated(kit, rig, frame), frame) for frame in (1, 7, count)]
    assert shown == arrays["plate_frame"][[0, 6, count - 1]].tolist()


def _keys(owner) -> np.ndarray:
    """Frames of the keys of an object's imported movement."""
    track = (
        next(track for track in owner.animation_data.nla_tracks if track.strips)
        if owner.animation_data.action is None
        else None
    )
    action = owner.animation_data.action if track is None else track.strips[0].action
    curves = action.fcurves if hasattr(action, "fcurves") else action.layers[0].strips[0].channelbags[0].fcurves
    return np.array([point.co[0] for point in curves[0].keyframe_points])


def _evaluated(kit, rig, frame: int):
    import bpy

    kit.scene.frame_set(frame)
    return rig.camera.data.evaluated_get(bpy.context.evaluated_depsgraph_get())
