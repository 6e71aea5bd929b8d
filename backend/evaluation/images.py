"""Images of the report as data addresses: contact sheet, worst frames, and where in the image the errors lie."""

from __future__ import annotations

import base64
import math
from typing import Any

import cv2
import numpy as np

from .evaluate import Evaluation, FramePair, MeanImages

SHEET_COLUMNS = 6
DIFFERENCE_GAIN = 4

_MAP_SIDE = 420
_SCALE_STEP = 4
"""The scale of an error map ends at a multiple of this many grey levels."""


def data_address(image: np.ndarray, side: int = 320, quality: int = 88) -> str:
    """An image as a data address, JPEG, at most `side` pixels on its longer side."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def sheet(evaluation: Evaluation) -> list[dict[str, str]]:
    """Frames spread over the clip: truth, prediction, difference."""
    if not evaluation.samples:
        return []
    chosen = np.unique(np.linspace(0, len(evaluation.samples) - 1, SHEET_COLUMNS).round().astype(int))
    shown = [evaluation.samples[place] for place in chosen]
    return [_column(pair, f"{pair.index / evaluation.fps:.2f} s") for pair in shown]


def worst_sheet(evaluation: Evaluation) -> list[dict[str, str]]:
    """The worst frames, the worst first; none where all frames are equal."""
    return [_column(frame.pair, f"{frame.psnr:.1f} dB") for frame in evaluation.worst if math.isfinite(frame.psnr)]


def error_map(means: MeanImages) -> dict[str, Any]:
    """The mean true image, the mean predicted one, and the mean error as a heat map over the true one, with its scale."""
    top = _SCALE_STEP * max(math.ceil(float(np.percentile(means.error, 99.5)) / _SCALE_STEP), 1)
    strength = np.clip(means.error / top, 0, 1)
    truth, predicted, heat = (
        data_address(_bytes(image), side=_MAP_SIDE)
        for image in (means.truth, means.predicted, _heat_over(means.truth, strength))
    )
    bar = _heat_over(np.full((8, 256, 3), 128.0), np.tile(np.linspace(0, 1, 256), (8, 1)))
    return {
        "truth": truth,
        "predicted": predicted,
        "error": heat,
        "bar": data_address(_bytes(bar)),
        "ticks": [f"{top * part // 4}" for part in range(4)] + [f"{top} or more"],
        "mean": f"{float(means.error.mean()):.2f}",
        "most": f"{float(means.error.max()):.0f}",
    }


def _column(pair: FramePair, note: str) -> dict[str, str]:
    difference = np.abs(pair.predicted.astype(np.int16) - pair.truth).max(axis=2)
    return {
        "caption": f"frame {pair.index}, {note}",
        "truth": data_address(pair.truth),
        "predicted": data_address(pair.predicted),
        "difference": data_address(_bytes(_heat(np.clip(difference * (DIFFERENCE_GAIN / 255), 0, 1)))),
    }


def _heat_over(image: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """An image in dim grey, which has no colours that look like heat, covered the more the hotter it is."""
    grey = 0.45 * image.mean(axis=2, keepdims=True)
    cover = np.sqrt(strength)[..., None]
    return (1 - cover) * grey + cover * _heat(strength)


def _heat(strength: np.ndarray) -> np.ndarray:
    """(H, W) in [0, 1] as colours (H, W, 3) of 255, from black over red to pale yellow."""
    coloured = cv2.applyColorMap(_bytes(255 * strength), cv2.COLORMAP_INFERNO)
    return cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
