"""The acted performance: expression, gaze and head motion over time, from phonemes, loudness and a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..media.synthesizer import Utterance
from ..protocol import BLENDSHAPE_NAMES
from ..workspace.arrays import smoothstep
from ..workspace.visemes import VOWELS, mouth_curves, visemes_of

FPS = 25.0
ENVELOPE_HZ = 100.0
NEUTRAL_S = 0.28
GAZE_RANGE_DEG = 30.0  # what a gaze coefficient of 1 turns the eye by
YAW_LIMIT_DEG, PITCH_LIMIT_DEG, ROLL_LIMIT_DEG = 12.0, 6.0, 4.0


@dataclass(frozen=True)
class Performance:
    """One value a frame.

    Attributes:
        time_s: (N,).
        blendshapes: (N,52) in [0,1].
        euler_deg: (N,3) head rotation: pitch (positive nods down), yaw (positive turns to image right), roll (positive
            clockwise in the image).
        shift_m: (N,3) head translation in camera axes.
    """

    time_s: np.ndarray
    blendshapes: np.ndarray
    euler_deg: np.ndarray
    shift_m: np.ndarray


def frame_times(seconds: float) -> np.ndarray:
    """Times (N,) of the frames of a clip of `seconds` at 25 frames a second."""
    return np.arange(max(1, round(seconds * FPS))) / FPS


def _bump(time_s: np.ndarray, centre: float, rise: float, fall: float) -> np.ndarray:
    """A smooth pulse of height 1 at `centre` that rises over `rise` and falls over `fall` seconds."""
    before, after = (time_s - centre + rise) / rise, (centre + fall - time_s) / fall
    return np.where(time_s < centre, smoothstep(0, 1, before), smoothstep(0, 1, after))


def _wander(time_s: np.ndarray, periods_s, rng: np.random.Generator) -> np.ndarray:
    """Slow motion in about [-1, 1]: a sum of sines of incommensurate periods with random phases."""
    waves = [np.sin(2 * np.pi * time_s / p + rng.uniform(0, 2 * np.pi)) for p in periods_s]
    return np.sum(waves, 0) / np.sqrt(len(waves)) * 0.85


def _loudness(utterance: Utterance):
    """A function (start, end) -> loudness relative to the mean of the voiced parts."""
    hop = int(utterance.rate / ENVELOPE_HZ)
    power = utterance.samples[: len(utterance.samples) // hop * hop].reshape(-1, hop) ** 2
    envelope = np.sqrt(power.mean(1))
    voiced = envelope[envelope > 0.1 * envelope.max(initial=1e-6)]
    mean = voiced.mean() if voiced.size else 1.0

    def relative(start: float, end: float) -> float:
        first = int(start * ENVELOPE_HZ)
        part = envelope[first : max(int(end * ENVELOPE_HZ), first + 1)]
        return float(part.mean() / mean) if part.size else 1.0

    return relative


def stressed_vowels(utterance: Utterance, least_gap_s: float = 0.55) -> np.ndarray:
    """Times (K,) of the loudest vowels, at least `least_gap_s` apart: where speakers nod and raise their brows."""
    relative = _loudness(utterance)
    vowels = [
        (relative(a, b) * min(b - a, 0.2), 0.5 * (a + b))
        for label, a, b in zip(utterance.phonemes, utterance.start_s, utterance.end_s, strict=True)
        if visemes_of(label)[0] in VOWELS
    ]
    chosen: list[float] = []
    for _, time in sorted(vowels, reverse=True):
        if all(abs(time - other) >= least_gap_s for other in chosen):
            chosen.append(time)
    return np.sort(np.array(chosen))


def perform(utterance: Utterance, seconds: float, seed: int) -> Performance:
    """Act `utterance` for `seconds`. The first frames are the neutral face, looking straight into the camera."""
    rng = np.random.default_rng(seed)
    time = frame_times(seconds)
    index = {name: k for k, name in enumerate(BLENDSHAPE_NAMES)}
    shapes = mouth_curves(utterance.phonemes, utterance.start_s, utterance.end_s, time, _loudness(utterance))
    ease = smoothstep(0, 1, (time - NEUTRAL_S) / 0.5)
    accents = stressed_vowels(utterance)

    def add(name: str, curve: np.ndarray) -> None:
        shapes[:, index[name]] += curve

    def add_both(stem: str, curve: np.ndarray, imbalance: float = 0.08) -> None:
        tilt = rng.uniform(-imbalance, imbalance)
        add(stem + "Left", curve * (1 + tilt))
        add(stem + "Right", curve * (1 - tilt))

    # Mouths are never quite symmetric, and a speaker's mood shows at the corners and in the brows.
    for stem in ("mouthLowerDown", "mouthStretch", "mouthUpperUp"):
        shapes[:, index[stem + "Left"]] *= 1.08
        shapes[:, index[stem + "Right"]] *= 0.92
    mood = np.clip(0.5 + 0.5 * _wander(time, (4.1, 2.7), rng), 0, 1)
    add_both("mouthSmile", 0.15 * ease * mood)
    add_both("cheekSquint", 0.15 * ease * mood)
    add_both("eyeSquint", 0.12 * ease * mood)
    for k, accent in enumerate(accents):
        size = rng.uniform(0.25, 0.7)
        if k % 3 != 2:
            pulse = size * _bump(time, accent, 0.22, 0.4)
            add("browInnerUp", 0.8 * pulse)
            add_both("browOuterUp", 0.7 * pulse)
            add_both("eyeWide", 0.25 * pulse)
        else:
            add_both("browDown", 0.6 * size * _bump(time, accent, 0.25, 0.45))

    # Head: slow turns, and a nod on each accent.
    pitch = 3.4 * _wander(time, (5.3, 3.1), rng)
    yaw = 13.0 * _wander(time, (7.9, 4.7), rng) + 1.3 * _wander(time, (1.9, 1.3), rng)
    roll = 3.4 * _wander(time, (6.1, 3.7), rng) + 0.08 * yaw
    for accent in accents:
        pitch += rng.uniform(1.0, 2.8) * _bump(time, accent + 0.04, 0.18, 0.42)
    limits = np.array([PITCH_LIMIT_DEG, YAW_LIMIT_DEG, ROLL_LIMIT_DEG])
    # A soft limit: a hard one would stop the head abruptly.
    euler = limits * np.tanh(np.stack([pitch, yaw, roll], 1) / limits) * ease[:, None]
    shift = np.stack([_wander(time, periods, rng) for periods in ((6.7, 3.9), (5.9, 3.3), (7.3, 4.3))], 1)
    shift *= ease[:, None] * np.array([0.006, 0.004, 0.008])
    shift[:, 0] += 0.0003 * euler[:, 1]

    # Gaze: saccades of a few degrees that hold, while the eyes counter most of the head's turn to stay with the viewer.
    yaw_gaze, pitch_gaze = -0.75 * euler[:, 1], -0.75 * euler[:, 0]
    at = NEUTRAL_S + 0.5
    while at < seconds:
        hold = rng.uniform(0.5, 1.3)
        target = rng.normal(0, (4.0, 2.2)) * (rng.random() < 0.6)
        step = smoothstep(0, 1, (time - at) / 0.05) * (1 - smoothstep(0, 1, (time - at - hold) / 0.05))
        yaw_gaze, pitch_gaze = yaw_gaze + step * target[0], pitch_gaze + step * target[1]
        at += hold + rng.uniform(0.05, 0.5)
    yaw_gaze, pitch_gaze = np.clip(yaw_gaze, -22, 22) / GAZE_RANGE_DEG, np.clip(pitch_gaze, -16, 16) / GAZE_RANGE_DEG
    right, left = np.maximum(yaw_gaze, 0), np.maximum(-yaw_gaze, 0)
    for side, outwards, inwards in (("Left", right, left), ("Right", left, right)):
        add("eyeLookOut" + side, outwards)
        add("eyeLookIn" + side, inwards)
        add("eyeLookDown" + side, np.maximum(pitch_gaze, 0))
        add("eyeLookUp" + side, np.maximum(-pitch_gaze, 0))

    # Blinks close in two to three frames and open in four to five.
    at = NEUTRAL_S + rng.uniform(0.7, 1.2)
    while at < seconds - 0.3:
        blink = _bump(time, round(at * FPS) / FPS, 0.11, 0.2)
        for side in ("Left", "Right"):
            column = shapes[:, index["eyeBlink" + side]]
            np.maximum(column, blink, out=column)
            # Lids that close do not widen, squint or follow the gaze at the same time.
            for stem in ("eyeWide", "eyeSquint", "eyeLookDown", "eyeLookUp"):
                shapes[:, index[stem + side]] *= 1 - 0.9 * blink
        at += rng.uniform(1.7, 3.4)
    awake = smoothstep(0, 1, (time - 0.1) / 0.15)[:, None]
    return Performance(time, np.clip(shapes, 0, 1) * awake, euler, shift)
