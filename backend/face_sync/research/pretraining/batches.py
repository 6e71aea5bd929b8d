"""Batches for the audio-visual encoder: windows of audio, face windows of some frames, and frames of another time."""

from __future__ import annotations

import numpy as np
import torch

from ...encoders.speech_encoder import WINDOW
from .prepared import CONTEXT, Item, draw_windows, end_of, window_features

SEEN = 12
"""Face windows per window of audio: images cost more than audio."""

NEAREST, FARTHEST = 4, 40
"""Frames out of sync are 0.16 to 1.6 s away in the same speech: same voice, same face, other audio."""


def draw(
    items: list[Item], count: int, spread: np.ndarray | None, rng: np.random.Generator, augment: bool = True
) -> dict[str, torch.Tensor]:
    """A batch of `count` windows of items of one kind.

    Args:
        spread: (C,) standard deviation of the mouth curves; None for clips.
        augment: change voices and images randomly.

    Returns:
        `features` (B, WINDOW, D); `at`, `elsewhere` (B, SEEN) frames in sync with the face windows and out of sync; `known`
        (B, SEEN) where the face was found; of clips `windows` (B, SEEN, 2 * CONTEXT + 1, S, S) in [-1, 1]; of generated
        speech `shapes` (B, SEEN, (2 * CONTEXT + 1) * C), `visemes` (B, WINDOW), `curves` (B, WINDOW, C), NaN beyond the
        end, and `spread`.
    """
    drawn = draw_windows(items, count, WINDOW, rng)
    rows: dict[str, list[np.ndarray]] = {}
    for item, start in drawn:
        length = min(WINDOW, end_of(item, start) - start)
        at = rng.integers(CONTEXT, max(length - CONTEXT, CONTEXT + 1), SEEN)
        away = rng.integers(NEAREST, FARTHEST + 1, SEEN) * rng.choice([-1, 1], SEEN)
        elsewhere = np.where((at + away >= 0) & (at + away < length), at + away, (at - away) % max(length, 1))
        row = {
            "features": window_features(item, start, WINDOW, rng if augment else None),
            "at": at,
            "elsewhere": elsewhere,
        }
        around = np.clip(start + at[:, None] + np.arange(-CONTEXT, CONTEXT + 1), 0, len(item.features) - 1)
        if item.faces is not None and item.valid is not None:
            row["windows"] = _augmented(item.faces[around], rng if augment else None)
            row["known"] = item.valid[around].all(1)
        elif item.curves is not None and item.visemes is not None:
            missing = WINDOW - length
            curves = item.curves[start : start + length].astype(np.float32)
            row["curves"] = np.pad(curves, ((0, missing), (0, 0)), constant_values=np.nan)
            row["visemes"] = np.pad(item.visemes[start : start + length], (0, missing), constant_values=-100)
            row["shapes"] = (item.curves[around].astype(np.float32) / spread).reshape(SEEN, -1)
            row["known"] = np.ones(SEEN, bool)
        for name, value in row.items():
            rows.setdefault(name, []).append(value)
    batch = {name: torch.from_numpy(np.stack(values)) for name, values in rows.items()}
    if spread is not None:
        batch["spread"] = torch.from_numpy(spread.astype(np.float32))
    return batch


def spread_of(items: list[Item]) -> np.ndarray:
    """(C,) standard deviation of the mouth curves, not below what matters."""
    return np.concatenate([item.curves for item in items[:100]]).astype(np.float32).std(0) + 0.02


def _augmented(windows: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
    """(n, C, S, S) float32 in [-1, 1]; with `rng` mirrored, brighter or darker and shifted a little, all in the same
    way."""
    images = windows.astype(np.float32) / 127.5 - 1
    if rng is None:
        return images
    if rng.random() < 0.5:
        images = images[..., ::-1]
    dy, dx = rng.integers(-3, 4, 2)
    images = np.roll(images, (dy, dx), (-2, -1))
    return np.clip(images * np.float32(rng.uniform(0.7, 1.3)) + np.float32(rng.uniform(-0.2, 0.2)), -1, 1)
