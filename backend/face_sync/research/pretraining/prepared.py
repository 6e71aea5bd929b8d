"""Training data: audio features with the mouth's motion, prepared once, a file per clip."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....errors import WorkspaceError
from ....workspace.files import read_arrays, write_arrays
from ...augmentation import masked, warped

GENERATED = "generated_"
"""How files of generated speech begin; the others are clips."""

FACE_SIDE = 64
"""Side of a face window, pixels."""

CONTEXT = 2
"""Neighbouring frames on either side in a face window: five in all, 0.2 s, as in SyncNet."""

HELD_OUT = 11
"""One recording in this many is held out; of a single clip, its last such part."""


@dataclass(frozen=True)
class Item:
    """One clip, or a part of generated speech, at 25 frames a second.

    Attributes:
        features: (N, PER_STEP * COLUMNS) float16 from `audio_features.step_features`.
        ends: (U,) where each utterance ends; a clip is one.
        faces: (N, FACE_SIDE, FACE_SIDE) uint8, grey, the lower face; None of generated speech.
        valid: (N,) bool, whether the face was found; None of generated speech.
        visemes: (N,) class of the mouth; curves: (N, C) float16 blendshapes of the mouth; None of clips.
    """

    features: np.ndarray
    ends: np.ndarray
    faces: np.ndarray | None = None
    valid: np.ndarray | None = None
    visemes: np.ndarray | None = None
    curves: np.ndarray | None = None

    def part(self, start: int, stop: int) -> Item:
        """Frames `start` to `stop`."""
        ends = np.clip(self.ends, start, stop) - start
        rows = [None if a is None else a[start:stop] for a in (self.faces, self.valid, self.visemes, self.curves)]
        return Item(self.features[start:stop], np.unique(ends[ends > 0]), *rows)

    @property
    def utterances(self) -> np.ndarray:
        """(U, 2) first frame and the one after the last of each utterance."""
        return np.stack([np.append(0, self.ends[:-1]), self.ends], 1)


def write_item(path: Path, item: Item) -> None:
    """Write `item`, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: value for name, value in vars(item).items() if value is not None}
    write_arrays(path, **arrays)


def read_items(folder: Path, held_out_names: set[str] | None = None) -> tuple[list[Item], list[Item]]:
    """All prepared files of a folder: training items, and held-out items.

    Args:
        held_out_names: stems of the held-out files, from a data set's own lists; None for one file in
            `HELD_OUT`, chosen by its name, so that the choice stays when files are added.

    Raises:
        WorkspaceError: nothing is prepared there.
    """
    paths = [path for path in sorted(folder.glob("*.npz")) if not path.name.startswith(".")]  # of a killed run
    items = {path.stem: Item(**read_arrays(path)) for path in paths}
    items = {name: item for name, item in items.items() if len(item.features) > 2 * CONTEXT + 1}
    if not items:
        raise WorkspaceError(f"{folder} holds no talking clip with a face and audio, and no generated speech.")
    if held_out_names is None:
        held_out_names = {name for name in items if int(hashlib.sha256(name.encode()).hexdigest(), 16) % HELD_OUT == 0}
    held = {name: item for name, item in items.items() if name in held_out_names}
    training = [item for name, item in items.items() if name not in held]
    kinds = {item.faces is None for item in items.values()}
    if training and kinds == {item.faces is None for item in held.values()}:
        return training, list(held.values())
    # Few files: the last part of each instead.
    cuts = [(item, len(item.features) - len(item.features) // HELD_OUT) for item in items.values()]
    return [item.part(0, cut) for item, cut in cuts], [item.part(cut, len(item.features)) for item, cut in cuts]


def draw_windows(items: list[Item], count: int, length: int, rng: np.random.Generator) -> list[tuple[Item, int]]:
    """Items and first frames of `count` windows: every frame of speech as likely as any other."""
    weights = np.array([len(item.features) for item in items], float)
    drawn = []
    for index in rng.choice(len(items), count, p=weights / weights.sum()):
        spans = items[index].utterances
        lengths = (spans[:, 1] - spans[:, 0]).astype(float)
        first, stop = spans[rng.choice(len(spans), p=lengths / lengths.sum())]
        drawn.append((items[index], int(first + rng.integers(max(stop - first - length, 0) + 1))))
    return drawn


def window_features(item: Item, start: int, length: int, rng: np.random.Generator | None) -> np.ndarray:
    """(length, D) float32 from `start`, the last row repeated beyond the utterance; another voice where `rng` is given."""
    stop = min(start + length, end_of(item, start))
    rows = item.features[start:stop].astype(np.float32)
    rows = np.pad(rows, ((0, length - len(rows)), (0, 0)), mode="edge")
    return rows if rng is None else masked(warped(rows, rng), rng)


def end_of(item: Item, start: int) -> int:
    """Where the utterance of frame `start` ends."""
    return int(item.ends[np.searchsorted(item.ends, start, side="right")])
