"""The report of an encoder's training: figures on held-out recordings, and one page."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ....evaluation import chart_svg, charts
from ....workspace.files import atomic_path, write_json
from ...steps import STEP_RATE
from .batches import draw, spread_of
from .network import AudioVisualEncoder, similarity
from .prepared import CONTEXT, Item
from .training import History

SHIFTS = np.arange(-10, 11)
"""Shifts between video and audio, frames, that the discriminator is tested with: 0.4 s either way."""

SHOWN = 8
_NAMES = {
    "sync": "sync loss (Eq. 2)",
    "reconstruction": "reconstruction loss (Eq. 3)",
    "visemes": "viseme loss",
    "sync_accuracy": "share of pairs in sync that outscore one out of sync",
}


def write_report(
    path: Path,
    model: AudioVisualEncoder,
    history: History,
    training: list[Item],
    held_out: list[Item],
    made_of: list[str],
) -> dict[str, Any]:
    """Write the page `path` and its figures beside it (.json).

    Returns:
        Held-out losses before and after, the similarity (Eq. 1) by shift, of held-out recordings, and the share
        of them whose similarity is highest in sync, within a frame.
    """
    model = model.cpu().eval()
    spread = next((spread_of(part) for part in ([i for i in training if i.faces is None],) if part), None)
    scores = np.array([_similarity_by_shift(model, item, spread) for item in held_out])
    best = SHIFTS[scores.argmax(1)]
    figures = {
        "made_of": made_of,
        "training_s": sum(len(item.features) for item in training) / float(STEP_RATE),
        "held_out_s": sum(len(item.features) for item in held_out) / float(STEP_RATE),
        "before": _row(history[0]),
        "after": _row(history[-1]),
        "similarity_by_shift_ms": {
            int(shift * 1000 / STEP_RATE): round(float(v), 4) for shift, v in zip(SHIFTS, scores.mean(0), strict=True)
        },
        "in_sync_found": round(float((np.abs(best) <= 1).mean()), 3),
    }
    write_json(path.with_suffix(".json"), {**figures, "course": history})
    _write_page(path, model, history, scores, held_out, figures)
    return figures


@torch.no_grad()
def _similarity_by_shift(model: AudioVisualEncoder, item: Item, spread: np.ndarray | None) -> np.ndarray:
    """(len(SHIFTS),) mean of Eq. 1 between what is seen at t and what is heard at t + shift."""
    from ...encoders.speech_encoder import encode

    code = torch.from_numpy(encode(model.encoder, item.features[:1500].astype(np.float32)))
    count = len(code)
    margin = CONTEXT + int(SHIFTS.max())
    frames = np.arange(margin, count - margin)[:: max(1, count // 300)]
    if not len(frames):
        frames = np.array([count // 2])
    around = np.clip(frames[:, None] + np.arange(-CONTEXT, CONTEXT + 1), 0, count - 1)
    if item.faces is not None:
        windows = torch.from_numpy(item.faces[around].astype(np.float32) / 127.5 - 1)
        lips = torch.cat([model.see(part)[0] for part in windows.split(64)])
    elif item.curves is not None:
        shapes = torch.from_numpy((item.curves[around].astype(np.float32) / spread).reshape(len(frames), -1))
        lips = model.shape_to_lips(torch.nn.functional.gelu(model.shape(shapes)))
    heard = [code[np.clip(frames + shift, 0, count - 1)] for shift in SHIFTS]
    return np.array([float(similarity(lips, some).mean()) for some in heard])


def _row(row: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in row.items()}


def _write_page(path: Path, model, history: History, scores: np.ndarray, held_out: list[Item], figures: dict) -> None:
    steps = np.array([row["step"] for row in history], float)
    parts = [f"<p>Trained on {html.escape(' and '.join(figures['made_of']))}: {figures['training_s'] / 60:.0f} min; "
             f"evaluated on {figures['held_out_s'] / 60:.1f} min of held-out recordings.</p>"]  # fmt: skip
    for name, label in _NAMES.items():
        if name in history[-1]:
            values = np.array([row.get(name, np.nan) for row in history])
            parts.append(f"<h2>Held out: {label}</h2>")
            parts.append(charts.points_and_lines(steps, [(values, "s1")], x_label="steps", y_label=""))
    parts.append("<h2>Similarity of video and audio (Eq. 1) by the shift between them</h2>")
    shown = [(scores.mean(0), "s1")]
    parts.append(charts.points_and_lines(SHIFTS * 1000.0 / float(STEP_RATE), shown, x_label="milliseconds", y_label=""))
    parts.append(f"<p>Highest in sync, within a frame, in {figures['in_sync_found']:.0%} of the recordings.</p>")
    clips = [item for item in held_out if item.faces is not None]
    if clips:
        image = base64.b64encode(_faces_drawn(model, clips)).decode()
        parts.append("<h2>Held-out faces (above) and their reconstructions from the audio (Eq. 3)</h2>")
        parts.append(f'<img alt="faces and reconstructions" src="data:image/png;base64,{image}">')
    light = ";".join(f"--{name}:{colours[0]}" for name, colours in chart_svg.PAGE_COLOURS.items())
    dark = ";".join(f"--{name}:{colours[1]}" for name, colours in chart_svg.PAGE_COLOURS.items())
    style = (
        f":root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}body{{background:var(--page);"
        "color:var(--ink);font:15px system-ui,sans-serif;max-width:1040px;margin:2rem auto;padding:0 1rem}"
        "h2{font-size:1rem;margin-top:2rem}svg,img{max-width:100%;height:auto}"
    )
    page = f"<!doctype html><meta charset=utf-8><title>Audio-visual encoder</title><style>{style}</style>"
    page += "<h1>Training of the audio-visual encoder</h1>" + "".join(parts)
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


@torch.no_grad()
def _faces_drawn(model: AudioVisualEncoder, clips: list[Item]) -> bytes:
    """PNG: SHOWN held-out faces over what the decoder draws."""
    batch = draw(clips, SHOWN, None, np.random.default_rng(2), augment=False)
    code = model.encoder(batch["features"])
    heard = code[torch.arange(SHOWN), batch["at"][:, 0]]
    _, trunk = model.see(batch["windows"][:, 0])
    drawn = model.decoder(torch.cat([trunk, heard], 1))
    rows = [batch["windows"][:, 0, CONTEXT], drawn]
    sheet = np.concatenate([np.concatenate(list(row.numpy()), 1) for row in rows])
    sheet = np.clip((sheet + 1) * 127.5, 0, 255).astype(np.uint8)
    sheet = cv2.resize(sheet, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".png", sheet)[1].tobytes()
