"""What more training will do for a head's mouth and eyes, predicted from measured learning curves."""

from __future__ import annotations

from ..evaluation.response import CLEAR, EYES, GRADES, MOUTH, NOT_SHOWN, Response, Thresholds, grade

GAIN_DECAY = 0.85
"""1 - gain falls with this power of the training time (measured, docs/training.md)."""
CORRELATION_DECAYS, CORRELATION_KNEE = (1.5, 0.7), 0.85
"""1 - correlation falls with the first power up to the knee, with the second beyond."""
PROPOSED = (2, 5, 10, 20)
"""Minutes of more training that may be proposed."""
SHORT_CLIP_S = 60.0
MIN_GAIN = 0.05
"""Smallest increase of the gain, in the longest time proposed, that counts as an improvement."""

_NOT_SHOWN = {
    "mouth": "The mouth hardly opens in the clip, so it cannot be trained: use a clip in which the person speaks.",
    "eyes": "The clip has no blink, so closed eyes cannot be trained: use a clip with a few blinks.",
}


def outlook(mouth: Response, eyes: Response, minutes: float, clip_s: float, plateaued: bool = False) -> str:
    """Sentences for the user; empty where mouth and eyes are clear.

    Args:
        minutes: trained so far.
        clip_s: the clip's length.
        plateaued: the training ended early because the validation frames gained nothing more.
    """
    minutes = max(minutes, 0.1)
    sentences: list[str] = []
    by_sentence: dict[str, list[str]] = {}
    for name, found, thresholds in (("mouth", mouth, MOUTH), ("eyes", eyes, EYES)):
        if found.grade == NOT_SHOWN:
            sentences.append(_NOT_SHOWN[name])
        elif found.grade != CLEAR:
            sentence = _promise(found, thresholds, minutes, clip_s, plateaued)
            by_sentence.setdefault(sentence, []).append(name)
    return " ".join([*sentences, *(sentence.format(" and ".join(names)) for sentence, names in by_sentence.items())])


def _promise(found: Response, thresholds: Thresholds, minutes: float, clip_s: float, plateaued: bool) -> str:
    """What to expect; `{}` is for the name."""
    gain = min(value for value in (found.gain or 0.0, found.slider) if value is not None)
    agreement = found.correlation or 0.0
    for more in () if plateaued else PROPOSED:
        factor = (minutes + more) / minutes
        expected = grade(_later_gain(gain, factor), _later_correlation(agreement, factor), thresholds)
        if GRADES.index(expected) > GRADES.index(found.grade):
            return f"About {more} more minutes of training should bring the {{}} to “{expected}”."
    longest = _later_gain(gain, (minutes + PROPOSED[-1]) / minutes)
    if not plateaued and longest - gain >= MIN_GAIN:
        return f"More training improves the {{}} slowly: {PROPOSED[-1]} minutes may not be enough for “{CLEAR}”."
    longer = " A longer clip would." if clip_s < SHORT_CLIP_S else ""
    return f"More training will hardly improve the {{}}.{longer}"


def _later_gain(gain: float, factor: float) -> float:
    """After `factor` times the training time."""
    return 1 - (1 - min(max(gain, 0.0), 1.0)) * factor**-GAIN_DECAY


def _later_correlation(value: float, factor: float) -> float:
    lacking, knee = 1 - min(max(value, 0.0), 1.0), 1 - CORRELATION_KNEE
    fast, slow = CORRELATION_DECAYS
    if lacking > knee:
        to_knee = (lacking / knee) ** (1 / fast)
        if factor < to_knee:
            return 1 - lacking * factor**-fast
        lacking, factor = knee, factor / to_knee
    return 1 - lacking * factor**-slow
