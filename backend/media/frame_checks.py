"""What is reported of a clip's frames: what was corrected, and what will cost quality."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from ..progress import Reporter
from ..workspace.frame_rate import HIGHEST, LOWEST, as_text, frames_of, same_rate
from ..workspace.subject import FrameCorrections
from .alpha import AlphaMeter
from .checks import SURVEY_SIDE, Survey, times
from .decode import ClipInfo, FrameReader, probe
from .orientation import SAMPLE_S, find_rotation

ALPHA_SAMPLES = 5
"""An alpha channel that is empty in this many frames, a second apart, was never filled in."""

DARK = 40.0
"""8-bit level of the face; 99 and more in eight clips, of dark and of fair skin."""

LOW_RATE = 20.0
"""Frames a second that differ, below which mouth shapes are missed: a syllable has some 5 a second, of several shapes
each."""

_SOME_MISSING = 0.95
"""Fewer frames than this share of what the stated rate makes were dropped; more are its rounding."""


def corrections_of(info: ClipInfo, survey: Survey) -> FrameCorrections:
    """How the clip's frames are to be corrected, by the first pass."""
    beside, above = survey.bars.margins()
    return replace(
        info.corrections,
        field_order=survey.pairs.field_order,
        unflagged=survey.pairs.unflagged,
        bars_px=(math.ceil(beside * info.width), math.ceil(above * info.height)),
    )


def first_corrections(path: Path, colour: str) -> FrameCorrections:
    """What the first pass itself needs: the colours, whether the alpha channel counts, and which way is up."""
    alpha = AlphaMeter()
    every = frames_of(SAMPLE_S, probe(path).rate)
    for _ in islice(FrameReader(path, every=every, max_side=SURVEY_SIDE, meter=alpha), ALPHA_SAMPLES):
        if not alpha.frames:
            break
    corrections = FrameCorrections(ignore_alpha=alpha.empty, premultiplied=alpha.premultiplied, colour=colour)
    few = FrameReader(path, every=every, max_side=SURVEY_SIDE, corrections=corrections)
    return replace(corrections, rotate_deg=find_rotation(few))


def report_frames(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    """Warn of corrections and of what no correction helps against."""
    report_times(info, survey, reporter)
    _report_kept_rate(info, reporter)
    report_sizes(info, survey, reporter)
    if info.corrections.rotate_deg:
        turn = {90: "by 90 degrees clockwise", 180: "by 180 degrees", 270: "by 90 degrees counterclockwise"}
        reporter.warning(
            f"The rotation flag of {info.path} is wrong or missing: all frames were rotated "
            f"{turn[info.corrections.rotate_deg]}."
        )
    if info.corrections.ignore_alpha:
        reporter.warning(f"The alpha channel of {info.path} is empty and is ignored: export the clip without alpha.")
    elif survey.transparent:
        kind, other = "straight", "dark, export with straight (unmatted) alpha"
        if info.corrections.premultiplied:
            kind, other = "premultiplied, matted with black", "bright, export with straight (unmatted) alpha"
        reporter.warning(f"The alpha channel ({kind}) of {info.path} is used as the matte. If edges look {other}.")
    if survey.holes_s and not info.corrections.ignore_alpha:
        reporter.warning(
            f"The alpha channel of {info.path} has holes in the face near {times(survey.holes_s)}: close "
            "them in the key and export the clip again."
        )
    if (light := float(np.median(survey.light or [255.0]))) < DARK:
        reporter.warning(
            f"The face in {info.path} is very dark ({light:.0f} of 255): light it better, or brighten the "
            "original footage."
        )
    _report_bars(info, survey, reporter)
    _report_fields(info, survey, reporter)
    _report_rate(info, survey, reporter)


def _report_bars(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    beside, above = corrections_of(info, survey).bars_px
    bars = [f"{beside} pixels wide left and right"] * (beside > 0) + [f"{above} pixels high above and below"] * (
        above > 0
    )
    if bars:
        reporter.warning(
            f"{info.path} has bars, {' and '.join(bars)}: they are cut off, and {info.width - 2 * beside} x "
            f"{info.height - 2 * above} pixels are used. If a larger original exists, use that."
        )


def _report_fields(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    order = {"top": ", upper field first", "bottom": ", lower field first", "": ""}[survey.pairs.field_order]
    advice = "record progressive video for sharper frames"
    if survey.pairs.unflagged:
        reporter.warning(f"{info.path} is interlaced without a flag: all its frames are deinterlaced{order}; {advice}.")
    elif survey.interlaced_s:
        first, last = min(survey.interlaced_s), max(survey.interlaced_s)
        reporter.warning(
            f"{info.path} is interlaced from {first:.1f} s to {last:.1f} s ({len(survey.interlaced_s)} frames): these "
            f"frames are deinterlaced{order}; {advice}."
        )
    elif survey.pairs.doubted_s and not survey.damaged_s:  # Damage looks like combs.
        reporter.warning(
            f"{info.path} may be interlaced near {times(survey.pairs.doubted_s)}: if you see comb lines, "
            "deinterlace the clip first."
        )


def _report_kept_rate(info: ClipInfo, reporter: Reporter) -> None:
    if same_rate(info.fps, info.rate):
        return
    if LOWEST <= info.fps <= HIGHEST:
        why = f"has no constant frame rate (mean {as_text(info.fps)})"
    else:
        why = f"has {as_text(info.fps)} frames a second, and {as_text(LOWEST)} to {as_text(HIGHEST)} are kept"
    reporter.warning(
        f"{info.path} {why}: it is processed at {as_text(info.rate)}, each frame showing the image nearest in time."
    )


def _report_rate(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    # Frames that a recorder dropped are not in the file at all; one that is held long is reported by itself.
    moving_s = survey.end_s - sum(end_s - start_s for start_s, end_s in survey.held_s)
    there = survey.source_frames / max(moving_s, 1 / float(info.rate))
    rate = (there if there < _SOME_MISSING * info.fps else info.fps) * (1.0 - survey.pairs.repeated_share)
    if rate >= LOW_RATE:
        return
    stated = "" if info.fps < LOW_RATE else f", though it states {info.fps:.4g}"
    reporter.warning(
        f"{info.path} has only {rate:.3g} different frames a second{stated}: fast lip motion is lost. "
        "Record at 25 frames a second or more, in good light."
    )


def report_times(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    """Warn of corrected time stamps, and of frames that stay on the screen."""
    restarts = [splice.at_s - info.start_s for splice in info.splices if splice.to_s < splice.from_s]
    if restarts:
        reporter.warning(
            f"The time stamps of {info.path} restart at {times(restarts)} (joined files?): the parts were "
            "put one after another."
        )
    for splice in info.splices:
        if splice.to_s >= splice.from_s:
            reporter.warning(
                f"The time stamps of {info.path} jump by {splice.to_s - splice.from_s:.1f} s at "
                f"{splice.at_s - info.start_s:.1f} s ({' and '.join(splice.tracks)}): the gap was left out."
            )
    if survey.held_s:
        held = ", ".join(f"{start_s:.1f} s to {end_s:.1f} s" for start_s, end_s in survey.held_s[:3])
        more = f" and {len(survey.held_s) - 3} more times" if len(survey.held_s) > 3 else ""
        reporter.warning(
            f"The video freezes in {info.path} from {held}{more}: cut these parts out if the person speaks in them."
        )


def report_sizes(info: ClipInfo, survey: Survey, reporter: Reporter) -> None:
    """Warn of frames of another size than the first."""
    if survey.sizes:
        time_s, width, height = survey.sizes[0]
        more = f" and {len(survey.sizes) - 1} more times" if len(survey.sizes) > 1 else ""
        reporter.warning(
            f"The frames of {info.path} change size at {time_s:.1f} s, from {info.width} x {info.height} to "
            f"{width} x {height} pixels{more}: all are fitted into the first size."
        )
