"""`report.html`: what was made, from what, how well, and what may be wrong with it, in one file without any other."""

from __future__ import annotations

import base64
import datetime
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from scipy.spatial.transform import Rotation

from .. import __version__
from ..media.encode import SYNTHETIC_MARK
from ..progress import format_duration
from ..workspace.files import atomic_path, read_arrays
from ..workspace.images import read_image
from ..workspace.landmarks import lip_opening
from ..workspace.store import Workspace
from ..workspace.subject import FPS, STAGES
from . import charts
from .evaluate import Evaluation
from .images import DIFFERENCE_GAIN, data_address, error_map, sheet, worst_sheet
from .speech_video import CLOSE, CLOSE_STEP, Portrait, Speech, portraits
from .strip import Moment
from .tracking.report import FILM, POINTS, POSES

EMBEDDED_FILM_BYTES = 24_000_000
"""A larger film is linked: about four minutes are embedded, and the page still opens at once."""

CLOSE_ROW = 10

_COMPARISON_MARK = "Comparison with a synthetic likeness"
"""Not the mark of SyncTalk's own films: what is compared may come from another system."""

_TEMPLATE = Path(__file__).with_name("report.html.j2")

_FIGURES: dict[str, tuple[str, str, str, int]] = {
    "psnr_head": ("PSNR, head", "dB", "signal to noise inside the head's matte; higher is better", 2),
    "psnr": ("PSNR, whole picture", "dB", "the same over the whole picture, what lies behind the head included", 2),
    "psnr_mouth": ("PSNR, mouth", "dB", "the same in a box around the lips", 2),
    "psnr_edge": ("PSNR, head's border", "dB", "the same in a band along the matte's border: hair and jaw", 2),
    "ssim": ("SSIM", "", "structural similarity, 1 is equal", 4),
    "ms_ssim": ("MS-SSIM", "", "the same over up to five scales, 1 is equal", 4),
    "lpips": ("LPIPS", "", "how different the pictures look to a trained network (AlexNet); 0 is equal", 4),
    "lmd_px": ("LMD", "px", "distance of 40 lip landmarks, each set about its mean; lower is better", 2),
    "lip_correlation": ("Lip opening, correlation", "", "of predicted with true opening; 1 moves alike", 3),
    "lip_amplitude": ("Lip opening, amplitude", "", "spread of predicted over true opening; 1 is as lively", 3),
    "lip_range": ("Lip opening, range", "", "5th to 95th percentile, predicted over true; 1 opens and shuts as far", 3),
    "temporal_steadiness": (
        "Temporal steadiness",
        "grey",
        "levels of 255 by which the head changes otherwise than the truth from frame to frame; 0 is as steady",
        2,
    ),
    "frames": ("Frames compared", "", "", 0),
    "frames_without_face": (
        "Frames without a face",
        "",
        "of these: no face found in the true or the predicted picture",
        0,
    ),
}
"""Name, unit, meaning and digits of each figure."""

_NOT_MEASURED = "not measured"
_LIPS_READ_BY = {
    "task": "Lips are read by face_landmarker.task.",
    "mesh": "Lips are read by the face mesh inside the mediapipe package, which is less exact than face_landmarker.task.",
}
_LIP_FIGURES = ("lip_correlation", "lip_range", "lmd_px", "psnr_mouth", "temporal_steadiness")
_HEADLINE = ("psnr_head", "psnr", "ssim", "lmd_px")
_CURVES = ("jawOpen", "mouthPucker", "mouthSmileLeft", "eyeBlinkLeft", "browInnerUp")


@dataclass(frozen=True)
class BySound:
    """The held-out frames with lips driven by their own sound, and the mouths at their vowels and closures."""

    evaluation: Evaluation
    moments: list[Moment]


def write_report(
    workspace: Workspace,
    out_path: Path,
    evaluation: Evaluation | None = None,
    speeches: Sequence[Speech] = (),
    by_sound: BySound | None = None,
) -> Path:
    """Write the report of a workspace; a part whose input is missing is left out.

    Args:
        workspace: at least processed.
        out_path: of the HTML file.
        evaluation: held-out frames, from `evaluate`.
        speeches: films that speak new words.
        by_sound: the held-out frames once more, their lips driven by their sound.

    Returns:
        `out_path`.

    Raises:
        StorageError: the disk is full or the place is read-only.
    """
    consent = _consent(workspace) or "No permission of the person shown is recorded."
    return _write_page(
        out_path,
        name=workspace.subject.name or workspace.root.name,
        mark=SYNTHETIC_MARK,
        lead=f"A talking head learnt from one clip. {consent}",
        facts_title="What was made",
        facts=_facts(workspace),
        comparison=_comparison_section(
            evaluation,
            "Held-out frames",
            "The last 1/11 of the clip was never trained on. Pose and expression are those tracked in it; every pixel "
            "of the head is predicted.",
            "the held-out last 1/11 of the clip, where a face was tracked",
        ),
        speeches=[section for speech in speeches if (section := _speech_section(speech, out_path))],
        by_sound=_by_sound_section(evaluation, by_sound),
        head_sync=_head_sync_section(workspace, out_path),
        tracking=_tracking_section(workspace),
        training=_training_section(workspace),
        warnings=_warnings(workspace, evaluation),
    )


def write_comparison(
    video: Path, reference: Path, out_path: Path, evaluation: Evaluation, mattes: Path | None = None
) -> Path:
    """Write the report of two films or folders of frames: what a workspace's report says of its held-out frames.

    Args:
        video, reference, mattes: what was compared, to be named.
        evaluation: from `evaluate_videos`.

    Returns:
        `out_path`.

    Raises:
        StorageError: the disk is full or the place is read-only.
    """
    facts = [("Predicted", str(video)), ("True", str(reference))]
    if mattes is not None:
        facts.append(("Mattes", str(mattes)))
    return _write_page(
        out_path,
        name=video.stem,
        mark=_COMPARISON_MARK,
        lead="Frames of a film beside the frames they are to equal.",
        facts_title="What was compared",
        facts=facts,
        comparison=_comparison_section(
            evaluation,
            "Frames compared",
            "Predicted with true frames of the same moment.",
            "those that both have",
        ),
        warnings=_face_warnings(evaluation, "frames compared"),
    )


def _write_page(
    out_path: Path,
    *,
    name: str,
    mark: str,
    lead: str,
    facts_title: str,
    facts: list[tuple[str, str]],
    comparison: dict[str, Any] | None,
    warnings: list[str],
    speeches: Sequence[dict[str, Any]] = (),
    by_sound: dict[str, Any] | None = None,
    head_sync: dict[str, Any] | None = None,
    tracking: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> Path:
    """Fill the template; a section that is None is left out."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        name=name,
        lead=lead,
        mark=mark,
        made=datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M").lstrip("0"),
        facts_title=facts_title,
        facts=facts,
        comparison=comparison,
        speeches=speeches,
        by_sound=by_sound,
        colours=charts.PAGE_COLOURS,
        head_sync=head_sync,
        tracking=tracking,
        training=training,
        warnings=warnings,
        software=f"SyncTalk for Blender {__version__}, Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}",
    )
    with atomic_path(out_path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out_path


# -- what was made ---------------------------------------------------------------------------------------------------


def _facts(workspace: Workspace) -> list[tuple[str, str]]:
    subject = workspace.subject
    crop = subject.crop
    facts = [
        ("Clip", Path(subject.source).name),
        ("Picture", f"{subject.source_size[0]} × {subject.source_size[1]}, {subject.source_fps:.4g} frames a second"),
        ("Length", f"{format_duration(subject.duration_s)}, {subject.frames:,} frames at {FPS:g} a second"),
    ]
    if crop is not None:
        whole = (crop.size, crop.size) == tuple(subject.source_size)
        place = "the whole picture" if whole else f"a square of {crop.size:g} px around the head"
        facts.append(("Working frame", f"{subject.size} × {subject.size}, {place}"))
    late = f"late by {subject.audio_offset_ms:.0f} ms, mended" if subject.audio_offset_ms else "as recorded"
    if subject.audio_timeline:
        late = f"late by {subject.audio_offset_ms:.0f} ms in the mean, corrected along the clip"
    facts.append(("Sound", late))
    trained = _config(workspace)
    if trained:
        minutes = _log(workspace)[-1]["minutes"] if _log(workspace) else None
        spent = f", {minutes:.1f} min of training" if minutes is not None else ""
        facts.append(("Head", f"preset {trained.get('preset', '?')}, step {int(trained.get('step', 0)):,}{spent}"))
    facts.append(("Fingerprint", f"sha256 {subject.source_sha256[:16]}…"))
    return facts


def _consent(workspace: Workspace) -> str | None:
    consent = workspace.subject.consent
    if not consent.get("given"):
        return None
    who, when = consent.get("by", "?"), str(consent.get("when", "?"))[:10]
    return f"Permission for a synthetic likeness was given by {who}, recorded {when}."


def _warnings(workspace: Workspace, evaluation: Evaluation | None) -> list[str]:
    """What `process` warned of, and what stands in the results."""
    warnings = [text for name in STAGES for text in workspace.subject.stages.get(name, {}).get("warnings", [])]
    if not workspace.subject.consent.get("given"):
        warnings.append(
            "No permission of the person shown is recorded: ask for it before anything is trained or shown."
        )
    if workspace.tracking_path.exists() and not workspace.subject.stages.get("landmarks", {}).get("warnings"):
        valid = read_arrays(workspace.tracking_path)["valid"].astype(bool)
        if not valid.all():
            first = int(np.argmin(valid))
            warnings.append(
                f"In {int((~valid).sum())} of {len(valid)} frames no face was tracked, first in frame {first} "
                f"({first / FPS:.1f} s): they were left out."
            )
    if evaluation is not None:
        warnings += _face_warnings(evaluation, "held-out frames")
    return warnings


def _face_warnings(evaluation: Evaluation, of_what: str) -> list[str]:
    missing = evaluation.figures["frames_without_face"]
    if not missing:
        return []
    return [f"In {missing} of {len(evaluation.index)} {of_what} no face was found in one of the pictures."]


# -- predicted against true frames -----------------------------------------------------------------------------------


def _comparison_section(
    evaluation: Evaluation | None, title: str, note: str, frames_meaning: str
) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    rows = _figure_rows(evaluation, frames_meaning)
    return {
        "title": title,
        "note": f"{note} {_LIPS_READ_BY[evaluation.landmarks_source]}",
        "size": evaluation.size,
        "headline": [row for row in rows if row["key"] in _HEADLINE and row["value"] != _NOT_MEASURED],
        "figures": rows,
        "gain": DIFFERENCE_GAIN,
        "sheet": sheet(evaluation),
        "worst": worst_sheet(evaluation),
        "worst_of": "of the whole picture" if evaluation.figures["psnr_head"] is None else "inside the head",
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
        for key, (name, unit, meaning, digits) in _FIGURES.items()
    ]


def _course(evaluation: Evaluation) -> dict[str, Any] | None:
    if len(evaluation.index) < 3:
        return None
    time_s = evaluation.index / FPS
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


# -- speech ----------------------------------------------------------------------------------------------------------


def _by_sound_section(evaluation: Evaluation | None, by_sound: BySound | None) -> dict[str, Any] | None:
    if evaluation is None or by_sound is None:
        return None
    of_lips, of_sound = evaluation.figures, by_sound.evaluation.figures
    rows = []
    for key in _LIP_FIGURES:
        name, unit, meaning, digits = _FIGURES[key]
        values = [_NOT_MEASURED if row[key] is None else f"{row[key]:,.{digits}f}" for row in (of_sound, of_lips)]
        rows.append({"name": name, "unit": unit, "meaning": meaning, "values": values})
    found = by_sound.evaluation
    series = [(lip_opening(found.landmarks_truth), "muted"), (lip_opening(found.landmarks_predicted), "s1")]
    return {
        "rows": rows,
        "lips": charts.lines(found.index / FPS, series, x_label="seconds", y_label="lip opening"),
        "moments": [
            {
                "time": f"{moment.time_s:.2f} s",
                "kind": moment.kind,
                "truth": data_address(moment.truth),
                "predicted": data_address(moment.predicted),
            }
            for moment in by_sound.moments
        ],
    }


def _speech_section(speech: Speech, page: Path) -> dict[str, Any] | None:
    if not speech.pictures:
        return None
    close_ups = portraits(speech.pictures)
    spread = [frame for frame in speech.spread_frames() if frame in close_ups]
    close = [frame for frame in speech.close_frames() if frame in close_ups]
    section: dict[str, Any] = {
        "name": speech.name,
        "duration": format_duration(len(speech.sound) / speech.rate),
        "waveform": charts.waveform(
            speech.sound,
            speech.rate,
            marks=[(frame + 0.5) / FPS for frame in spread],
            course=speech.jaw_open,
            height=96 if speech.jaw_open is None else 150,
        ),
        "has_course": speech.jaw_open is not None,
        "spread": [
            {
                "time": f"{frame / FPS:.2f} s",
                "head": data_address(close_ups[frame].head),
                "mouth": data_address(close_ups[frame].mouth),
            }
            for frame in spread
        ],
        "close": [],
        "film": None if speech.film is None else _film_address(speech.film, page),
    }
    if len(close) == CLOSE:
        rows = [close[:CLOSE_ROW], close[CLOSE_ROW:]]
        section["close_from"] = f"{close[0] / FPS:.2f} s"
        section["close"] = [_mouth_row(speech, row, close_ups) for row in rows]
    return section


def _film_address(film: Path, page: Path) -> str:
    """The film itself, or its address from the page where it is too large to be part of it."""
    return _data_address(film, "video/mp4") if film.stat().st_size <= EMBEDDED_FILM_BYTES else _link(film, page)


def _link(path: Path, page: Path) -> str:
    return quote(Path(os.path.relpath(path, page.parent)).as_posix())


def _mouth_row(speech: Speech, frames: list[int], close_ups: dict[int, Portrait]) -> dict[str, Any]:
    """Mouths one after another below the very stretch of sound that each stands for."""
    first, last = frames[0], frames[-1] + CLOSE_STEP
    samples = speech.sound[round(first / FPS * speech.rate) : round(last / FPS * speech.rate)]
    return {
        "waveform": charts.waveform(samples, speech.rate, start_s=first / FPS, height=84),
        "mouths": [{"time": f"{frame / FPS:.2f}", "picture": data_address(close_ups[frame].mouth)} for frame in frames],
    }


# -- head-sync, tracking and training --------------------------------------------------------------------------------


def _head_sync_section(workspace: Workspace, out_path: Path) -> dict[str, Any] | None:
    """What `head_sync` left to be looked at; a film too large to embed is linked."""
    film, poses, points = (workspace.reports / "head_sync" / name for name in (FILM, POSES, POINTS))
    section: dict[str, Any] = {"film": None, "film_link": None, "film_size": None, "points": None, "poses": None}
    if film.exists() and film.stat().st_size <= EMBEDDED_FILM_BYTES:
        section["film"] = _data_address(film, "video/mp4")
    elif film.exists():
        section["film_link"] = _link(film, out_path)
        section["film_size"] = f"{film.stat().st_size / 1e6:.0f} MB"
    if points.exists():
        section["points"] = data_address(read_image(points), side=1440)
    if poses.exists():
        section["poses"] = _data_address(poses, "image/svg+xml")
    return section if any(section.values()) else None


def _data_address(path: Path, kind: str) -> str:
    return f"data:{kind};base64," + base64.b64encode(path.read_bytes()).decode()


def _tracking_section(workspace: Workspace) -> dict[str, Any] | None:
    if not workspace.tracking_path.exists():
        return None
    tracking = read_arrays(workspace.tracking_path)
    valid = tracking["valid"].astype(bool)
    if not valid.any():
        return None
    poses = tracking["head_to_camera"].astype(float)
    time_s = tracking["frame_time_s"].astype(float)
    held_out = [(workspace.subject.first_test_frame / FPS, workspace.subject.frames / FPS)]

    def seen(values: np.ndarray) -> np.ndarray:
        return np.where(valid, values, np.nan)

    # In the camera's axes (x right, y down): yaw about y, pitch about x, roll about z.
    angles = Rotation.from_matrix(np.where(valid[:, None, None], poses[:, :3, :3], np.eye(3))).as_euler(
        "YXZ", degrees=True
    )
    moves = (poses[:, :3, 3] - np.median(poses[valid, :3, 3], axis=0)) * 1000
    names = [str(name) for name in tracking["blendshape_names"]]
    shapes = tracking["blendshapes"].astype(float)
    shown = [name for name in _CURVES if name in names]
    liveliest = sorted(np.argsort(-shapes[valid].std(axis=0))[:20])
    return {
        "focal": f"{float(tracking['focal_px']):.0f} px",
        "reprojection": f"{float(np.nanmedian(np.where(valid, tracking['reprojection_px'], np.nan))):.2f} px",
        "rotation": charts.lines(
            time_s,
            [(seen(angles[:, column]), f"s{column + 1}") for column in range(3)],
            x_label="seconds",
            y_label="degrees",
            bands=held_out,
        ),
        "translation": charts.lines(
            time_s,
            [(seen(moves[:, column]), f"s{column + 1}") for column in range(3)],
            x_label="seconds",
            y_label="millimetres",
            bands=held_out,
        ),
        "curve_names": list(enumerate(shown, 1)),
        "curves": charts.lines(
            time_s,
            [(seen(shapes[:, names.index(name)]), f"s{number}") for number, name in enumerate(shown, 1)],
            x_label="seconds",
            y_label="coefficient",
            height=220,
            bands=held_out,
            y_range=(0, max(1.0, float(shapes[valid].max()))),
        ),
        "heat_map": charts.heat_map(
            np.where(valid, shapes.T, 0)[liveliest],
            [names[row] for row in liveliest],
            time_s,
            x_label="seconds",
            height=380,
        ),
    }


def _training_section(workspace: Workspace) -> dict[str, Any] | None:
    """The course of the PSNR inside the head: of frames kept out, and where it was measured, of frames learnt from."""
    log = _log(workspace)
    if len(log) < 2:
        return None
    minutes = np.array([line["minutes"] for line in log])
    kept_out, learnt = (np.array([line[name] for line in log]) for name in ("kept_out", "learnt"))
    series = [(kept_out, "s1")]
    gap = None
    if np.isfinite(learnt).any():
        series.append((learnt, "s2"))
        both = np.flatnonzero(np.isfinite(kept_out) & np.isfinite(learnt))
        gap = f"{learnt[both[-1]] - kept_out[both[-1]]:.1f} dB" if len(both) else None
    return {
        "chart": charts.points_and_lines(
            minutes, series, x_label="minutes of training", y_label="PSNR of the head, dB"
        ),
        "learnt": len(series) > 1,
        "gap": gap,
    }


def _log(workspace: Workspace) -> list[dict[str, float]]:
    """`minutes`, `kept_out` and `learnt` (decibels, NaN where not measured) of each line of `checkpoints/log.jsonl`.

    An older line has `psnr_head` for `psnr_validation`. One that cannot be read, or holds no measurement, is passed
    over.
    """
    found = []
    path = workspace.checkpoints / "log.jsonl"
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
            read = {
                "minutes": _finite(line["minutes"]),
                "kept_out": _finite(line.get("psnr_validation", line.get("psnr_head"))),
                "learnt": _finite(line.get("psnr_train")),
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if np.isfinite(read["minutes"]) and not np.isnan([read["kept_out"], read["learnt"]]).all():
            found.append(read)
    return found


def _finite(value: float | str | None) -> float:
    """A number as it stands in a file, NaN for none and for what is not finite."""
    number = math.nan if value is None else float(value)
    return number if math.isfinite(number) else math.nan


def _config(workspace: Workspace) -> dict[str, Any]:
    try:
        return json.loads((workspace.checkpoints / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
