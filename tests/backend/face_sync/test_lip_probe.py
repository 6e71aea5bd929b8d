"""The lips' measures do not depend on how the head turns, and the probe measures what features predict."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from backend.errors import WorkspaceError
from backend.face_sync.blendshapes import View
from backend.face_sync.encoders.speech_encoder import SIZE
from backend.face_sync.lip_measures import MEASURES, lip_measures
from backend.face_sync.research import lip_probe

from .conftest import index, project, turning_view


def test_a_turning_head_keeps_its_lips(face, shapes):
    frames = 100
    view = turning_view(frames)
    still = View(np.tile(view.head_to_camera[:1], (frames, 1, 1)), view.focal_px, view.principal_px)
    coefficients = np.zeros((frames, 52))
    coefficients[:, index("jawOpen")] = np.linspace(0, 0.6, frames)
    valid = np.ones(frames, bool)
    valid[7] = False
    turned, straight = (lip_measures(project(face, shapes, coefficients, seen), seen, valid) for seen in (view, still))
    for name in ("opening", "width"):
        known = np.isfinite(turned[name])
        assert not known[7]
        assert np.abs(turned[name][known] / straight[name][known] - 1).max() < 0.12, name
    assert turned["closure"][0] == pytest.approx(1, abs=0.05)
    assert turned["closure"][-1] < 0.01
    assert 0.005 < turned["opening"][-1] < 0.02, "metres"
    assert 0.03 < turned["width"][0] < 0.07


def _clip(name: str, seed: int, frames: int = 400):
    rng = np.random.default_rng(seed)
    signal = np.convolve(rng.normal(size=frames + 4), np.ones(5) / 5, "valid")
    lips = dict.fromkeys(MEASURES, 0.01 + 0.002 * signal)
    features = np.stack([signal + rng.normal(0, 0.2, frames), *rng.normal(size=(6, frames))], 1)
    workspace = SimpleNamespace(root=SimpleNamespace(name=name))
    return lip_probe.ProbeClip(name, workspace, lips), features, rng.normal(size=features.shape)


def test_features_that_hold_the_lips_are_separated_from_noise():
    rows = [_clip(name, seed) for seed, name in enumerate("abc")]
    clips = [row[0] for row in rows]
    good, bad = lip_probe.probe(clips, [row[1] for row in rows]), lip_probe.probe(clips, [row[2] for row in rows])
    for way in ("same", "across"):
        assert lip_probe.mean_of_long(clips, good["opening"][way])[0] > 0.85
        assert abs(lip_probe.mean_of_long(clips, bad["opening"][way])[0]) < 0.3
    short, features, _ = _clip("short", 5, 120)
    found = lip_probe.probe([*clips, short], [*(row[1] for row in rows), features])
    assert "short" in found["width"]["across"]
    assert lip_probe.mean_of_long([*clips, short], {"short": (0.0, 0.0), "a": (1.0, 1.0)})[0] == 1


def test_a_clip_without_a_face_is_named():
    clip, features, _ = _clip("faceless", 0)
    clip.lips["opening"][:] = np.nan
    with pytest.raises(WorkspaceError, match="faceless"):
        lip_probe.probe([clip], [features])


def test_agreement_is_pearson_s_and_lin_s():
    values = np.array([0.0, 1.0, 2.0, 3.0])
    assert lip_probe.agreement(values, values) == pytest.approx((1, 1))
    correlation, concordance = lip_probe.agreement(values + 1, values)
    assert correlation == pytest.approx(1)
    assert concordance == pytest.approx(2 * 1.25 / (2 * 1.25 + 1))


def test_features_verb_writes_a_row_a_frame(sample, tmp_path, capsys):
    from backend.cli import main

    out = tmp_path / "features.npz"
    assert main(["encoder", "features", str(sample / "speaker.mp4"), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 250
    with np.load(out) as data:
        assert data["features"].shape == (250, SIZE)
        assert data["fps"] == 25
    assert main(["encoder", "features", str(sample / "speaker.mp4"), "--out", str(out), "--encoder", "ave"]) == 1
    assert "models fetch" in capsys.readouterr().err
    assert main(["encoder", "features", str(tmp_path / "no.wav"), "--out", str(out)]) == 1
    assert "no.wav" in capsys.readouterr().err


def test_evaluate_verb_compares_encoders(processed_once, capsys):
    from backend.cli import main

    arguments = ["encoder", "evaluate", str(processed_once), "--encoder", "boxed", "--encoder", "log-mel"]
    assert main([*arguments, "--json"]) == 0
    tables = json.loads(capsys.readouterr().out)["encoders"]
    assert set(tables) == {"boxed", "log-mel"}
    assert tables["boxed"]["opening"]["same"]["clips"]
    assert main(arguments) == 0
    assert "boxed" in capsys.readouterr().out
    assert lip_probe.encoder_table
