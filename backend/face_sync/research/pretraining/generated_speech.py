"""Generated speech to train the encoder without recordings of people.

Texts are spoken by flite's and espeak-ng's voices, whose own phoneme times give visemes and, through
`workspace.visemes`, mouth curves. Speed, pitch, loudness, equaliser, room and noise are changed at random.
Needs the programs flite and espeak-ng (Debian's packages of these names).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve, resample_poly

from ....errors import AudioError
from ....media.audio_rates import RATE
from ....media.synthesizer import SILENCES, SynthesizerError, Utterance, synthesize
from ....progress import Reporter
from ....protocol import BLENDSHAPE_NAMES
from ....workspace.visemes import mouth_curves, visemes_of
from ...audio_features import step_features
from ...steps import STEP_RATE
from .prepared import GENERATED, Item, write_item

PART_S = 300
FLITE_SHARE = 0.65
"""Of utterances. Its voices are made from recordings and train better than espeak-ng's, of which there are more."""

FLITE_VOICES = ("rms", "slt", "awb", "kal16")
ESPEAK_LANGUAGES = (
    "en-us", "en-gb-x-rp", "en-gb-scotland", "de", "fr", "es", "it", "pt", "nl", "pl", "sv", "fi", "tr", "id", "cs", "hu",
    "ro", "da", "hr", "sw",
)  # fmt: skip
ESPEAK_VARIANTS = (
    "", "+m1", "+m3", "+m5", "+m7", "+f1", "+f2", "+f3", "+f5", "+Annie", "+Andy", "+Lee", "+Alicia", "+Michael",
    "+Andrea", "+Gene", "+Diogo", "+Mario", "+adam", "+linda", "+steph", "+john", "+edward", "+klatt",
)  # fmt: skip
VISEMES = (
    "rest", "closed", "labiodental", "dental", "alveolar", "sibilant", "postalveolar", "velar", "rhotic", "lateral",
    "glide_w", "open", "open_front", "mid_front", "close_front", "central", "open_round", "mid_round", "close_round",
)  # fmt: skip
CURVES = (
    "jawOpen", "mouthDimpleLeft", "mouthFunnel", "mouthLowerDownLeft", "mouthPressLeft", "mouthPucker",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthSmileLeft", "mouthStretchLeft", "mouthUpperUpLeft",
    "tongueOut",
)  # fmt: skip
"""Curves that speech moves; left and right are equal here."""

OPENING_MM = {
    "jawOpen": 18.0, "mouthFunnel": 7.4, "mouthLowerDownLeft": 4.4, "mouthPressLeft": -1.4, "mouthPucker": -2.0,
    "mouthRollLower": -3.4, "mouthRollUpper": -2.6, "mouthShrugLower": -4.4, "mouthSmileLeft": -1.6,
    "mouthUpperUpLeft": 4.2, "tongueOut": 1.2,
}  # fmt: skip
"""By how much each curve, both its sides, opens the lips of an adult face (`blendshape_basis`)."""


def english_sentences(rng: np.random.Generator) -> list[str]:
    """Plain sentences of a few seconds from the texts that every Python carries (its reference manual and licence)."""
    from pydoc_data.topics import topics

    text = " ".join(topics.values())
    text = re.sub(r"[^A-Za-z,.'\s-]+", " ", text)
    sentences = [" ".join(part.split()) for part in re.split(r"[.\n]{2,}|\. ", text)]
    sentences = [
        part for part in sentences if 35 < len(part) < 130 and sum(c.islower() for c in part) > 0.7 * len(part)
    ]
    rng.shuffle(sentences)
    return sentences


def invented_sentence(rng: np.random.Generator) -> str:
    """Words of made-up open and closed syllables: every language's rules read them in their own way."""
    onsets = [*"bdfgklmnprstvwz", "sh", "ch", "st", "pl", "tr", "br", "fl", "sp"]
    nuclei = [*"aeiouaeo", "ai", "au", "ou", "ie"]
    codas = ["", "", "", "n", "m", "s", "r", "l", "t", "p", "f"]
    words = []
    for _ in range(rng.integers(7, 13)):
        syllables = rng.choice([1, 2, 2, 3])
        words.append("".join(rng.choice(onsets) + rng.choice(nuclei) for _ in range(syllables)) + rng.choice(codas))
        if rng.random() < 0.12:
            words[-1] += ","
    return " ".join(words) + "."


def generate(folder: Path, hours: float, reporter: Reporter, seed: int = 0) -> None:
    """Fill `folder` with prepared parts of speech, `PART_S` each; existing parts are kept.

    Each part depends on the seed and its number alone, so an interrupted generation resumes exactly.

    Raises:
        SynthesizerError: flite or espeak-ng is not installed.
    """
    parts = math.ceil(hours * 3600 / PART_S)
    for part in range(parts):
        reporter.progress("speaking", part, parts, "parts")
        path = folder / f"{GENERATED}{seed}_{part:04d}.npz"
        if not path.exists():
            write_item(path, _part(np.random.default_rng((seed, part))))
    reporter.progress("speaking", parts, parts, "parts")


def _part(rng: np.random.Generator) -> Item:
    rows: list[tuple[np.ndarray, ...]] = []
    for utterance in _utterances(rng):
        rows.append(varied(utterance, rng))
        if sum(len(row[0]) for row in rows) >= PART_S * STEP_RATE:
            break
    features, visemes, curves = (np.concatenate(part) for part in zip(*rows, strict=True))
    return Item(features, np.cumsum([len(row[0]) for row in rows]), visemes=visemes, curves=curves)


def _utterances(rng: np.random.Generator) -> Iterator[Utterance]:
    sentences = english_sentences(rng)
    failures = 0
    while True:
        flite = rng.random() < FLITE_SHARE
        voice = rng.choice(FLITE_VOICES) if flite else rng.choice(ESPEAK_LANGUAGES) + rng.choice(ESPEAK_VARIANTS)
        english = flite or str(voice).startswith("en")
        text = sentences[rng.integers(len(sentences))] if english and rng.random() < 0.85 else invented_sentence(rng)
        try:
            utterance = synthesize(text, str(voice))
        except (AudioError, SynthesizerError):  # a text that this voice cannot read or time
            failures += 1
            if failures > 20:
                raise
            continue
        failures = 0
        yield utterance


def varied(utterance: Utterance, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One recording of the utterance: another speed and pitch, colour, room, distance and noise."""
    speed = float(np.exp(rng.uniform(-0.16, 0.16)))
    samples = resample_poly(utterance.samples, *_ratio(RATE / utterance.rate / speed)).astype(np.float32)
    start, end = utterance.start_s / speed, utterance.end_s / speed
    lead = rng.uniform(0, 0.5)
    samples = np.pad(samples, (round(lead * RATE), round(rng.uniform(0, 0.5) * RATE)))
    start, end = start + lead, end + lead
    samples = fftconvolve(samples, _equaliser(rng), mode="same")
    if rng.random() < 0.5:
        samples = _room(samples, rng)
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-rng.uniform(12, 50) / 20)
    noise = rng.normal(size=len(samples))
    if rng.random() < 0.5:
        noise = np.convolve(noise, [0.25, 0.25, 0.25, 0.25], mode="same") * 2
    samples = (samples + level * noise).astype(np.float32)
    features = step_features(samples)
    time_s = np.arange(len(features)) / float(STEP_RATE)
    labels = [*utterance.phonemes]
    curves = mouth_curves(labels, start, end, time_s)[:, [BLENDSHAPE_NAMES.index(name) for name in CURVES]]
    visemes = np.zeros(len(features), np.int64)
    for label, a, b in zip(labels, start, end, strict=True):
        parts = ["rest"] if label in SILENCES or label == "pau" else visemes_of(label)
        for k, part in enumerate(parts):
            low, high = a + (b - a) * k / len(parts), a + (b - a) * (k + 1) / len(parts)
            visemes[(time_s >= low) & (time_s < high)] = VISEMES.index(part)
    return features.astype(np.float16), visemes, curves.astype(np.float16)


def _ratio(value: float) -> tuple[int, int]:
    down = 200
    return max(1, round(value * down)), down


def _equaliser(rng: np.random.Generator) -> np.ndarray:
    """A smooth random frequency response within about +-8 dB, linear phase."""
    gains = np.interp(np.linspace(0, 1, 129), np.linspace(0, 1, 7), rng.normal(0, 4, 7))
    response = np.fft.irfft(10 ** (gains / 20))
    return np.roll(response, 128) * np.hanning(256)


def _room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    decay = rng.uniform(0.05, 0.3)
    length = int(decay * RATE)
    tail = rng.normal(size=length) * np.exp(-6.9 * np.arange(length) / length)
    tail *= rng.uniform(0.1, 0.6) / np.sqrt((tail**2).sum())
    tail[0] += 1
    return fftconvolve(samples, tail)[: len(samples)]
