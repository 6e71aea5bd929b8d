"""Plots of the report as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .chart_svg import COLOURS, WIDTH, figure_svg, plot_svg


def lines(
    x: np.ndarray,
    series: Sequence[tuple[np.ndarray, str]],
    *,
    x_label: str,
    y_label: str,
    height: float = 190,
    bands: Sequence[tuple[float, float]] = (),
    marks: Sequence[float] = (),
    y_range: tuple[float, float | None] | None = None,
) -> str:
    """Lines over a common axis.

    Args:
        x: (N).
        series: ((N) values, colour `s1` to `s6` or `muted`); NaN leaves a gap.
        height: pixels at the page's full width.
        bands: intervals of x to shade.
        marks: places on x with a fine upright line.
        y_range: limits; the data's own when None.
    """

    def draw(axes) -> None:
        _draw_lines(axes, x, series, bands, marks)
        if y_range is not None:
            axes.set_ylim(*y_range)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)

    return plot_svg(height, draw)


@dataclass(frozen=True)
class Row:
    """One of several plots below each other."""

    y_label: str
    series: Sequence[tuple[np.ndarray, str, str]]
    """((N) values, colour, name) of each curve; NaN leaves a gap."""
    height: float
    """Pixels at the page's full width."""
    y_range: tuple[float, float | None] | None = None
    """Limits; the data's own when None."""


def stacked(
    x: np.ndarray,
    rows: Sequence[Row],
    *,
    x_label: str,
    bands: Sequence[tuple[float, float]] = (),
    marks: Sequence[float] = (),
    heading: str = "",
) -> str:
    """Plots one below the other over a common axis, their curves named beside them.

    Args:
        x: (N).
        rows: from above.
        bands: intervals of x to shade. marks: places on x with a fine upright line, through all plots.
        heading: a line of text above.
    """
    top, gap, bottom, left, right = (26.0 if heading else 8.0), 20.0, 40.0, 62.0, 96.0
    height = top + sum(row.height for row in rows) + gap * (len(rows) - 1) + bottom

    def draw(figure) -> None:
        first = None
        upper = height - top
        if heading:
            figure.text(left / WIDTH, 1 - 4 / height, heading, color=COLOURS["muted"], va="top")
        for row in rows:
            tall, curves = row.height, row.series
            place = (left / WIDTH, (upper - tall) / height, (WIDTH - left - right) / WIDTH, tall / height)
            axes = figure.add_axes(place, sharex=first)
            first = first or axes
            _draw_lines(axes, x, [curve[:2] for curve in curves], bands, marks)
            axes.set_ylabel(row.y_label)
            if row.y_range is not None:
                axes.set_ylim(*row.y_range)
            axes.yaxis.set_label_coords(-44 / (WIDTH - left - right), 0.5)
            axes.tick_params(labelbottom=False)
            for index, (_, colour, name) in enumerate(curves):
                spot = (1, 0.5 + 17 / tall * ((len(curves) - 1) / 2 - index))
                axes.annotate(
                    name, spot, (10, 0), "axes fraction", "offset points", va="center", color=COLOURS[colour],
                    annotation_clip=False,
                )  # fmt: skip
            upper -= tall + gap
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(x_label)

    return figure_svg(height, draw)


def points_and_lines(
    x: np.ndarray, series: Sequence[tuple[np.ndarray, str]], *, x_label: str, y_label: str, height: float = 190
) -> str:
    """Courses with their measured points, such as the validation PSNR over the minutes of training.

    Args:
        x: (N), rising from 0 or later.
        series: ((N) values, colour) of each; NaN where nothing was measured. What lies between two is shaded.
    """

    def draw(axes) -> None:
        if len(series) == 2:
            (one, _), (other, _) = series
            both = np.isfinite(one) & np.isfinite(other)
            axes.fill_between(x[both], one[both], other[both], color=COLOURS["band"], linewidth=0)
        for values, colour in series:
            there = np.flatnonzero(np.isfinite(values))
            if not len(there):
                continue
            last = there[-1]
            axes.plot(x[there], values[there], color=COLOURS[colour], linewidth=1.5, marker="o", markersize=3.5)
            axes.annotate(
                f"{values[last]:.1f}", (x[last], values[last]), (-6, 7), textcoords="offset points", ha="right",
                color=COLOURS["ink"],
            )  # fmt: skip
        axes.set_xlim(0, max(float(x[-1]), 1e-3) * 1.02)
        axes.margins(y=0.15)  # room for the last point's number
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)

    return plot_svg(height, draw)


def bars(rows: Sequence[tuple[str, float]], *, unit: str) -> str:
    """Horizontal bars, one below the other, each with its value: the first in the accent colour.

    Args:
        rows: (name, value).
        unit: of the values, written behind them.
    """

    def draw(axes) -> None:
        colours = [COLOURS["s1"], *[COLOURS["muted"]] * (len(rows) - 1)]
        places = np.arange(len(rows))[::-1]
        drawn = axes.barh(places, [value for _, value in rows], 0.6, color=colours)
        axes.bar_label(drawn, [f"{value:,.4g} {unit}".strip() for _, value in rows], padding=6, color=COLOURS["ink"])
        axes.set_yticks(places, [name for name, _ in rows])
        axes.tick_params(axis="y", labelcolor=COLOURS["ink"])
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.15)

    return plot_svg(46 + 26 * len(rows), draw, left=180)


def waveform(
    samples: np.ndarray,
    rate: int,
    *,
    start_s: float = 0.0,
    marks: Sequence[float] = (),
    course: np.ndarray | None = None,
    height: float = 96,
) -> str:
    """Audio as an envelope of its lowest and highest samples, over the page's full width.

    Args:
        samples: (N) in [-1, 1].
        start_s: time of the first sample.
        marks: times of the images below.
        course: numbers in [0, 1], evenly spaced over the audio, drawn as a line above it.
    """
    edges = np.unique(np.linspace(0, len(samples), 521).astype(int))[:-1]
    time_s = start_s + edges / rate
    end_s = start_s + len(samples) / rate
    peak = max(float(np.abs(samples).max()), 1e-6)

    def draw(axes) -> None:
        for mark in marks:
            axes.axvline(mark, color=COLOURS["muted"], linewidth=0.8, dashes=(2, 3))
        low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
        axes.fill_between(time_s, low / peak, high / peak, color=COLOURS["s2"], linewidth=0)
        axes.set_xlim(start_s, end_s)
        axes.set_ylim(-1.05, 1.05)
        if course is not None:
            axes.set_ylim(-1.05, 3.1)
            shown = 1.2 + 1.8 * course / max(float(course.max()), 0.3)
            axes.plot(np.linspace(start_s, end_s, len(course)), shown, color=COLOURS["s1"], linewidth=1.4)
        axes.set_yticks([])
        # A label at the very edge would be cut off.
        inner = [tick for tick in axes.get_xticks() if 0.01 < (tick - start_s) / (end_s - start_s) < 0.99]
        axes.set_xticks(inner)
        axes.grid(False)
        axes.set_xlabel("seconds")

    return plot_svg(height, draw, left=0.0, right=0.0)


def heat_map(values: np.ndarray, names: Sequence[str], x: np.ndarray, *, x_label: str, height: float) -> str:
    """Rows of numbers in [0, 1] as one strip each; darker in light, brighter in dark, is more.

    Args:
        values: (rows, N).
        names: of the rows.
    """
    # No more columns than can be seen: each the mean of its frames.
    count = max(values.shape[1] // 880, 1)
    columns = values.shape[1] // count
    mask = np.clip(values[:, : columns * count].reshape(len(values), columns, count).mean(axis=2), 0, 1)

    def draw(axes) -> None:
        image = np.zeros((*mask.shape, 4))
        image[..., :3] = (217 / 255, 87 / 255, 43 / 255)
        image[..., 3] = mask**0.7
        axes.imshow(
            image, aspect="auto", interpolation="nearest", extent=(float(x[0]), float(x[-1]), len(names) - 0.5, -0.5)
        )
        for row in range(1, len(names)):
            axes.axhline(row - 0.5, color=COLOURS["rule"], linewidth=0.8)
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set_xlabel(x_label)
        axes.grid(False)

    return plot_svg(height, draw, left=150)


def _draw_lines(
    axes,
    x: np.ndarray,
    series: Sequence[tuple[np.ndarray, str]],
    bands: Sequence[tuple[float, float]],
    marks: Sequence[float],
) -> None:
    for start, end in bands:
        axes.axvspan(start, end, color=COLOURS["band"], linewidth=0)
    for mark in marks:
        axes.axvline(mark, color=COLOURS["muted"], linewidth=0.8, dashes=(2, 3))
    for values, colour in series:
        axes.plot(x, values, color=COLOURS[colour], linewidth=1.5, solid_joinstyle="round")
    axes.set_xlim(float(x[0]), float(x[-1]) if x[-1] > x[0] else float(x[0]) + 1)
