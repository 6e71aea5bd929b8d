"""A measured value of a benchmark beside its target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured value beside its target.

    Attributes:
        target: None where none was set.
        rises: whether more is better.
        in_index: whether it is one of those that docs/benchmarks.md shows.
        reference: name and value of what it is compared with, in the same run.
        why: one line on what a miss is due to.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    rises: bool = False
    in_index: bool = False
    reference: tuple[str, float] | None = None
    why: str = ""

    @property
    def is_met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.rises else self.value <= self.target

    def row(self) -> str:
        wanted = "–" if self.target is None else f"{'≥' if self.rises else '≤'} {_number(self.target)}{self.suffix}"
        digits = 4 if self.target is not None and _number(self.value) == _number(self.target) != self.value else 3
        missed = f"**missed**: {self.why}" if self.why else "**missed**"
        verdict = {True: "met", False: missed, None: ""}[self.is_met]
        return f"| {self.name} | {wanted} | **{_number(self.value, digits)}{self.suffix}** | {verdict} |"

    @property
    def suffix(self) -> str:
        """The unit as it follows a number."""
        return f" {self.unit}" if self.unit[:1].isalpha() or self.unit == "%" else self.unit

    def bars(self) -> list[tuple[str, float]]:
        rows = [("measured", self.value)]
        rows += [] if self.target is None else [("target", self.target)]
        return rows + ([] if self.reference is None else [self.reference])


def _number(value: float, digits: int = 3) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"
