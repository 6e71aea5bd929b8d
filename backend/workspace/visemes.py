"""Phonemes to mouth shapes: visemes as blendshape targets, blended by dominance functions.

Coarticulation after Cohen and Massaro (1993): each phoneme pulls the mouth towards its target with a dominance that
rises before the phoneme and decays after it, and the curve is the dominance-weighted mean of all targets. Closures
(p, b, m) and lip-teeth contact (f, v) dominate strongly and narrowly, so that lips meet in the shortest of them;
vowels are broad.
"""

from __future__ import annotations

import numpy as np

from ..protocol import BLENDSHAPE_NAMES


def _targets(**values: float) -> dict[str, float]:
    """Blendshape targets; a name without a side sets both sides."""
    out = {}
    for name, value in values.items():
        for full in (name,) if name in BLENDSHAPE_NAMES else (name + "Left", name + "Right"):
            out[full] = value
    return out


# Viseme: (targets, dominance, reach beyond the phoneme in seconds).
_VISEMES: dict[str, tuple[dict[str, float], float, float]] = {
    "rest": ({}, 0.35, 0.12),
    "closed": (
        _targets(jawOpen=0.03, mouthClose=0.06, mouthPress=0.35, mouthRollLower=0.25, mouthRollUpper=0.2), 12.0, 0.03),
    "labiodental": (_targets(jawOpen=0.05, mouthRollLower=0.55, mouthUpperUp=0.25, mouthShrugLower=0.2), 9.0, 0.035),
    "dental": (_targets(jawOpen=0.14, mouthLowerDown=0.25, mouthUpperUp=0.12, tongueOut=0.22), 1.4, 0.06),
    "alveolar": (_targets(jawOpen=0.11, mouthLowerDown=0.2, mouthUpperUp=0.12), 1.0, 0.06),
    "sibilant": (_targets(jawOpen=0.05, mouthStretch=0.25, mouthLowerDown=0.26, mouthUpperUp=0.14), 1.6, 0.06),
    "postalveolar": (_targets(jawOpen=0.09, mouthFunnel=0.6, mouthPucker=0.15), 1.6, 0.075),
    "velar": (_targets(jawOpen=0.18, mouthLowerDown=0.2, mouthUpperUp=0.08), 0.7, 0.06),
    "rhotic": (_targets(jawOpen=0.15, mouthFunnel=0.32, mouthPucker=0.25), 1.0, 0.08),
    "lateral": (_targets(jawOpen=0.2, mouthLowerDown=0.2, mouthUpperUp=0.1), 0.9, 0.07),
    "glide_w": (_targets(jawOpen=0.07, mouthPucker=0.8, mouthFunnel=0.25), 2.4, 0.08),
    "open": (_targets(jawOpen=0.68, mouthLowerDown=0.2, mouthUpperUp=0.12), 1.4, 0.09),
    "open_front": (
        _targets(jawOpen=0.58, mouthStretch=0.3, mouthSmile=0.16, mouthLowerDown=0.32, mouthUpperUp=0.26), 1.4, 0.09),
    "mid_front": (
        _targets(jawOpen=0.40, mouthStretch=0.24, mouthSmile=0.18, mouthLowerDown=0.28, mouthUpperUp=0.2), 1.2, 0.09),
    "close_front": (
        _targets(jawOpen=0.14, mouthStretch=0.36, mouthSmile=0.34, mouthLowerDown=0.22, mouthUpperUp=0.14,
                 mouthDimple=0.15), 1.3, 0.09),
    "central": (_targets(jawOpen=0.32, mouthLowerDown=0.2, mouthUpperUp=0.1), 0.8, 0.08),
    "open_round": (_targets(jawOpen=0.54, mouthFunnel=0.55, mouthPucker=0.12), 1.4, 0.09),
    "mid_round": (_targets(jawOpen=0.28, mouthFunnel=0.5, mouthPucker=0.42), 1.5, 0.09),
    "close_round": (_targets(jawOpen=0.08, mouthPucker=0.85, mouthFunnel=0.3), 1.7, 0.09),
}  # fmt: skip

_CLASSES = {
    "rest": "pau",
    "closed": "p b m",
    "labiodental": "f v ɱ",
    "dental": "th dh θ ð",
    "alveolar": "t d n ɾ ʔ",
    "sibilant": "s z",
    "postalveolar": "sh zh ch jh ʃ ʒ tʃ dʒ",
    "velar": "k g ng hh h x ŋ ɡ ç",
    "rhotic": "r er ɹ ɚ ɜ ɝ",
    "lateral": "l el ɫ",
    "glide_w": "w ʍ",
    "open": "aa ah ɑ a ʌ ɐ",
    "open_front": "ae æ",
    "mid_front": "eh ɛ e",
    "close_front": "iy ih y i ɪ j",
    "central": "ax ix axr ə ᵻ ɨ",
    "open_round": "ao ɔ ɒ",
    "mid_round": "o",
    "close_round": "uw uh u ʊ ʉ ø œ",
}
_VISEME_OF = {label: viseme for viseme, labels in _CLASSES.items() for label in labels.split()}
_DIPHTHONGS = {
    "ay": "open close_front", "ey": "mid_front close_front", "oy": "open_round close_front", "aw": "open close_round",
    "ow": "open_round close_round", "aɪ": "open close_front", "eɪ": "mid_front close_front",
    "ɔɪ": "open_round close_front", "aʊ": "open close_round", "oʊ": "mid_round close_round",
    "əʊ": "central close_round",
    "ɪə": "close_front central", "eə": "mid_front central", "ʊə": "close_round central",
}  # fmt: skip
VOWELS = frozenset(
    {"open", "open_front", "mid_front", "close_front", "central", "open_round", "mid_round", "close_round"}
)


def visemes_of(label: str) -> list[str]:
    """Visemes of one phoneme label (ARPAbet or IPA): one, or two for a diphthong; an unknown one is `central`."""
    bare = label.replace("ː", "").replace(":", "").rstrip("012")
    if bare in _DIPHTHONGS:
        return _DIPHTHONGS[bare].split()
    if bare in _VISEME_OF:
        return [_VISEME_OF[bare]]
    known = [_VISEME_OF[c] for c in bare if c in _VISEME_OF]
    return known or ["central"]


def mouth_curves(phonemes, start_s: np.ndarray, end_s: np.ndarray, time_s: np.ndarray, loudness=None) -> np.ndarray:
    """Blendshape curves (N,52) in [0,1] of the mouth at the times `time_s` (N,), in seconds.

    `loudness(start, end)`, if given, is about 1 at mean loudness: stressed vowels open wider.
    """
    index = {name: k for k, name in enumerate(BLENDSHAPE_NAMES)}
    numerator = np.zeros((len(time_s), len(BLENDSHAPE_NAMES)))
    denominator = np.full(len(time_s), 1e-6)
    for label, start, end in zip(phonemes, start_s, end_s, strict=True):
        visemes = visemes_of(label)
        step = (end - start) / len(visemes)
        for k, viseme in enumerate(visemes):
            targets, strength, reach = _VISEMES[viseme]
            a, b = start + k * step, start + (k + 1) * step
            # Lips move ahead of the audio: the reach before a phoneme is longer than after it.
            before, after = np.maximum(a - time_s, 0) / (1.15 * reach), np.maximum(time_s - b, 0) / (0.85 * reach)
            dominance = strength * np.exp(-((before + after) ** 1.6))
            gain = 1.0
            if loudness is not None and viseme in VOWELS:
                gain = float(np.clip(0.72 + 0.32 * loudness(a, b), 0.6, 1.3))
            target = np.zeros(len(BLENDSHAPE_NAMES))
            for name, value in targets.items():
                target[index[name]] = value * gain
            numerator += dominance[:, None] * target
            denominator += dominance
    return np.clip(numerator / denominator[:, None], 0.0, 1.0)
