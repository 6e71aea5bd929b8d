"""How far a head's mouth and eyes follow what drives them, against the person's own: pure functions on landmarks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..workspace.arrays import correlation

NOT_YET, MOVES, CLEAR, NOT_SHOWN = "not yet", "moves", "clear", "not shown"
GRADES = (NOT_YET, MOVES, CLEAR, NOT_SHOWN)
"""`not shown`: the clip itself does not show the motion, so no head can learn it."""


@dataclass(frozen=True)
class Thresholds:
    """From where on a motion counts; docs/training.md has the measurements behind the figures."""

    shown: float
    """Range of the opening in the clip below which the clip does not show the motion."""
    moves: tuple[float, float]
    """Least gain and correlation of `moves`."""
    clear: tuple[float, float]
    """Least gain and correlation of `clear`."""


MOUTH = Thresholds(shown=0.04, moves=(0.4, 0.7), clear=(0.75, 0.95))
EYES = Thresholds(shown=0.08, moves=(0.4, 0.8), clear=(0.75, 0.97))


@dataclass(frozen=True)
class Response:
    """What was measured of the mouth, or of the eyes.

    Attributes:
        grade: one of `GRADES`.
        gain: slope of the rendered opening over the person's, 1 when both open equally; None where nothing was found.
        correlation: of both, in [-1, 1]; None likewise.
        clip_range: how far the opening goes in the clip (mouth: in distances between the eyes' outer corners; eyes: in
            widths of the eye).
        slider: how far the artist's own sliders from 0 to 1 move it, in parts of that range; None where not measured.
    """

    grade: str
    gain: float | None
    correlation: float | None
    clip_range: float
    slider: float | None = None

    def with_slider(self, share: float, thresholds: Thresholds) -> Response:
        """With what the sliders do; the grade is the lower of both."""
        if self.gain is None or not np.isfinite(share):
            return self
        alone = grade(share, 1.0, thresholds)
        lower = min(self.grade, alone, key=GRADES.index)
        return replace(self, grade=lower, slider=round(float(share), 3))


def motion_range(opening: np.ndarray) -> float:
    """Between the third least and the third greatest value that are finite: a blink is few frames, an error is one."""
    values = np.sort(opening[np.isfinite(opening)])
    return float(values[-3] - values[2]) if len(values) >= 6 else 0.0


def response(rendered: np.ndarray, real: np.ndarray, clip_range: float, thresholds: Thresholds) -> Response:
    """Grade (N) openings of rendered frames against the openings asked for; NaN where no face was found."""
    if clip_range < thresholds.shown:
        return Response(NOT_SHOWN, None, None, round(clip_range, 3))
    seen = np.isfinite(rendered) & np.isfinite(real)
    if seen.sum() < 3 or np.std(real[seen]) < 1e-9:
        return Response(NOT_YET, None, None, round(clip_range, 3))
    gain = float(np.polyfit(real[seen], rendered[seen], 1)[0])
    agreement = float(correlation(rendered, real))
    agreement = agreement if np.isfinite(agreement) else 0.0
    return Response(grade(gain, agreement, thresholds), round(gain, 3), round(agreement, 3), round(clip_range, 3))


def grade(gain: float, agreement: float, thresholds: Thresholds) -> str:
    """`not yet`, `moves` or `clear` for a gain and a correlation."""
    found = NOT_YET
    for name, (least_gain, least_correlation) in ((MOVES, thresholds.moves), (CLEAR, thresholds.clear)):
        if gain >= least_gain and agreement >= least_correlation:
            found = name
    return found
