"""The actor's parts: speech, articulation, performance, coordinates, form and expression."""

from __future__ import annotations

import ctypes.util
import shutil

import numpy as np
import pytest

from backend.actor import anatomy, expression, features, frames, performance, skin
from backend.media import synthesizer
from backend.protocol import BLENDSHAPE_NAMES
from backend.workspace.visemes import mouth_curves

INDEX = {name: k for k, name in enumerate(BLENDSHAPE_NAMES)}
needs_espeak = pytest.mark.skipif(ctypes.util.find_library("espeak-ng") is None, reason="espeak-ng is not installed")
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


def utterance(*labels: str, each_s: float = 0.12, rate: int = 16000) -> synthesizer.Utterance:
    """A made-up utterance of phonemes of equal length; pauses are silent."""
    edges = np.arange(len(labels) + 1) * each_s
    tone = [np.full(int(each_s * rate), 0.0 if label == "pau" else 0.3, np.float32) for label in labels]
    return synthesizer.Utterance(np.concatenate(tone), rate, labels, edges[:-1], edges[1:])


def test_lips_close_on_p_b_m_between_open_vowels() -> None:
    spoken = utterance("pau", "aa", "b", "aa", "pau")
    curves = mouth_curves(spoken.phonemes, spoken.start_s, spoken.end_s, np.array([0.18, 0.30, 0.42]))
    before, closure, after = curves[:, INDEX["jawOpen"]]
    assert closure < 0.12
    assert min(before, after) > 0.35


@pytest.mark.parametrize(
    ("label", "shape"), [("uw", "mouthPucker"), ("uː", "mouthPucker"), ("ʃ", "mouthFunnel"), ("iy", "mouthSmileLeft")]
)
def test_arpabet_and_ipa_reach_their_mouth_shape(label: str, shape: str) -> None:
    spoken = utterance("pau", label, label, "pau")
    curves = mouth_curves(spoken.phonemes, spoken.start_s, spoken.end_s, np.array([0.24]))
    assert curves[0, INDEX[shape]] > 0.25


def test_a_phoneme_nobody_listed_still_moves_the_mouth() -> None:
    spoken = utterance("pau", "ʘ", "pau")
    assert mouth_curves(spoken.phonemes, spoken.start_s, spoken.end_s, np.array([0.18]))[0, INDEX["jawOpen"]] > 0.05


def test_a_performance_repeats_with_its_seed_and_keeps_its_limits() -> None:
    spoken = utterance(*(["pau", "m", "aa", "d", "iy", "uw"] * 12)).placed(performance.NEUTRAL_S, 9.0)
    first, again, other = (performance.perform(spoken, 9.0, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.blendshapes, again.blendshapes)
    assert np.array_equal(first.euler_deg, again.euler_deg)
    assert not np.array_equal(first.euler_deg, other.euler_deg)
    limits = (performance.PITCH_LIMIT_DEG, performance.YAW_LIMIT_DEG, performance.ROLL_LIMIT_DEG)
    assert (np.abs(first.euler_deg) <= limits).all()
    assert first.blendshapes.min() >= 0
    assert first.blendshapes.max() <= 1
    assert np.abs(first.blendshapes[0]).max() == 0


def test_head_frame_has_its_origin_85_mm_behind_and_45_mm_below_the_pupils() -> None:
    pupils = frames.face_to_head(np.array([[-31.5, 0, 0], [31.5, 0, 0]]))
    assert np.linalg.norm(pupils[1] - pupils[0]) == pytest.approx(0.063)
    assert pupils.mean(0) == pytest.approx([0, -0.045, -0.085])


def test_angles_turn_the_face_the_way_their_names_say() -> None:
    nose = np.array([0.0, 0.0, -0.1])  # out of the face
    pitch, yaw, roll = frames.rotation(np.diag([10.0, 10.0, 10.0]))
    assert (pitch @ nose)[1] > 0, "nodding down takes the nose down, which is +y"
    assert (yaw @ nose)[0] > 0, "to image right is +x"
    assert (roll @ np.array([0.0, -0.1, 0.0]))[0] > 0, "clockwise takes the crown to image right"


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """Points about the face's surface, in pairs that mirror each other."""
    rng = np.random.default_rng(0)
    points = np.stack([rng.uniform(0, 60, 4000), rng.uniform(-115, 45, 4000), rng.uniform(-40, 25, 4000)], 1)
    return np.concatenate([points, points * [-1, 1, 1]])


def test_all_52_shapes_exist_and_left_mirrors_right(face: np.ndarray) -> None:
    shapes = expression.FaceFields(face).shapes()
    assert set(BLENDSHAPE_NAMES) <= set(shapes)
    half = len(face) // 2
    for name in BLENDSHAPE_NAMES:
        if name.endswith("Left"):
            mirrored = shapes[name[:-4] + "Right"][np.r_[half : 2 * half, 0:half]] * [-1, 1, 1]
            assert shapes[name] == pytest.approx(mirrored, abs=1e-6), name


def test_left_shapes_act_on_the_subject_s_left(face: np.ndarray) -> None:
    shapes = expression.FaceFields(face).shapes()
    for name in ("mouthSmileLeft", "eyeBlinkLeft", "browOuterUpLeft", "cheekSquintLeft", "noseSneerLeft"):
        size = np.linalg.norm(shapes[name], axis=1)
        assert size[face[:, 0] > 0].sum() > 5 * size[face[:, 0] < 0].sum(), name


def test_a_blink_brings_the_lid_margins_together() -> None:
    x = np.linspace(anatomy.CANTHUS_INNER[0] + 5, anatomy.CANTHUS_OUTER[0] - 5, 9)
    upper, lower = anatomy.lid_margins(x)
    depth = anatomy.EYE_CENTRE[2] + np.sqrt(13.4**2 - (x - anatomy.EYE_CENTRE[0]) ** 2)

    def closed(y: np.ndarray) -> np.ndarray:
        points = np.stack([x, y, depth], 1)
        return (points + expression.FaceFields(points).shapes()["eyeBlinkLeft"])[:, 1]

    assert (upper - lower).min() > 5
    assert (closed(upper) - closed(lower)).max() < 1.2


def test_a_missing_synthesizer_is_one_sentence_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(synthesizer.SynthesizerError, match="needs flite, which is not installed: install"):
        synthesizer.synthesize("Hello", "rms")
    monkeypatch.setenv("SYNCTALK_ESPEAK", "no-such-library.so")
    with pytest.raises(synthesizer.SynthesizerError, match="espeak-ng is not installed.*install the package espeak-ng"):
        synthesizer._espeak_library()


@pytest.mark.parametrize("voice", [pytest.param("rms", marks=needs_flite), pytest.param("en-us", marks=needs_espeak)])
def test_phonemes_cover_the_speech_without_gaps(voice: str) -> None:
    spoken = synthesizer.synthesize("Mama likes blue. Papa too.", voice)
    assert {"m", "b", "p"} <= set(spoken.phonemes)
    assert spoken.start_s[0] == 0
    assert spoken.start_s[1:] == pytest.approx(spoken.end_s[:-1])
    assert spoken.end_s[-1] == pytest.approx(spoken.duration_s, abs=0.05)
    placed = spoken.placed(0.5, 6.0)
    assert placed.duration_s == pytest.approx(6.0)
    assert placed.end_s[-1] == pytest.approx(6.0)
    assert np.abs(placed.samples[: int(0.5 * placed.rate)]).max() == 0


@needs_espeak
def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(synthesizer.SynthesizerError, match="no voice named klingon-9"):
        synthesizer.synthesize("Hello", "klingon-9")


def test_teeth_show_under_the_upper_lip_and_stay_behind_closed_lips() -> None:
    teeth = features.teeth()
    moves = np.abs(teeth.shapes["jawOpen"]).max(1) > 0
    upper = teeth.vertices[~moves]
    front = upper[np.abs(upper[:, 0]) < 8]
    lip = anatomy.lip_line(np.array(0.0))
    assert lip - 5 < front[:, 1].min() < lip - 2.5, "the edges reach below the lip, but not far"
    for points in (upper, teeth.vertices[moves]):
        near = points[np.abs(points[:, 1] - lip) < 3]
        assert (anatomy.lip_depth(near[:, 0]) - near[:, 2]).min() > 3, "the lips have room in front of them"


def test_lips_and_lid_margins_are_moist_and_cheeks_are_not() -> None:
    margin = anatomy.lid_margins(np.array([anatomy.PUPIL_X]))[0][0]
    x, lip = 5.0, float(anatomy.lip_line(np.array(5.0))) + 3.0
    places = np.array([[x, lip, 12.0], [anatomy.PUPIL_X, margin, 0.0], [45.0, -35.0, -10.0]])
    moist_lip, moist_lid, cheek = skin.wetness(places)
    assert min(moist_lip, moist_lid) > 0.5
    assert cheek < 0.05
