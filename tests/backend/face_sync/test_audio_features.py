import numpy as np
import pytest

from backend.face_sync import audio_features
from backend.face_sync.audio_features import COLUMNS, PER_STEP, RATE

from .conftest import babble


def log_mel(audio):
    return np.concatenate(list(audio_features.log_mel_blocks([audio])))


def test_a_tone_lights_the_band_of_its_frequency():
    time = np.arange(RATE) / RATE
    for hertz in (200, 1000, 4000):
        mel = log_mel(0.5 * np.sin(2 * np.pi * hertz * time))
        band = mel[20:-20].mean(0).argmax()
        filters = audio_features.mel_filters()[band]
        centre = (filters * np.arange(len(filters))).sum() / filters.sum() * RATE / audio_features.FFT
        assert abs(centre - hertz) < 0.06 * hertz + 20


def test_the_filters_are_the_triangles_that_the_weights_were_trained_on():
    def to_mel(hertz):
        return 2595 * np.log10(1 + hertz / 700)

    bands, bins = audio_features.BANDS, audio_features.FFT // 2 + 1
    edges_mel = np.linspace(to_mel(audio_features.LOW_HZ), to_mel(audio_features.HIGH_HZ), bands + 2)
    edges = 700 * (10 ** (edges_mel / 2595) - 1)
    frequency = np.arange(bins) * RATE / audio_features.FFT
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.maximum(0, np.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre)))
    assert audio_features.mel_filters() == pytest.approx(triangles / triangles.sum(1, keepdims=True), abs=1e-6)


def test_every_band_hears_something():
    assert (audio_features.mel_filters().sum(1) > 0.99).all()


def test_level_and_colour_of_the_recording_do_not_matter():
    sound, *_ = babble(4, seed=2)
    plain = audio_features.step_features(sound)
    assert np.abs(audio_features.step_features(0.1 * sound) - plain).max() < 0.02
    bright = np.append(sound[:1], sound[1:] - 0.7 * sound[:-1]).astype(np.float32)
    spoken = plain.max(1) > 0
    assert np.abs(audio_features.step_features(bright) - plain)[spoken].mean() < 0.35 * plain[spoken].std()


def test_one_row_a_video_frame():
    sound = np.random.default_rng(0).normal(0, 0.1, int(2.4 * RATE)).astype(np.float32)
    assert audio_features.step_features(sound).shape == (60, PER_STEP * COLUMNS)
    assert audio_features.step_features(sound, 100).shape == (100, PER_STEP * COLUMNS)
    assert np.isfinite(audio_features.step_features(np.zeros(10, np.float32), 3)).all()


@pytest.mark.parametrize("late_ms", [-120, 40, 200])
def test_offset_selects_the_audio_that_belongs_to_the_frame(late_ms):
    sound, *_ = babble(4, seed=2)
    shift = late_ms * RATE // 1000
    late = np.pad(sound, (max(shift, 0), max(-shift, 0)))[max(-shift, 0) :][: len(sound)]
    inner = slice(8, -8)
    plain = audio_features.step_features(sound, 100)[inner]
    corrected = audio_features.step_features(late, 100, offset_ms=late_ms)[inner]
    assert np.abs(corrected - plain).mean() < 0.1


def test_blocks_of_long_audio_join_without_a_seam(monkeypatch):
    sound = np.random.default_rng(0).normal(0, 0.1, 3 * RATE).astype(np.float32)
    complete = log_mel(sound)
    monkeypatch.setattr(audio_features, "_BLOCK", 37)
    assert np.allclose(log_mel(sound), complete, atol=1e-5)


@pytest.mark.parametrize("sizes", [(1,), (7, 160, 401), (5000,), (100000,)])
def test_audio_in_blocks_of_any_size_gives_the_same(sizes):
    sound = babble(3, seed=3)[0]
    blocks, at, turn = [], 0, 0
    while at < len(sound):
        blocks.append(sound[at : at + sizes[turn % len(sizes)] * 10])
        at, turn = at + len(blocks[-1]), turn + 1
    rows = audio_features.StepFeatures(blocks, 80, 30)
    complete = audio_features.step_features(sound, 80, 30)
    assert np.allclose(rows[:], complete, atol=1e-4)
    assert np.allclose(rows[20:40], complete[20:40], atol=1e-4), "any part alone"
    assert np.allclose(audio_features.step_loudness(rows), audio_features.step_loudness(complete), atol=1e-4)


def test_empty_audio_is_silence():
    assert np.isfinite(audio_features.StepFeatures([], 10)[:]).all()
