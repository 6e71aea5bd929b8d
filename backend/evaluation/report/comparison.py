"""Sections of the report: predicted against true frames, and lips driven by the audio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...workspace.landmarks import lip_opening
from .. import charts
from ..evaluate import Evaluation
from ..images import DIFFERENCE_GAIN, data_address, error_map, sheet, worst_sheet
from ..strip import Moment

FIGURES: dict[str, tuple[str, str, str, int]] = {
    "psnr_head": ("PSNR, head", "dB", "signal to noise inside the head's matte; higher is better", 2),
    "psnr": ("PSNR, full frame", "dB", "the same over the full frame, background included", 2),
    "psnr_mouth": ("PSNR, mouth", "dB", "the same in a box around the lips", 2),
    "psnr_edge": ("PSNR, head's border", "dB", "the same in a band along the matte's border: hair and jaw", 2),
    "ssim": ("SSIM", "", "structural similarity, 1 is equal", 4),
    "ms_ssim": ("MS-SSIM", "", "the same over up to five scales, 1 is equal", 4),
    "lpips": ("LPIPS", "", "perceptual difference by a trained network (AlexNet); 0 is equal", 4),
    "lmd_px": ("LMD", "px", "distance of 40 lip landmarks, without the motion of their mean; lower is better", 2),
    "lip_correlation": ("Lip opening, correlation", "", "of predicted with true opening; 1 is in step", 3),
    "lip_amplitude": ("Lip opening, amplitude", "", "spread of predicted over true opening; 1 is as lively", 3),
    "lip_range": (
        "Lip opening, range",
        "",
        "5th to 95th percentile, predicted over true; 1 opens and closes as far",
        3,
    ),
    "temporal_steadiness": (
        "Temporal steadiness",
        "grey",
        "mean error of the change from frame to frame inside the head, of 255 levels; 0 is as steady as the truth",
        2,
    ),
    "frames": ("Frames compared", "", "", 0),
    "frames_without_face": ("Frames without a face", "", "no face was found in the true or the predicted image", 0),
}
"""Name, unit, meaning and digits of each figure."""

_NOT_MEASURED = "not measured"
LIPS_READ_BY = {
    "task": "Lips are read by face_landmarker.task.",
    "mesh": "Lips are read by the face mesh inside the mediapipe package, which is less exact than face_landmarker.task.",
}
_LIPFIGURES = ("lip_correlation", "lip_range", "lmd_px", "psnr_mouth", "temporal_steadiness")
_HEADLINE = ("psnr_head", "psnr", "ssim", "lmd_px")


@dataclass(frozen=True)
class AudioDriven:
    """The held-out frames with lips driven by their own audio, and the mouths at their vowels and closures."""

    evaluation: Evaluation
    moments: list[Moment]


def comparison_section(
    evaluation: Evaluation | None, title: str, note: str, frames_meaning: str
) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    rows = _figure_rows(evaluation, frames_meaning)
    return {
        "title": title,
        "note": f"{note} {LIPS_READ_BY[evaluation.landmarks_source]}",
        "size": evaluation.size,
        "headline": [row for row in rows if row["key"] in _HEADLINE and row["value"] != _NOT_MEASURED],
        "figures": rows,
        "gain": DIFFERENCE_GAIN,
        "sheet": sheet(evaluation),
        "worst": worst_sheet(evaluation),
        "worst_of": "of the full frame" if evaluation.figures["psnr_head"] is None else "inside the head",
        "errors": error_map(evaluation.means),
        "course": _course(evaluation),
    }


def _figure_rows(evaluation: Evaluation, frames_meaning: str) -> list[dict[str, str]]:
    values: Mapping[str, Any] = evaluation.figures
    return [
        {
            "key": key,
            "name": name,
            "value": _NOT_MEASURED if values.get(key) is None else f"{values[key]:,.{digits}f}",
            "unit": unit,
            "meaning": meaning or frames_meaning,
        }
        for key, (name, unit, meaning, digits) in FIGURES.items()
    ]


def _course(evaluation: Evaluation) -> dict[str, Any] | None:
    if len(evaluation.index) < 3:
        return None
    time_s = evaluation.index / evaluation.fps
    quality = [(np.minimum(evaluation.psnr, 60), "s2")]
    has_head = bool(np.isfinite(evaluation.psnr_head).any())
    if has_head:
        quality.append((np.minimum(evaluation.psnr_head, 60), "s1"))
    lips = lip_opening(evaluation.landmarks_truth), lip_opening(evaluation.landmarks_predicted)
    return {
        "has_head": has_head,
        "psnr": charts.lines(time_s, quality, x_label="seconds of the clip", y_label="PSNR, dB"),
        "lips": charts.lines(
            time_s,
            [(lips[0], "muted"), (lips[1], "s1")],
            x_label="seconds of the clip",
            y_label="lip opening",
            y_range=(0, None),
        ),
    }


def audio_driven_section(evaluation: Evaluation | None, audio_driven: AudioDriven | None) -> dict[str, Any] | None:
    if evaluation is None or audio_driven is None:
        return None
    of_lips, of_audio = evaluation.figures, audio_driven.evaluation.figures
    rows = []
    for key in _LIPFIGURES:
        name, unit, meaning, digits = FIGURES[key]
        values = [_NOT_MEASURED if row[key] is None else f"{row[key]:,.{digits}f}" for row in (of_audio, of_lips)]
        rows.append({"name": name, "unit": unit, "meaning": meaning, "values": values})
    found = audio_driven.evaluation
    series = [(lip_opening(found.landmarks_truth), "muted"), (lip_opening(found.landmarks_predicted), "s1")]
    return {
        "rows": rows,
        "lips": charts.lines(found.index / found.fps, series, x_label="seconds", y_label="lip opening"),
        "moments": [
            {
                "time": f"{moment.time_s:.2f} s",
                "kind": moment.kind,
                "truth": data_address(moment.truth),
                "predicted": data_address(moment.predicted),
            }
            for moment in audio_driven.moments
        ],
    }
