"""Numbers of a file as the values of ARKit's shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import CaptureError
from ...protocol import BLENDSHAPE_NAMES
from ...workspace.shapes import Bool, Float
from ..names import shape_index

ACTOR_EXPORT = "export it with ARKit's 52 names, such as jawOpen"

_MOST, _LEAST = 2.0, -1.0
"""Calibrated captures and exaggerated ones leave [0, 1] by less."""
_MOST_PERCENT = 200.0
_PERCENT_SHARE = 0.01
"""So many of the values that are not 0 exceed `_MOST` in a file in percent; fewer are errors of a few frames."""


@dataclass(frozen=True)
class ShapeColumns:
    """Which columns of a file are shapes.

    Attributes:
        columns: their positions in the file.
        shapes: of each its index in `protocol.BLENDSHAPE_NAMES`.
    """

    columns: list[int]
    shapes: list[int]

    @classmethod
    def of(cls, names: Sequence[str], path: Path) -> ShapeColumns:
        """By their names, in any order and spelling.

        Raises:
            CaptureError: two columns are one shape.
        """
        columns: list[int] = []
        shapes: list[int] = []
        for column, name in enumerate(names):
            shape = shape_index(name)
            if shape is None:
                continue
            if shape in shapes:
                first = names[columns[shapes.index(shape)]]
                raise CaptureError(
                    f"{path} has {BLENDSHAPE_NAMES[shape]} twice, as {first.strip()!r} and {name.strip()!r}: remove one."
                )
            columns.append(column)
            shapes.append(shape)
        return cls(columns, shapes)

    def filled(
        self, values: Float[np.ndarray, "n k"], path: Path, where: Callable[[int], str]
    ) -> tuple[Float[np.ndarray, "n 52"], Bool[np.ndarray, " 52"]]:
        """All shapes in their order, and which of them the file has.

        Args:
            values: of `columns`, from 0 to 1 or from 0 to 100.
            where: names the place of a row, for an error: `line 7`.

        Raises:
            CaptureError: a value that is no share; file, place, name and what to do.
        """
        shares = values / 100 if _are_percent(values) else values
        wrong = np.argwhere(~((shares >= _LEAST) & (shares <= _MOST)))
        if len(wrong):
            row, column = wrong[0]
            name, value = BLENDSHAPE_NAMES[self.shapes[column]], values[row, column]
            raise CaptureError(
                f"{path}, {where(int(row))}: {name} is {value:g}, which is neither from 0 to 1 nor from 0 to 100: "
                "correct it or export the take again."
            )
        full = np.zeros((len(values), len(BLENDSHAPE_NAMES)))
        full[:, self.shapes] = shares
        present = np.zeros(len(BLENDSHAPE_NAMES), bool)
        present[self.shapes] = True
        return full, present


def _are_percent(values: np.ndarray) -> bool:
    moving = values[np.isfinite(values) & (np.abs(values) > 1e-6)]
    beyond = moving > _MOST
    return bool(len(moving) and beyond.mean() >= _PERCENT_SHARE and moving.max() <= _MOST_PERCENT)


def no_known_names(path: Path, names: Sequence[str]) -> CaptureError:
    """The refusal of a file that names no shape of ARKit's."""
    shown = ", ".join(name.strip() for name in names[:3] if name.strip())
    has = f" (it has {shown} …)" if shown else ""
    return CaptureError(f"{path} has none of ARKit's blendshapes{has}: {ACTOR_EXPORT}.")
