"""Tables of text: CSV with commas, semicolons or tabs, decimal points or commas."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import CaptureError
from ...workspace.shapes import Float
from ..names import shape_index

HEAD_ANGLES = ("headyaw", "headpitch", "headroll")
_DELIMITERS = (",", ";", "\t")
_BEFORE_HEADER = 20
"""Lines of comments that may stand before the header."""


@dataclass(frozen=True)
class Table:
    """A header and its rows.

    Attributes:
        rows: those that hold something, as text.
        lines: of each row its line in the file, from 1.
        comma: numbers have a decimal comma.
    """

    path: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    comma: bool

    def where(self, row: int) -> str:
        """The place of a row, for an error."""
        return f"line {self.lines[row]}"

    def column(self, *names: str) -> int | None:
        """Position of the column of one of these names, in lower-case letters; None where there is none."""
        plain = [name.strip().lower() for name in self.header]
        return next((plain.index(name) for name in names if name in plain), None)

    def only(self, rows: Sequence[int]) -> Table:
        """The same with some of its rows."""
        return Table(
            self.path, self.header, [self.rows[row] for row in rows], [self.lines[row] for row in rows], self.comma
        )

    def numbers(self, columns: Sequence[int]) -> Float[np.ndarray, "n k"]:
        """The values of some columns; an empty cell takes the value of the row before.

        Raises:
            CaptureError: a cell is no finite number: file, line, column and what to do.
        """
        values = np.empty((len(self.rows), len(columns)))
        for at, row in enumerate(self.rows):
            for k, column in enumerate(columns):
                cell = row[column].strip()
                value = self._number(cell) if cell else (values[at - 1, k] if at else 0.0)
                if not math.isfinite(value):
                    raise CaptureError(
                        f"{self.path}, {self.where(at)}: {self.header[column].strip()} is {cell!r}, which is no number: "
                        "correct it or export the take again."
                    )
                values[at, k] = value
        return values

    def _number(self, cell: str) -> float:
        try:
            return float(cell.replace(",", ".") if self.comma or "." not in cell else cell)
        except ValueError:
            return math.nan


def read_table(path: Path, text: str) -> Table | None:
    """The table of a text whose header names a shape or an angle of the head; None where no line does.

    Blank rows are left out, and a last row that was cut off.

    Raises:
        CaptureError: a row has another number of cells than the header; file, line and what to do.
    """
    lines = text.splitlines()
    best: tuple[int, int, str] | None = None
    for number, line in enumerate(lines[:_BEFORE_HEADER]):
        for delimiter in _DELIMITERS:
            known = sum(_is_known(name) for name in _split(line, delimiter))
            if known and (best is None or known > best[0]):
                best = known, number, delimiter
    if best is None:
        return None
    _, first, delimiter = best
    header = _split(lines[first], delimiter)
    rows: list[list[str]] = []
    places: list[int] = []
    reader = csv.reader(lines[first + 1 :], delimiter=delimiter)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                places.append(first + 1 + reader.line_num)
    except csv.Error as error:
        place = first + 1 + reader.line_num
        raise CaptureError(f"{path}, line {place}: it is no CSV ({error}): export the take again.") from error
    table = Table(path, header, rows, places, comma=delimiter != ",")
    return _of_one_width(table, text.endswith(("\n", "\r")))


def _is_known(name: str) -> bool:
    return shape_index(name) is not None or name.strip().lower() in HEAD_ANGLES


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _of_one_width(table: Table, is_complete: bool) -> Table:
    """With rows as wide as the header; a recorder that sees no face leaves the values out, which leaves out the row."""
    width, kept = len(table.header), []
    count = table.column("blendshapecount")
    for at, row in enumerate(table.rows):
        while len(row) > width and not row[-1].strip():
            row.pop()
        has_face = count is None or (
            len(row) > count and row[count].strip() != "0" and any(map(str.strip, row[count + 1 :]))
        )
        if has_face and len(row) == width:
            kept.append(at)
        elif has_face and (len(row) > width or is_complete or at < len(table.rows) - 1):
            raise CaptureError(
                f"{table.path}, {table.where(at)}: it has {len(row)} values for {width} columns: "
                "correct it or export the take again."
            )
    if not kept:
        raise CaptureError(f"{table.path} has a header and no values: export the take again.")
    return table.only(kept)
