"""`bench head-sync` on two seconds of the embedded speaker."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from backend.benchmarks.head_sync import benchmark
from backend.benchmarks.head_sync.clip import Clip, open_clip
from backend.benchmarks.head_sync.methods import Row, by_all_methods
from backend.benchmarks.head_sync.plots import write_cost, write_turns
from backend.evaluation.tracking.measures import nods, pose_error
from backend.media.stage import run as run_media
from backend.progress import Reporter
from backend.workspace.files import read_arrays
from backend.workspace.store import Workspace

pytestmark = pytest.mark.long

FRAMES = 60


@pytest.fixture(scope="module")
def clip(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """The speaker's first frames, opened as the benchmark opens a clip."""
    work = tmp_path_factory.mktemp("bench")
    workspace = Workspace.create(work / "sample")
    run_media(workspace, Reporter(), sample / "speaker.mp4")
    workspace.subject.frames = FRAMES
    workspace.save()
    clip = open_clip("sample", work, "mesh", Reporter())
    clip.truth = clip.truth[0][:FRAMES], clip.truth[1]
    return clip


@pytest.fixture(scope="module")
def rows(clip) -> list[Row]:
    return list(by_all_methods(clip))


@pytest.fixture(scope="module")
def table(clip, rows) -> dict:
    return benchmark.measure(clip, rows)


def test_every_method_has_its_row(table):
    names = [row["method"] for row in table["rows"]]
    assert names[-4:] == ["per-frame PnP", "tracker alone", "+ bundle adjustment (Adam)", "+ bundle adjustment, path"]
    for row in table["rows"]:
        numbers = [value for value in row.values() if not isinstance(value, str)]
        assert np.isfinite(numbers).all(), row
        assert row["memory_mb"] > 50


def test_the_order_of_methods_is_what_they_are_for(table):
    rows = {row["method"]: row for row in table["rows"]}
    ours, alone = rows["+ bundle adjustment, path"], rows["tracker alone"]
    assert ours["jitter_deg"] < 0.5 * alone["jitter_deg"]
    assert ours["jitter_deg"] < rows["+ bundle adjustment (Adam)"]["jitter_deg"]
    assert ours["translation_percent"] < alone["translation_percent"]


def test_the_truth_measures_as_exact(sample):
    poses = read_arrays(sample / "truth.npz")["head_to_camera"]
    error = pose_error(poses, poses)
    assert error.turn_deg.max() < 1e-4
    assert error.place_percent.max() < 1e-6
    kept, lag = nods(poses, poses, 25.0)
    assert kept == pytest.approx(1)
    assert lag == pytest.approx(0, abs=0.05)
    late = np.roll(poses, 2, axis=0)
    assert nods(late, poses, 25.0)[1] > 0.5


def test_a_repeated_clip_has_its_landmarks_again_and_again(clip):
    longer = clip.repeated(150)
    assert longer.frames == 150
    np.testing.assert_array_equal(longer.landmarks.points_px[60:120], clip.landmarks.points_px)
    np.testing.assert_array_equal(longer.grey(61), clip.grey(1))


def test_the_table_reads_as_text_and_as_json(table):
    text = benchmark.in_words(
        {"sample": table, "other": {"cost": [{"frames": 10, "seconds": 1.5, "memory_mb": 100.0}]}}
    )
    assert "tracker alone" in text
    assert "rot.°" in text
    assert "10 frames" in text
    assert json.loads(json.dumps(table)) == table


def test_plots_show_the_truth_and_the_cost(clip, rows, tmp_path):
    write_turns(tmp_path / "plots" / "turns.svg", {row.method: row.poses for row in rows[-2:]}, clip.truth[0], 25.0)
    drawn = (tmp_path / "plots" / "turns.svg").read_text(encoding="utf-8")
    assert all(word in drawn for word in ("truth", "pitch, degrees", "roll, degrees", rows[-1].method))
    write_cost(tmp_path / "cost.svg", [{"frames": 100, "seconds": 2.0}, {"frames": 300, "seconds": 6.5}])
    assert "6.5" in (tmp_path / "cost.svg").read_text(encoding="utf-8")


def test_a_clip_that_cannot_be_read_is_named(tmp_path):
    from backend.errors import SyncTalkError

    with pytest.raises(SyncTalkError, match=r"nothing\.mp4"):
        open_clip(str(tmp_path / "nothing.mp4"), tmp_path, "mesh", Reporter())
