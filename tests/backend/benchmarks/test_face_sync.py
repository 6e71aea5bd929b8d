"""`bench face-sync` runs all its parts on the short clip and its head of a few seconds."""

import json

import numpy as np
import pytest

pytest.importorskip("numba")

from backend.benchmarks import face_sync, subject
from backend.benchmarks.face_sync import capture, cost, lip_space
from backend.errors import SyncTalkError
from backend.progress import Reporter
from backend.workspace.store import Workspace


def test_every_part_is_measured_and_reported(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(lip_space, "SHIFTS_MS", (-200, 200))
    monkeypatch.setattr(cost, "MINUTES", (0.2,))
    monkeypatch.setattr(subject, "tracked", lambda clip, work, reporter: Workspace.open(trained))
    options = face_sync.Options(encoder=("boxed",), size=128, workspace=trained, out=tmp_path / "out", work=tmp_path)
    result = json.loads(json.dumps(face_sync.run(options, Reporter())))
    assert set(result["lip_space"]) == {"clips", "boxed", "adapted"}
    (clip,) = result["lip_space"]["clips"]
    assert -1 <= result["lip_space"]["adapted"]["opening"]["same"]["clips"][clip][0] <= 1
    assert len(result["sync"]["clips"][clip]["errors_ms"]) == 2
    assert result["cost"][0]["peak_mb"] > 50
    rows = result["driving"]["rows"]
    assert {"tracked lips", "audio"} <= set(rows)
    assert rows["audio"]["psnr_mouth"] > 5
    assert all(0 <= row["outside"] <= 1 for row in result["driving"]["disentanglement"].values())
    words = face_sync.in_words(result)
    for part in ("Lip space", "Sync", "Capture", "Trained head", "Features of long audio"):
        assert part in words


def test_capture_against_the_sample_s_truth():
    with np.load(capture.SAMPLE / "truth.npz") as data:
        truth = data["blendshapes"]
    found = capture.against_truth(truth + 0.01)
    assert found["mean_absolute_error"] == pytest.approx(0.01, abs=1e-3)
    assert min(found["correlation"].values()) > 0.999
    assert "jawOpen" in found["correlation"]


def test_driving_asked_for_without_a_head_is_one_sentence():
    with pytest.raises(SyncTalkError, match="--workspace"):
        face_sync.run(face_sync.Options(part=("driving",)), Reporter())
