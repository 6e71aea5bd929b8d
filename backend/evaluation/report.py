"""`report.html`: what was made, from what, how well, and what may be wrong with it, in one file without any other."""

from __future__ import annotations

import base64
import datetime
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from .. import __version__
from ..head_sync.report import FILM, POINTS, POSES
from ..media.encode import SYNTHETIC_MARK
from ..progress import format_duration
from ..workspace import FPS, STAGES, Workspace, atomic_path, read_arrays, read_image
from . import charts
from .evaluate import Evaluation, FramePair
from .metrics import lip_opening
from .spoken import CLOSE, CLOSE_STEP, Portrait, Speech, portraits

SHEET_COLUMNS = 6
DIFFERENCE_GAIN = 4
EMBEDDED_FILM_BYTES = 24_000_000
"""A larger film is linked: about four minutes are embedded, and the page still opens at once."""

CLOSE_ROW = 10

_TEMPLATE = Path(__file__).with_name("report.html.j2")

_FIGURES: dict[str, tuple[str, str, str, int]] = {
    "psnr_head": ("PSNR, head", "dB", "signal to noise inside the head's matte; higher is better", 2),
    "psnr": ("PSNR, whole picture", "dB", "the same over the whole picture, plate included", 2),
    "psnr_mouth": ("PSNR, mouth", "dB", "the same in a box around the lips", 2),
    "ssim": ("SSIM", "", "structural similarity, 1 is equal", 4),
    "lmd_px": ("LMD", "px", "distance of 40 lip landmarks, each set about its mean; lower is better", 2),
    "lip_correlation": ("Lip opening, correlation", "", "of predicted with true opening; 1 moves alike", 3),
    "lip_amplitude": ("Lip opening, amplitude", "", "spread of predicted over true opening; 1 is as lively", 3),
    "frames": ("Frames compared", "", "the held-out last 1/11 of the clip, where a face was tracked", 0),
    "frames_without_face": (
        "Frames without a face",
        "",
        "of these: no face found in the true or the predicted picture",
        0,
    ),
}
"""Name, unit, meaning and digits of each figure."""

_HEADLINE = ("psnr_head", "psnr", "ssim", "lmd_px")
_CURVES = ("jawOpen", "mouthPucker", "mouthSmileLeft", "eyeBlinkLeft", "browInnerUp")


def write_report(
    workspace: Workspace,
    out_path: Path,
    evaluation: Evaluation | None = None,
    speech: Speech | None = None,
) -> Path:
    """Write the report of a workspace; a part whose input is missing is left out.

    Args:
        workspace: at least processed.
        out_path: of the HTML file.
        evaluation: held-out frames, from `evaluate`.
        speech: a film that speaks new words.

    Returns:
        `out_path`.

    Raises:
        StorageError: the disk is full or the place is read-only.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        name=workspace.subject.name or workspace.root.name,
        mark=SYNTHETIC_MARK,
        made=datetime.datetime.now().astimezone().strftime("%d %B %Y, %H:%M").lstrip("0"),
        facts=_facts(workspace),
        consent=_consent(workspace),
        headline=[row for row in _figure_rows(evaluation) if row["key"] in _HEADLINE],
        figures=_figure_rows(evaluation),
        size=evaluation.size if evaluation else None,
        gain=DIFFERENCE_GAIN,
        sheet=_held_out_sheet(evaluation),
        course=_held_out_course(evaluation),
        speech=_speech_section(speech),
        colours=charts.PAGE_COLOURS,
        head_sync=_head_sync_section(workspace, out_path),
        tracking=_tracking_section(workspace),
        training=_training_section(workspace),
        warnings=_warnings(workspace, evaluation),
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
    facts.append(
        ("Sound", f"late by {subject.audio_offset_ms:.0f} ms, mended" if subject.audio_offset_ms else "as recorded")
    )
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
    if evaluation is not None and evaluation.figures["frames_without_face"]:
        missing = evaluation.figures["frames_without_face"]
        warnings.append(
            f"In {missing} of {len(evaluation.index)} held-out frames no face was found in one of the pictures."
        )
    return warnings


# -- figures ---------------------------------------------------------------------------------------------------------


def _figure_rows(evaluation: Evaluation | None) -> list[dict[str, str]]:
    if evaluation is None:
        return []
    values: Mapping[str, Any] = evaluation.figures
    return [
        {
            "key": key,
            "name": name,
            "value": "not measured" if values.get(key) is None else f"{values[key]:,.{digits}f}",
            "unit": unit,
            "meaning": meaning,
        }
        for key, (name, unit, meaning, digits) in _FIGURES.items()
    ]


def _held_out_sheet(evaluation: Evaluation | None) -> list[dict[str, str]]:
    if evaluation is None or not evaluation.samples:
        return []
    chosen = np.unique(np.linspace(0, len(evaluation.samples) - 1, SHEET_COLUMNS).round().astype(int))
    return [_sheet_column(evaluation.samples[place]) for place in chosen]


def _sheet_column(pair: FramePair) -> dict[str, str]:
    difference = np.abs(pair.predicted.astype(np.int16) - pair.truth).max(axis=2)
    scaled = np.clip(difference * DIFFERENCE_GAIN, 0, 255).astype(np.uint8)
    coloured = cv2.cvtColor(cv2.applyColorMap(scaled, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return {
        "caption": f"frame {pair.index}, {pair.index / FPS:.2f} s",
        "truth": _picture(pair.truth),
        "predicted": _picture(pair.predicted),
        "difference": _picture(coloured),
    }


def _held_out_course(evaluation: Evaluation | None) -> dict[str, str] | None:
    if evaluation is None or len(evaluation.index) < 3:
        return None
    time_s = evaluation.index / FPS
    quality = [(np.minimum(evaluation.psnr, 60), "s2")]
    if np.isfinite(evaluation.psnr_head).any():
        quality.append((np.minimum(evaluation.psnr_head, 60), "s1"))
    lips = lip_opening(evaluation.landmarks_truth), lip_opening(evaluation.landmarks_predicted)
    return {
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


def _speech_section(speech: Speech | None) -> dict[str, Any] | None:
    if speech is None or not speech.pictures:
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
                "head": _picture(close_ups[frame].head),
                "mouth": _picture(close_ups[frame].mouth),
            }
            for frame in spread
        ],
        "close": [],
    }
    if len(close) == CLOSE:
        rows = [close[:CLOSE_ROW], close[CLOSE_ROW:]]
        section["close_from"] = f"{close[0] / FPS:.2f} s"
        section["close"] = [_mouth_row(speech, row, close_ups) for row in rows]
    return section


def _mouth_row(speech: Speech, frames: list[int], close_ups: dict[int, Portrait]) -> dict[str, Any]:
    """Mouths one after another below the very stretch of sound that each stands for."""
    first, last = frames[0], frames[-1] + CLOSE_STEP
    samples = speech.sound[round(first / FPS * speech.rate) : round(last / FPS * speech.rate)]
    return {
        "waveform": charts.waveform(samples, speech.rate, start_s=first / FPS, height=84),
        "mouths": [{"time": f"{frame / FPS:.2f}", "picture": _picture(close_ups[frame].mouth)} for frame in frames],
    }


# -- head-sync, tracking and training --------------------------------------------------------------------------------


def _head_sync_section(workspace: Workspace, out_path: Path) -> dict[str, Any] | None:
    """What `head_sync` left to be looked at; a film too large to embed is linked."""
    film, poses, points = (workspace.reports / "head_sync" / name for name in (FILM, POSES, POINTS))
    section: dict[str, Any] = {"film": None, "film_link": None, "film_size": None, "points": None, "poses": None}
    if film.exists() and film.stat().st_size <= EMBEDDED_FILM_BYTES:
        section["film"] = _data_address(film, "video/mp4")
    elif film.exists():
        section["film_link"] = quote(Path(os.path.relpath(film, out_path.parent)).as_posix())
        section["film_size"] = f"{film.stat().st_size / 1e6:.0f} MB"
    if points.exists():
        section["points"] = _picture(read_image(points), side=1440)
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


def _training_section(workspace: Workspace) -> dict[str, str] | None:
    log = _log(workspace)
    if len(log) < 2:
        return None
    minutes = np.array([line["minutes"] for line in log], float)
    decibels = np.array([line["psnr_head"] for line in log], float)
    return {
        "chart": charts.points_and_line(
            minutes, decibels, x_label="minutes of training", y_label="PSNR of the head, dB"
        )
    }


def _log(workspace: Workspace) -> list[dict[str, Any]]:
    """Lines of `checkpoints/log.jsonl` that hold a measured PSNR; a line that cannot be read is passed over."""
    found = []
    path = workspace.checkpoints / "log.jsonl"
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
            if np.isfinite(float(line["psnr_head"])) and np.isfinite(float(line["minutes"])):
                found.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _config(workspace: Workspace) -> dict[str, Any]:
    try:
        return json.loads((workspace.checkpoints / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _picture(picture: np.ndarray, side: int = 320, quality: int = 88) -> str:
    """A picture as a data address, JPEG, at most `side` pixels on its longer side."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        picture = cv2.resize(picture, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
