"""The benchmarks run on a small head and say what they measured."""

import json

import numpy as np
import pytest

pytest.importorskip("numba")

from backend.benchmarks import renderer, subject, training
from backend.progress import Reporter
from backend.workspace.files import read_arrays
from backend.workspace.store import Workspace


def test_the_renderer_s_benchmark_times_every_kernel_and_part(trained, monkeypatch):
    monkeypatch.setattr(renderer, "SIZES", (48,))
    monkeypatch.setattr(renderer, "FRAMES", 2)
    monkeypatch.setattr(
        renderer, "has_bfloat16", lambda: False
    )  # compiling its parts a second time takes half a minute
    options = renderer.Options(workspace=trained, steps=1, no_start=True)
    result = json.loads(json.dumps(renderer.run(options, Reporter())))
    assert result["ms_48"] > 0 and result["ratio_48"] > 1 and result["kernel"].startswith("numba")
    row = result["kernels"]["numba, float32"]["48"]
    assert row["samples"] > 100 and row["floor_ms"] > 0
    assert {"marching", "encoding", "networks"} <= set(row["parts"])
    words = renderer.in_words(result)
    assert "| plain PyTorch |" in words and "| torch |" in words


def test_the_training_s_benchmark_trains_a_copy_and_measures_the_gap(trained, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}
    options = training.Options(workspace=trained, minutes=(0.1,), size=128, work=tmp_path)
    result = json.loads(json.dumps(training.run(options, Reporter())))
    row = result["trainings"][0]
    assert row["steps"] > 0 and row["memory_mb"] > 50 and row["psnr_head"] > 5 and np.isfinite(row["gap"])
    assert "| 0.1 | gated |" in training.in_words(result)
    row["lmd_px"] = None  # no face in a head of a few steps
    assert "| – |" in training.in_words(result)
    assert before == {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}


def test_the_readiness_s_benchmark_tracks_new_speech_and_blinks(trained, sample, monkeypatch):
    from backend.benchmarks import readiness

    monkeypatch.setattr(readiness, "EVERY", 40)
    monkeypatch.setattr(readiness, "POSES", 2)
    options = readiness.Options(workspace=(trained,), audio=sample / "drive.wav")
    result = json.loads(json.dumps(readiness.run(options, Reporter())))
    head = result["heads"][0]
    assert head["step"] == 350 and head["frames_without_face"] == 0 and np.isfinite(head["blink"])
    assert "| 350 |" in readiness.in_words(result)


def test_the_benchmark_of_process_has_the_time_of_every_stage_and_the_memory(short_clip):
    from backend.benchmarks import process
    from backend.workspace.subject import STAGES

    row = json.loads(json.dumps(process.measured(short_clip)))
    assert list(row["stages_s"]) == list(STAGES)
    *before, face_sync, portrait_sync = row["stages_s"].values()  # the last two run beside each other
    assert 0 < sum(before) + max(face_sync, portrait_sync) <= row["seconds"] and row["frames_per_s"] > 0
    assert row["memory_mb"] > 100 and row["cpu_s"] > 1 and row["other_cores"] >= 0
    earlier = {**row, "commit": "abc123", "speedup": 1.5, "saving": 2.0}
    spent = dict.fromkeys(STAGES, row["frames"] / 500)
    words = process.in_words({"clips": [{**row, "earlier": earlier, "stages_cpu_s": spent}]})
    assert "| portrait_sync |" in words and "| abc123 |" in words and "| 2.0 |" in words


def test_the_benchmark_of_deliveries_renders_a_video_and_the_same_without_a_head(trained, sample):
    from backend.benchmarks import delivery, targets

    row = json.loads(json.dumps(delivery.measured(trained, "h264", sample / "drive.wav")))
    assert row["frames"] > 100 and row["frames_per_s"] > 0 and row["memory_mb"] > 100 and row["cpu_ms"] > 0
    subject_size = list(Workspace.open(trained).subject.source_size)
    assert row["size"] == subject_size and row["without_head"]["frames"] > 0
    assert row["without_head"]["frames_per_s"] > row["frames_per_s"], "a head costs something"
    longer = {**row, "audio": "long", "frames": 5 * row["frames"], "memory_mb": 1.05 * row["memory_mb"]}
    result = {"rows": [row, longer]}
    assert f"| {row['frames']:,} |" in delivery.in_words(result)
    figures = {figure.name: figure for figure in targets.FIGURES["delivery"](result)}
    assert figures[next(name for name in figures if name.startswith("memory of"))].is_met


def test_a_clip_is_made_longer_by_playing_it_again(trained, tmp_path):
    source = Workspace.open(trained)
    longer = subject.repeated(source, tmp_path / "longer", 6.0)
    assert longer.subject.frames == 150 > source.subject.frames
    for name in ("tracking.npz", "head_sync.npz"):
        one, other = read_arrays(trained / name), read_arrays(longer.root / name)
        again = 120 % source.subject.frames
        np.testing.assert_array_equal(other["head_to_camera"][120], one["head_to_camera"][again])
        assert len(other["head_to_camera"]) == 150
    np.testing.assert_array_equal(longer.read_frame(149), source.read_frame(149 % source.subject.frames))
