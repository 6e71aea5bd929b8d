"""`bench gaussians` measures both heads of a workspace, and its figures follow from what it measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("numba")

from backend.benchmarks import gaussians, pages
from backend.benchmarks.face_sync import driving
from backend.benchmarks.gaussians import floor, memory, parts, quality, timing, trainings
from backend.benchmarks.gaussians.heads import Spread
from backend.evaluation.head_sweep import shapes_alone
from backend.progress import Reporter
from backend.renderer.gaussians.kernels.interface import ATTRIBUTES, COLOUR, LOG_SCALE, OPACITY, ROTATION, View
from backend.workspace.camera import Camera
from backend.workspace.images import read_image
from backend.workspace.store import Workspace


@pytest.fixture
def small(monkeypatch) -> None:
    """Few and small frames."""
    for module, name, value in (
        (gaussians, "SIZES", (48,)), (gaussians, "FRAMES", 2), (gaussians, "PLAIN_SIZE", 24), (gaussians, "PLAIN_FRAMES", 1),
        (gaussians, "MEMORY_SIZE", 32), (memory, "FRAMES", 2), (timing, "TIMES", 2), (floor, "ROUNDS", 20),
        (floor, "COPIED_BYTES", 1 << 22), (quality, "FRAMES", 3), (quality, "STEADY_FRAMES", 1), (quality, "SHOWN_GRAIN", 1),
        (quality, "shapes_alone", lambda base, values=(1.3,): shapes_alone(base, values[-1:])[::9]),
        (driving, "LIP_DRIVERS", ("jawOpen",)), (driving, "EXPRESSION_DRIVERS", ("browInnerUp",)),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


def test_a_workspace_with_both_heads_is_measured_and_has_a_page(twin, small, tmp_path):
    options = gaussians.Options(workspace=twin, size=96, out=tmp_path / "images")
    result = json.loads(json.dumps(gaussians.run(options, Reporter()), allow_nan=False))
    row = result["frames"]["48"]
    assert result["ms_48"] == row["gaussians"]["ms"] > 0 and result["gaussians"] > 100
    assert result["ratio_48"] == pytest.approx(row["field"]["ms"] / row["gaussians"]["ms"])
    assert row["passes_ratio"] == pytest.approx(row["passes"]["ms"] / row["gaussians"]["ms"])
    assert row["round_trip"]["gaussians"]["ms"] > 0 and result["plain"]["ratio"] > 0
    assert all(row["parts"]["parts"][name]["ms"] > 0 for name in (*parts.FORWARD, *parts.BACKWARD))
    assert row["floor"]["arithmetic_ms"] == pytest.approx(1e3 * row["parts"]["pairs"] / result["rates"]["pairs_per_s"])
    assert row["floor"]["memory_ms"] == pytest.approx(1e3 * row["parts"]["bytes"] / result["rates"]["bytes_per_s"])
    newest = max((twin / "checkpoints").glob("gaussians_*"))
    assert result["memory"]["gaussians"]["checkpoint_bytes"] == newest.stat().st_size
    assert result["memory"]["field"]["rendering_mb"] > 50
    assert result["psnr_head"] == result["heads"]["gaussians"]["psnr_head"] > 5
    assert result["psnr_head_field"] == result["heads"]["field"]["psnr_head"] > 5
    for kind in ("field", "gaussians"):
        head = result["heads"][kind]
        assert {"grain", "sharpness", "continuity", "disentanglement", "audio", "worst"} <= head.keys()
        assert head["worst"] <= head["psnr_head"] and head["grain"]["asked"]["chroma_rms"]["median"] > 0
    assert result["heads"]["depth"]["trained"]["median_m"] >= 0
    assert read_image(tmp_path / "images" / "sheet.png").shape[1] > 2 * 96
    assert result["trainings"] == []
    page = pages.write("gaussians", result, gaussians.in_words(result), "bench gaussians", tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "a frame of Gaussians at 48²" in text and "| rasterise |" in text and "| field |" in text


@pytest.mark.slow
def test_trainings_for_the_same_minutes_are_evaluated_and_kept(twin, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in twin.rglob("*") if path.is_file()}
    given = [Workspace.open(twin)], (1.0,), "preview", 96, tmp_path
    rows = trainings.trainings(*given, Reporter())
    assert [row["head"] for row in rows] == ["both", "field"]
    assert all(row["memory_mb"] > 50 and row["psnr_head"] > 5 and row["steps"] > 0 for row in rows)
    assert before == {path: path.stat().st_mtime_ns for path in twin.rglob("*") if path.is_file()}
    made = (tmp_path / "trainings.json").stat().st_mtime_ns
    assert trainings.trainings(*given, Reporter()) == rows
    assert (tmp_path / "trainings.json").stat().st_mtime_ns == made, "a row that is there is not made again"


def test_both_heads_are_timed_in_turns_by_the_clock(monkeypatch):
    clock, drawn = [0.0], []

    def taking(name: str, seconds: float) -> timing.Draw:
        def draw(frame: int) -> None:
            drawn.append((name, frame))
            clock[0] += seconds * (1 + frame)

        return draw

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    found = timing.in_turns({"slow": taking("slow", 0.2), "fast": taking("fast", 0.01)}, np.array([0, 1, 2]), 1)
    assert found["slow"].ms == pytest.approx(400) and found["fast"].ms == pytest.approx(20)
    assert found["slow"].p10 < found["slow"].ms < found["slow"].p90
    assert drawn[2:] == [(name, frame) for frame in range(3) for name in ("slow", "fast")]
    assert Spread.of([0.001]) == Spread(pytest.approx(1.0), pytest.approx(1.0), pytest.approx(1.0))


def test_pairs_are_those_of_tiles_that_a_gaussian_reaches():
    """One Gaussian in the middle of the second of 2 x 1 tiles, then a second behind it."""
    attributes = np.zeros((ATTRIBUTES, 2), np.float32)
    attributes[:3] = [[0.0025] * 2, [0.0] * 2, [0.0, 0.01]]
    attributes[LOG_SCALE], attributes[ROTATION.start], attributes[OPACITY] = np.log(2e-4), 1.0, 3.0
    attributes[COLOUR] = 0.5
    pose = np.eye(4)
    pose[2, 3] = 1.0
    view = View(Camera(16, 8, 1600.0, (8.0, 4.0)), pose, 1e-5)
    rasteriser = parts.TimedRasteriser(1)
    rasteriser.draw(attributes, np.array([0, 1], np.int32), view)
    assert (rasteriser.blended, rasteriser.listed) == (2, 2)
    assert {"project and count", "rasterise", "lists"} <= rasteriser.seconds.keys()
    rasteriser.backward(np.ones((8, 16, 4), np.float32))
    assert set(parts.BACKWARD[:2]) <= rasteriser.seconds.keys()
    assert "other" not in rasteriser.seconds


def test_the_floor_is_the_slower_of_arithmetic_and_memory():
    work = {"pairs": 3_000_000, "bytes": 10_000_000}
    assert floor.floor(work, {"pairs_per_s": 1e9, "bytes_per_s": 1e10})["floor_ms"] == pytest.approx(3.0)
    assert floor.floor(work, {"pairs_per_s": 1e11, "bytes_per_s": 1e10})["floor_ms"] == pytest.approx(1.0)


def test_the_worst_twentieth_of_the_frames_is_averaged():
    assert quality._worst(np.array([30.0] * 38 + [20.0, 22.0, np.nan])) == 21.0
    assert quality._worst(np.array([np.nan])) is None
