"""With the real backend and a real (briefly trained) head of the embedded sample: pixels, and the complete way from the console."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.workspace.store import Workspace

from . import synthetic_workspace as synthetic
from .scene_kit import premultiplied

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "backend" / "actor" / "sample"
FRAMES = 2


@pytest.fixture(scope="module")
def run(python):
    """Run a verb of the backend's command line; its JSON."""

    def run(*words: object) -> dict:
        command = [str(python), "-m", "backend", *map(str, words), "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory) -> Path:
    """A workspace of the sample with a head; SYNCTALK_TEST_WORKSPACE names one that is there already."""
    named = os.environ.get("SYNCTALK_TEST_WORKSPACE")
    if named:
        return Path(named)
    root = tmp_path_factory.mktemp("subject") / "sample"
    run("process", SAMPLE / "speaker.mp4", "--workspace", root, "--consent", "synthetic: nobody is shown")
    run("train", root, "--steps", "300")
    return root


@pytest.fixture(scope="module")
def spoken(trained, python, tmp_path_factory) -> Path:
    """The first frames of the clip's own movement as an animation.npz."""
    path = tmp_path_factory.mktemp("directions") / "animation.npz"
    own = Workspace.open(trained).footage_animation()
    parts = {name: getattr(own, name)[:FRAMES] for name in ("blendshapes", "head_to_camera", "plate_frame")}
    replace(own, audio=None, **parts).write(path)
    return path


@pytest.fixture
def kit(kit, real_backend):
    return kit


@pytest.fixture
def rig(kit, trained, spoken):
    """The head of the workspace in the scene, moved by `spoken`."""
    found = kit.import_tracking(trained)
    workspace = kit.opened(trained)
    kit.part("scene.importer").import_animation(kit.scene, found, workspace, workspace.animation(spoken))
    kit.scene.render.engine = "SYNCTALK"
    return found


@pytest.fixture
def difference(kit, rig, trained, spoken, run, tmp_path) -> list[np.ndarray]:
    """For each frame, how far the engine's head pixels are from those of `render`, in parts of 255, premultiplied."""
    out = tmp_path / "frames"
    run("render", trained, "--directions", spoken, "--out", out)
    found = []
    for frame in range(FRAMES):
        ours = premultiplied(kit.render(frame + 1))
        theirs = premultiplied(synthetic.read_image(out / f"{frame:06d}.png"))
        assert theirs[..., 3].mean() > 0.02, "a head is there"
        head = np.maximum(ours, theirs)[..., 3] > 0
        found.append(np.abs(ours - theirs).max(-1)[head] * 255)
    return found


def test_untouched_keyframes_give_the_frames_of_render_to_within_2_of_255(difference):
    for frame in difference:
        print(f"at most {frame.max():.2f}/255 in {frame.size} pixels, {(frame > 1).sum()} over 1/255")
        assert frame.max() <= 2.001  # single precision turns two levels into 2.00001


def test_a_head_turned_by_5_degrees_turns_in_the_image(kit, rig):
    still = premultiplied(kit.render(1))
    rig.control.rotation_euler[2] = np.radians(5)
    turned = premultiplied(kit.render(1))
    changed = np.abs(turned - still).max(-1) > 8 / 255
    assert changed[still[..., 3] > 0.5].mean() > 0.1
    moved = centre(turned[..., 3]) - centre(still[..., 3])
    assert abs(moved[0]) > 0.3, "the face goes to one side"


def centre(alpha: np.ndarray) -> np.ndarray:
    """x, y of the middle of a matte, pixels."""
    y, x = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
    return np.array([(x * alpha).sum(), (y * alpha).sum()]) / alpha.sum()


def test_baked_frames_are_the_live_ones(kit, rig, spoken, tmp_path):
    work, jobs = kit.part("work.composite"), kit.part("jobs")
    rig.collection[kit.part("scene.rig").ANIMATION] = str(spoken)
    rig.control.rotation_euler[2] = np.radians(5)
    live = premultiplied(kit.render(2))
    jobs.run(work.bake_job(kit.scene, tmp_path / "baked"), lambda job: None)
    baked = premultiplied(synthetic.read_image(tmp_path / "baked" / "000001.png"))
    assert np.abs(live - baked).max() * 255 <= 2.001, "single precision turns two levels into 2.00001"


def test_mattes_are_written_and_the_composite_has_them(kit, rig, trained):
    work, jobs, nodes = (kit.part(name) for name in ("work.composite", "jobs", "scene.nodes"))
    kit.scene.synctalk.workspace = str(trained)
    folder = trained / "exports" / "mattes"
    assert "Press Build Composite" in jobs.run(work.mattes_job(kit.scene), lambda job: None)
    assert len(list(folder.glob("hair/*.png"))) == Workspace.open(trained).subject.frames
    jobs.run(work.composite_job(kit.scene), lambda job: None)
    assert "Mattes" in jobs.run(work.mattes_job(kit.scene), lambda job: None)
    kit.scene.view_settings.view_transform = "Raw"  # a matte is no colour
    tree = nodes.tree_of(kit.scene)
    mattes = next(item for item in tree.nodes if item.get("synctalk_role") == "mattes")
    found = {}
    for output in mattes.outputs:
        tree.links.new(output, nodes.output_socket(tree))
        found[output.name] = kit.render(1)[..., 0]
    assert list(found) == ["Head", "Hair", "Neck", "Torso", "Background"]
    assert np.abs(sum(found.values()) - 1.0).max() < 0.03, "in each pixel they are one"
    assert all(0.01 < matte.mean() < 0.9 for matte in found.values())


def test_a_video_of_directions_runs_at_their_own_rate(trained, spoken, run, python, tmp_path):
    """Directions that Blender baked have the scene's rate."""
    with np.load(spoken) as data:
        np.savez(tmp_path / "directions.npz", **(dict(data) | {"rate": np.array([30000, 1001])}))
    out = tmp_path / "video.mp4"
    run("render", trained, "--directions", tmp_path / "directions.npz", "--out", out)
    rate = "import av, sys; print(av.open(sys.argv[1]).streams.video[0].average_rate)"
    done = subprocess.run([str(python), "-c", rate, str(out)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "30000/1001"


def test_the_console_goes_the_whole_way(trained, python, tmp_path):
    audio = next(SAMPLE.glob("*.wav"), None)
    assert audio is not None, "the sample has a second sentence"
    environment = os.environ | {"SYNCTALK_BACKEND_PYTHON": str(python)}
    words = [sys.executable, ROOT / "examples" / "console.py", "--workspace", trained, "--audio", audio]
    done = subprocess.run(
        [*map(str, words), "--out", str(tmp_path), "--frames", "5"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    video = (tmp_path / "composite.mp4").read_bytes()
    assert b"Synthetic likeness of" in video
    assert (tmp_path / "scene.blend").stat().st_size > 100_000
    assert "100% Rendering: frame 5 of 5" in done.stdout


def test_the_console_says_in_a_sentence_what_is_wrong(python, tmp_path):
    environment = os.environ | {"SYNCTALK_BACKEND_PYTHON": str(python)}
    words = [sys.executable, ROOT / "examples" / "console.py", "--workspace", tmp_path / "no", "--audio", "no.wav"]
    done = subprocess.run(
        [*map(str, words), "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("Error: ")
    assert "is not a workspace" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("percent", [100, 200])
def test_a_composites_still_has_the_watermark_of_the_clip(kit, rig, trained, python, percent):
    """Of a single PNG, in which the footage around the head carries none."""
    work, jobs = kit.part("work.composite"), kit.part("jobs")
    kit.scene.synctalk.workspace = str(trained)
    jobs.run(work.composite_job(kit.scene), lambda job: None)
    kit.scene.render.resolution_percentage = percent
    side = 512 * percent // 100
    assert kit.render(1).shape[:2] == (side, side)
    words = [python, "-m", "backend", "verify", kit.tmp_path / "still_1.png", "--workspace", trained, "--json"]
    done = subprocess.run([*map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)
    (found,) = json.loads(done.stdout)["files"]
    assert (found["watermark"], found["watermark_agrees"]) == ("found", True)
    assert done.returncode == 3, "Blender's renders are marked, but not signed"
