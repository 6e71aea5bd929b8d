"""A linear probe: how well audio features predict the lips, within one person and across persons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import WorkspaceError
from ...media.audio import audio_blocks
from ...workspace.arrays import concordance, correlation, ridge
from ...workspace.store import Workspace
from ..blendshapes import View
from ..encoders import open_encoder
from ..lip_measures import MEASURES, lip_measures
from ..steps import STEP_RATE, at_steps, steps_before

CONTEXT = 2
"""Neighbouring frames on either side that the probe also uses."""

TRAINING_SHARE = 0.8
LONG_S = 10.0
"""Shorter clips are reported, but left out of the means."""

_PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_FOLDS = 5


@dataclass(frozen=True)
class ProbeClip:
    """A processed clip. lips: (N,) at the steps of speech of each of `MEASURES`, NaN where the face was not tracked."""

    name: str
    workspace: Workspace
    lips: dict[str, np.ndarray]

    @classmethod
    def of(cls, workspace: Workspace) -> ProbeClip:
        """Read a workspace that is processed up to `face_sync`."""
        track = workspace.head_track()
        lips = lip_measures(
            track.landmarks_px, View(track.head_to_camera, track.focal_px, track.principal_px), track.valid
        )
        rate, steps = workspace.subject.rate, steps_before(track.frames, workspace.subject.rate)
        at = {name: at_steps(values[:, None], steps, rate)[:, 0] for name, values in lips.items()}
        return cls(workspace.root.name, workspace, at)

    @property
    def long(self) -> bool:
        return len(self.lips["opening"]) >= LONG_S * STEP_RATE


def probe(clips: list[ProbeClip], features: list[np.ndarray]) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
    """Correlation and concordance (CCC) of the lips with a ridge regression from the features.

    Args:
        clips: the persons. features: (N, D) of each clip, its audio offset corrected.

    Returns:
        By measure, then `same` (first 80 % of the clip to its last 20 %) or `across` (all other clips to this one; only
        with two clips or more), then clip: (correlation, CCC). Lips are in standard deviations of the clip.
    """
    rows = [_stacked(part) for part in features]
    found: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for measure in MEASURES:
        known = [_known(clip, measure) for clip in clips]
        lips = [_standard(clip.lips[measure]) for clip in clips]
        same, across = {}, {}
        for index, clip in enumerate(clips):
            cut = int(TRAINING_SHARE * len(rows[index]))
            training, held_out = np.flatnonzero(known[index][:cut]), cut + np.flatnonzero(known[index][cut:])
            parts = np.array_split(training, _FOLDS)
            weights = Ridge([rows[index][part] for part in parts], [lips[index][part] for part in parts])
            same[clip.name] = agreement(weights(rows[index][held_out]), lips[index][held_out])
            others = [other for other in range(len(clips)) if other != index]
            if others:
                weights = Ridge(
                    [rows[other][known[other]] for other in others], [lips[other][known[other]] for other in others]
                )
                across[clip.name] = agreement(weights(rows[index][known[index]]), lips[index][known[index]])
        found[measure] = {"same": same, "across": across}
    return found


def encoder_table(name: str, clips: list[ProbeClip]) -> dict[str, Any]:
    """Probe of one encoder: by measure and `same` or `across`, the mean of long clips and every clip's own figures."""
    encoder = open_encoder(name)
    features = []
    for clip in clips:
        path, offset_ms = clip.workspace.aligned_audio
        features.append(encoder.features(audio_blocks(path), len(clip.lips["opening"]), offset_ms))
    table: dict[str, Any] = {}
    for measure, ways in probe(clips, features).items():
        for way, values in ways.items():
            if values:
                table.setdefault(measure, {})[way] = summary(clips, values)
    return table


def mean_of_long(clips: list[ProbeClip], values: dict[str, tuple[float, float]]) -> tuple[float, float]:
    """Mean correlation and CCC over the clips of at least `LONG_S`; NaN without one."""
    kept = [values[clip.name] for clip in clips if clip.long and clip.name in values]
    correlation, concordance = np.mean(kept, axis=0) if kept else (np.nan, np.nan)
    return float(correlation), float(concordance)


def summary(clips: list[ProbeClip], values: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """The means, None without a long clip, and the correlation and CCC of every clip."""
    correlation, concordance = (None if np.isnan(mean) else round(mean, 3) for mean in mean_of_long(clips, values))
    by_clip = {clip: [round(float(number), 3) for number in pair] for clip, pair in values.items()}
    return {"correlation": correlation, "ccc": concordance, "clips": by_clip}


def in_words(row: dict[str, Any]) -> str:
    """The means of a `summary` as text."""
    return "–" if row["correlation"] is None else f"{row['correlation']:.3f} ({row['ccc']:.2f})"


class Ridge:
    """Ridge regression; the penalty is chosen by leave-one-group-out cross-validation."""

    def __init__(self, rows: list[np.ndarray], values: list[np.ndarray]) -> None:
        """rows: (n, D) of each group; values: (n,)."""
        together = np.concatenate(rows)
        self._mean, self._scale = together.mean(0), together.std(0) + 1e-6
        self._offset = float(np.concatenate(values).mean())
        rows = [(part - self._mean) / self._scale for part in rows]
        values = [part - self._offset for part in values]
        normals, rights = [x.T @ x for x in rows], [x.T @ y for x, y in zip(rows, values, strict=True)]
        normal, right, count = sum(normals), sum(rights), len(together)

        def error(penalty: float) -> float:
            total = 0.0
            for x, y, own, own_right in zip(rows, values, normals, rights, strict=True):
                total += float(
                    ((x @ ridge(normal - own, right - own_right, penalty * (count - len(x))) - y) ** 2).sum()
                )
            return total

        penalty = min(_PENALTIES, key=error)
        self._weights = ridge(normal, right, penalty * count)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(n, D) to (n,)."""
        return (rows - self._mean) / self._scale @ self._weights + self._offset


def agreement(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Correlation (0 where either does not vary) and CCC of (n,) twice."""
    return float(np.nan_to_num(correlation(predicted, true))), concordance(predicted, true)


def _known(clip: ProbeClip, measure: str) -> np.ndarray:
    """(N,) bool: where the lips are known."""
    known = np.isfinite(clip.lips[measure])
    cut = int(TRAINING_SHARE * len(known))
    if known[:cut].sum() < 2 * STEP_RATE or known[cut:].sum() < STEP_RATE / 2:
        raise WorkspaceError(f"{clip.name} shows the face in too few frames: use a longer clip.")
    return known


def _stacked(features: np.ndarray) -> np.ndarray:
    """(N, D) to (N, (2 * CONTEXT + 1) * D) float64."""
    padded = np.pad(features.astype(np.float64), ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    return np.concatenate([padded[shift : shift + len(features)] for shift in range(2 * CONTEXT + 1)], 1)


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - np.nanmean(values)) / max(float(np.nanstd(values)), 1e-12)
