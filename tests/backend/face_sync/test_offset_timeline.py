"""Audio offsets along a clip: of takes, and of a recorder whose clock drifts."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from backend.face_sync import stage
from backend.face_sync.audio_offset import OffsetEvidence
from backend.face_sync.offset_timeline import MIN_DRIFT_MS, measure
from backend.media.audio import read_audio
from backend.media.audio_timeline import aligned, offsets_ms
from backend.progress import Reporter
from backend.workspace.store import Workspace
from backend.workspace.subject import AudioPiece

from .conftest import FPS, RATE, babble, make_subject

pytestmark = pytest.mark.long


def late(sound, late_ms):
    """The same audio, heard later by that much."""
    return np.roll(sound, round(late_ms * RATE / 1000))


def recorded(sound, drift_ms_per_s):
    """What a recorder keeps whose clock makes the audio lag by so much more each second."""
    at_s = np.arange(len(sound)) / RATE
    return np.interp(at_s / (1 + drift_ms_per_s / 1000), at_s, sound).astype(np.float32)


def takes(*parts):
    """Audio and lips of takes in a row, (seconds, seed, late_ms), and the frames at which they begin."""
    sounds, lips, cuts = [], [], np.zeros(0, bool)
    for seconds, seed, late_ms in parts:
        sound, jaw, _ = babble(seconds, seed=seed)
        sounds.append(late(sound, late_ms))
        lips.append(jaw)
        cuts = np.concatenate([cuts, np.arange(len(jaw)) == 0])
    cuts[0] = False
    return np.concatenate(sounds), np.concatenate(lips), cuts


def test_takes_have_their_own_offsets():
    sound, jaw, cuts = takes((12, 1, 40), (12, 2, 280), (10, 3, -120))
    found = measure(OffsetEvidence.of(sound, jaw), cuts)
    assert [piece.start_s for piece in found.pieces] == [0, 12, 24]
    assert [piece.offset_ms for piece in found.pieces] == pytest.approx([40, 280, -120], abs=40)
    assert found.unsure_s == []


def test_one_recording_that_is_cut_keeps_one_offset():
    sound, jaw, cuts = takes((12, 1, 80), (12, 2, 80), (10, 3, 80))
    found = measure(OffsetEvidence.of(sound, jaw), cuts)
    assert found.pieces == []
    assert found.offset_ms == pytest.approx(80, abs=40)
    assert found.sure


def test_a_take_that_cannot_be_measured_is_named_and_follows_its_neighbour():
    sound, jaw, cuts = takes((12, 1, 0), (12, 2, 240), (3, 3, 240))
    found = measure(OffsetEvidence.of(sound, jaw), cuts)
    assert found.unsure_s == [(24, 27)]
    assert offsets_ms(found.pieces, np.array([25.0]))[0] == pytest.approx(240, abs=40)


def test_a_short_take_between_takes_that_agree_is_as_they_are():
    sound, jaw, cuts = takes((10, 1, 240), (1, 3, 240), (10, 2, 240), (10, 4, 0))
    found = measure(OffsetEvidence.of(sound, jaw), cuts)
    assert found.unsure_s == []
    assert [piece.start_s for piece in found.pieces] == [0, 21]


@pytest.mark.parametrize("drift", [-2.0, 1.5, 3.0])
def test_drift_is_measured(drift):
    sound, jaw, _ = babble(45, seed=4)
    found = measure(OffsetEvidence.of(recorded(sound, drift), jaw), np.zeros(len(jaw), bool))
    (piece,) = found.pieces
    assert piece.drift_ms_per_s * 45 == pytest.approx(drift * 45, abs=25)
    assert piece.offset_ms == pytest.approx(0, abs=40)


def test_a_clock_that_keeps_time_is_left_alone():
    sound, jaw, _ = babble(45, seed=4)
    for drift in (0.0, 0.2 * MIN_DRIFT_MS / 45):
        found = measure(OffsetEvidence.of(recorded(sound, drift), jaw), np.zeros(len(jaw), bool))
        assert found.pieces == []
        assert found.uneven_ms is None


@pytest.mark.parametrize("seconds", [9, 24])
def test_an_offset_that_jumps_without_a_cut_is_reported(seconds):
    sound, jaw, _ = takes((seconds, 1, 0), (seconds, 2, 260))
    found = measure(OffsetEvidence.of(sound, jaw), np.zeros(len(jaw), bool))
    assert found.pieces == []
    low, high = found.uneven_ms
    assert low == pytest.approx(0, abs=60)
    assert high == pytest.approx(260, abs=60)


def test_aligned_audio_is_in_time_with_the_video():
    at_s = np.arange(30 * RATE) / RATE
    tone = np.sin(2 * np.pi * 3000 * at_s).astype(np.float32)
    for drift in (-2.0, 1.0):
        heard = np.sin(2 * np.pi * 3000 * (at_s / (1 + drift / 1000))).astype(np.float32)
        corrected = aligned(heard, [AudioPiece(0.0, 0.0, drift)])
        assert np.abs(corrected - tone)[RATE : 29 * RATE].max() < 0.01
    pieces = [AudioPiece(0.0, 40.0), AudioPiece(10.0, -100.0)]
    corrected = aligned(tone, pieces)
    assert np.array_equal(corrected[: 10 * RATE], tone[640 : 10 * RATE + 640])
    assert np.array_equal(corrected[10 * RATE :], tone[10 * RATE - 1600 : -1600])


@pytest.mark.usefixtures("brief_adaptation")
def test_the_stage_corrects_takes_and_everything_reads_the_corrected_audio(tmp_path, face, shapes):
    def second_take_late(sound):
        return np.concatenate([sound[: 12 * RATE], late(sound[12 * RATE :], 240)])

    subject = make_subject(tmp_path / "takes", face, shapes, seconds=26, change=second_take_late, cuts=[12 * FPS])
    reporter = Reporter()
    stage.run(Workspace.open(subject.root), reporter)
    workspace = Workspace.open(subject.root)
    first, second = workspace.subject.audio_timeline
    assert (first.offset_ms, second.offset_ms) == (pytest.approx(0, abs=40), pytest.approx(240, abs=40))
    assert any("have different audio offsets" in text and "from 12.0 s" in text for text in reporter.warnings)
    assert workspace.aligned_audio == (subject.root / "audio_corrected.wav", 0.0)
    # Against a subject whose audio never ran late.
    plain = make_subject(tmp_path / "plain", face, shapes, seconds=26)
    true, found = read_audio(plain.root / "audio.wav"), read_audio(subject.root / "audio_corrected.wav")
    part = slice(13 * RATE, 24 * RATE)
    shifts = range(-640, 641, 80)
    best = max(shifts, key=lambda shift: float(np.dot(np.roll(found, shift)[part], true[part])))
    assert abs(best) <= 40 * RATE // 1000

    again = Reporter()
    stage.run(Workspace.open(subject.root), again)
    assert again.warnings == []
    stage.run(Workspace.open(subject.root), Reporter(), audio_offset_ms=60)
    workspace = Workspace.open(subject.root)
    assert workspace.aligned_audio == (subject.root / "audio.wav", 60.0)
    assert not (subject.root / "audio_corrected.wav").exists(), "what was set by hand is one number"


@pytest.mark.usefixtures("brief_adaptation")
def test_the_stage_corrects_drift(tmp_path, face, shapes):
    subject = make_subject(tmp_path / "drift", face, shapes, seconds=45, change=lambda sound: recorded(sound, 2.0))
    reporter = Reporter()
    stage.run(Workspace.open(subject.root), reporter)
    (piece,) = Workspace.open(subject.root).subject.audio_timeline
    assert piece.drift_ms_per_s == pytest.approx(2.0, abs=0.6)
    assert any("drifts by +1" in text and text.endswith("corrected.") for text in reporter.warnings)


def test_a_workspace_without_a_timeline_opens_as_before(tmp_path, face, shapes):
    subject = make_subject(tmp_path / "old", face, shapes, seconds=12)
    text = (subject.root / "subject.json").read_text()
    assert "audio_timeline" in text
    (subject.root / "subject.json").write_text(text.replace('"audio_timeline": [],', ""))
    workspace = Workspace.open(subject.root)
    assert workspace.subject.audio_timeline == []
    assert workspace.aligned_audio == (workspace.audio_path, 0.0)


@pytest.mark.slow
def test_a_known_drift_of_a_real_clip_is_recovered(shared):
    """Measured figures: docs/face-sync.md."""
    from backend.head_sync.landmarks import choose_face, open_landmarker
    from backend.media.audio import clip_audio
    from backend.media.decode import FrameReader
    from backend.workspace.landmarks import lip_opening

    path = shared / "clips" / "speech-en-60s-256px.mp4"
    with contextlib.closing(open_landmarker()) as landmarker:
        reader, points, last = FrameReader(path), [], None
        for _, image in reader:
            face = choose_face(landmarker.detect(image), last)
            last = face or last
            points.append(np.full((478, 2), np.nan) if face is None else face.points_px)
    opening = lip_opening(np.array(points))
    sound = np.concatenate(list(clip_audio(path, reader.info.start_s, len(points) / FPS)))
    seconds, none = len(points) / FPS, np.zeros(len(points), bool)
    for drift in (-2.0, -1.0, 1.0, 2.0):
        (piece,) = measure(OffsetEvidence.of(recorded(sound, drift), opening), none).pieces
        assert piece.drift_ms_per_s * seconds == pytest.approx(drift * seconds, abs=30)
    assert measure(OffsetEvidence.of(sound, opening), none).pieces == []
