"""What more training will do for a head's mouth and eyes, in sentences: by the curves of trainings that were measured."""

from __future__ import annotations

from ..evaluation.response import CLEAR, EYES, GRADES, MOUTH, NOT_SHOWN, Response, Thresholds, grade

DECAY = 0.8
"""What gain and correlation lack to 1 falls with this power of the training time (docs/training.md)."""
PROPOSED = (2, 5, 10, 20)
"""Minutes of more training that are worth proposing."""
SHORT_CLIP_S = 60.0

_NOT_SHOWN = {
    "mouth": "The clip hardly opens the mouth, so no head can learn it: take a clip in which the person speaks.",
    "eyes": "The clip shows no blink, so the eyes cannot learn to close: take a clip with a few blinks.",
}


def outlook(mouth: Response, eyes: Response, minutes: float, clip_s: float, plateaued: bool = False) -> str:
    """Sentences for the user; empty where mouth and eyes are clear.

    Args:
        minutes: trained so far.
        clip_s: the clip's length.
        plateaued: the training ended early because the validation frames gained nothing more.
    """
    said, by_sentence = [], {}
    for name, found, thresholds in (("mouth", mouth, MOUTH), ("eyes", eyes, EYES)):
        if found.grade == NOT_SHOWN:
            said.append(_NOT_SHOWN[name])
        elif found.grade != CLEAR:
            sentence = _promise(found, thresholds, minutes, clip_s, plateaued)
            by_sentence.setdefault(sentence, []).append(name)
    return " ".join([*said, *(sentence.format(" and ".join(names)) for sentence, names in by_sentence.items())])


def _promise(found: Response, thresholds: Thresholds, minutes: float, clip_s: float, plateaued: bool) -> str:
    """What to expect; the place of the name is open."""
    for more in () if plateaued else PROPOSED:
        expected = grade(*(_expected(value, minutes, more) for value in (found.gain, found.correlation)), thresholds)
        if GRADES.index(expected) > GRADES.index(found.grade):
            return f"About {more} more minutes of training should bring the {{}} to “{expected}”."
    longer = " A longer clip would." if clip_s < SHORT_CLIP_S else ""
    return f"More training will hardly improve the {{}}.{longer}"


def _expected(value: float | None, minutes: float, more: float) -> float:
    """A gain or a correlation after `more` minutes."""
    lacking = 1 - min(max(value or 0.0, 0.0), 1.0)
    return 1 - lacking * (minutes / (minutes + more)) ** DECAY
