"""The command line: statuses, sentences, JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from backend import models
from backend.head_sync.landmarks import landmarker_source


@pytest.fixture
def backend(root):
    def run(*arguments, **options):
        command = [sys.executable, "-m", "backend", *map(str, arguments)]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, **options)

    return run


@pytest.mark.parametrize(
    "verb", ["process", "train", "render", "export", "evaluate", "batch", "serve", "models", "actor", "encoder"]
)
def test_every_verb_explains_itself(backend, verb):
    done = backend(verb, "--help")
    assert done.returncode == 0 and "usage:" in done.stdout


def test_usage_errors_end_with_status_2(backend):
    assert backend("train").returncode == 2
    assert backend("no-such-verb").returncode == 2


def test_a_missing_workspace_is_one_line_and_status_1(backend, tmp_path):
    done = backend("train", tmp_path / "nothing")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    assert "Traceback" in backend("train", tmp_path / "nothing", "--debug").stderr


def test_a_workspace_of_a_newer_format_is_reported(backend, tmp_path):
    (tmp_path / "subject.json").write_text('{"format": 99}')
    done = backend("train", tmp_path)
    assert done.returncode == 1 and "newer SyncTalk" in done.stderr


def test_a_workspace_in_use_is_reported(backend, processed):
    from backend.workspace.store import Workspace

    with Workspace.open(processed).locked():
        done = backend("train", processed)
    assert done.returncode == 1 and "in use by another SyncTalk process" in done.stderr


def test_training_without_consent_is_refused(backend, processed):
    subject = json.loads((processed / "subject.json").read_text())
    (processed / "subject.json").write_text(json.dumps({**subject, "consent": {}}))
    done = backend("train", processed, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and "consent is not recorded" in done.stderr


def test_evaluate_prints_the_papers_figures_as_json(backend, trained):
    done = backend("evaluate", trained, "--json", "--size", "128", "--no-report")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {"psnr", "psnr_head", "ssim", "lmd_px", "frames"} <= set(figures)
    assert figures["psnr"] > 20 and figures["frames"] > 5
    assert figures["landmarks"] == landmarker_source()


def test_lips_are_read_by_the_landmarks_asked_for(backend, trained, monkeypatch, tmp_path):
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME", models.FOLDER_VARIABLE):
        monkeypatch.setenv(name, str(tmp_path))
    done = backend("evaluate", trained, "--json", "--size", "64", "--no-report", "--landmarks", "mesh")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["landmarks"] == "mesh"
    done = backend("evaluate", trained, "--size", "64", "--landmarks", "task")
    assert done.returncode != 0 and "face_landmarker.task is missing" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--video", "a.mp4"),
        ("--reference", "a.mp4"),
        ("ws", "--video", "a.mp4", "--reference", "b.mp4"),
        ("ws", "--report", "out.html"),
        ("--video", "a.mp4", "--reference", "b.mp4", "--size", "64"),
        ("--video", "a.mp4", "--reference", "b.mp4", "--no-report"),
    ],
)
def test_evaluate_takes_a_workspace_or_two_videos(backend, arguments):
    done = backend("evaluate", *arguments)
    assert done.returncode == 2 and "usage:" in done.stderr


def test_held_out_frames_in_a_folder_have_the_figures_of_their_workspace(backend, trained, tmp_path):
    held = tmp_path / "held"
    assert backend("render", trained, "--split", "test", "--out", held, "--size", "96").returncode == 0
    report = tmp_path / "out" / "report.html"
    done = backend("evaluate", "--video", held, "--reference", held, "--json", "--report", report)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures.pop("report") == str(report)
    assert "What was compared" in report.read_text("utf-8")
    own = json.loads(backend("evaluate", trained, "--json", "--size", "96", "--no-report").stdout)
    audio_driven, ready = own.pop("audio_driven"), own.pop("readiness")
    assert ready["mouth"]["grade"] and ready["eyes"]["grade"]
    assert own.pop("head") == ready["head"] == "field"
    assert own.pop("portrait") == "ours"
    assert figures == own and own["psnr_head"] > 15
    assert set(audio_driven) == set(own) and audio_driven["frames"] == own["frames"]


def test_videos_of_different_sizes_are_reported(backend, tmp_path, sample, short_clip):
    done = backend("evaluate", "--video", short_clip, "--reference", sample / "speaker.mp4")
    assert done.returncode == 1
    assert "256 x 256 pixels" in done.stderr and "render both at one size" in done.stderr


def test_held_out_frames_are_written_as_they_are_compared(backend, trained, tmp_path):
    done = backend("render", trained, "--split", "test", "--out", tmp_path / "held", "--size", "96", "--json")
    assert done.returncode == 0, done.stderr
    from backend.workspace.images import read_image

    names = sorted(path.name for path in (tmp_path / "held").iterdir())
    assert json.loads(done.stdout)["frames"] * 3 == len(names)
    assert read_image(tmp_path / "held" / names[0]).shape == (96, 96, 3)


def test_a_video_has_the_new_audio_and_as_many_frames_as_it_lasts(backend, trained, sample, tmp_path):
    from backend.media.audio import read_audio
    from backend.media.decode import probe

    out = tmp_path / "video.mp4"
    done = backend("render", trained, "--audio", sample / "drive.wav", "--out", out, "--size", "128")
    assert done.returncode == 0, done.stderr
    info, seconds = probe(out), len(read_audio(sample / "drive.wav")) / 16000
    assert info.has_audio and abs(info.frames / 25 - seconds) <= 1 / 25 + 1e-6
    assert (info.width, info.height) == (128, 128)


def test_directions_of_another_clip_are_refused(backend, trained, tmp_path):
    import numpy as np

    from backend.workspace.files import read_arrays

    arrays = read_arrays(trained / "tracking.npz")
    directions = tmp_path / "directions.npz"
    np.savez(
        directions, blendshapes=arrays["blendshapes"][:2], blendshape_names=arrays["blendshape_names"],
        head_to_camera=arrays["head_to_camera"][:2], plate_frame=np.array([0, 100000]), focal_px=900.0,
        principal_px=np.array([128.0, 128.0]), fps=25.0, frame_time_s=np.array([0, 0.04]), audio="",
    )  # fmt: skip
    done = backend("render", trained, "--directions", directions, "--out", tmp_path / "frames")
    assert done.returncode == 1 and "uses footage frame 100000" in done.stderr
