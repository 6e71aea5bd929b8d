"""The real command, small: two frames of 64², through Blender."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from backend.actor import render

ROOT = Path(__file__).resolve().parents[3]


def command(out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "backend", "actor", str(out), "--size", "64", "--samples", "1", *more]


@pytest.fixture(scope="module")
def blender() -> str:
    if not (shutil.which("flite") or ctypes.util.find_library("espeak-ng")):
        pytest.skip("neither flite nor espeak-ng is installed")
    try:
        return render.find_blender_python()
    except render.BlenderError as error:
        pytest.skip(str(error))


def test_two_frames_come_out_with_audio_and_truth(tmp_path: Path, blender: str) -> None:
    done = subprocess.run(
        command(tmp_path / "out", "--seconds", "0.08", "--text", "Oh", "--blender", blender),
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "out" / "speaker.mp4")) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [image.shape for image in images] == [(64, 64, 3)] * 2
    # Skin in the middle of the face is warmer and brighter than the sweater below it.
    face, chest = images[0][24:36, 28:36].mean((0, 1)), images[0][56:, 24:40].mean((0, 1))
    assert face[0] > 1.15 * face[2]
    assert face.sum() > 1.4 * chest.sum()
    with np.load(tmp_path / "out" / "truth.npz") as truth:
        assert truth["head_to_camera"].shape == (2, 4, 4)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["drive.wav", "speaker.mp4", "truth.npz"]


def test_a_stopped_render_resumes_with_the_frames_it_has(tmp_path: Path, blender: str) -> None:
    out = tmp_path / "out"
    run = command(out, "--seconds", "0.4", "--text", "Oh", "--blender", blender)
    first = subprocess.Popen(run, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    waited = time.monotonic() + 240
    while not list(out.glob("frames/00001.png")) and first.poll() is None and time.monotonic() < waited:
        time.sleep(0.02)
    first.send_signal(signal.SIGTERM if os.name == "posix" else signal.SIGINT)
    assert first.communicate(timeout=60) and first.returncode == 1
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("frames/0*[0-9].png")}
    assert kept
    done = subprocess.run([*run, "--keep-frames"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(list(out.glob("frames/*.png"))) == 10
    assert all((out / "frames" / name).stat().st_mtime_ns == stamp for name, stamp in kept.items())


def test_a_python_without_blender_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(render.BlenderError, match="--blender PYTHON"):
        render.find_blender_python(str(tmp_path / "no-python"))


def test_blender_s_output_as_it_fails_reaches_the_user(tmp_path: Path) -> None:
    """A Python that has no bpy: the message names the module that is missing."""
    (tmp_path / "job.json").write_text("{}")
    from backend.progress import Reporter

    with pytest.raises(render.BlenderError, match="No module named 'bpy'"):
        render._run(sys.executable, tmp_path / "job.json", 1, 0, Reporter())
