"""Plots of the report as SVG that takes its colours and its font from the page, so one file suits light and dark."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_WIDTH = 1040.0
_COLOURS = {"ink": "#000001", "muted": "#000002", "rule": "#000003", "band": "#000004"} | {
    f"s{index}": f"#00001{index}" for index in range(1, 7)
}
"""Stand-ins that matplotlib writes and the page's variables replace."""

PAGE_COLOURS: dict[str, tuple[str, str]] = {
    "page": ("#fafaf8", "#131417"), "card": ("#ffffff", "#1b1c20"), "ink": ("#191a1d", "#ededea"),
    "muted": ("#6b6e76", "#9b9ea7"), "rule": ("#e3e2dc", "#2d2f35"), "band": ("#efeee8", "#24262b"),
    "s1": ("#d4522a", "#f0754b"), "s2": ("#2f6fb2", "#6ba7e6"), "s3": ("#2a8f6f", "#54bf9a"),
    "s4": ("#8459ad", "#b48fdb"), "s5": ("#b5851c", "#dcb04e"), "s6": ("#4b4e57", "#b9bcc4"),
}  # fmt: skip
"""The report's colours, in light and in dark."""

_numbers = itertools.count()


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

    return _svg(height, draw)


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
            figure.text(left / _WIDTH, 1 - 4 / height, heading, color=_COLOURS["muted"], va="top")
        for row in rows:
            tall, curves = row.height, row.series
            place = (left / _WIDTH, (upper - tall) / height, (_WIDTH - left - right) / _WIDTH, tall / height)
            axes = figure.add_axes(place, sharex=first)
            first = first or axes
            _draw_lines(axes, x, [curve[:2] for curve in curves], bands, marks)
            axes.set_ylabel(row.y_label)
            if row.y_range is not None:
                axes.set_ylim(*row.y_range)
            axes.yaxis.set_label_coords(-44 / (_WIDTH - left - right), 0.5)
            axes.tick_params(labelbottom=False)
            for index, (_, colour, name) in enumerate(curves):
                spot = (1, 0.5 + 17 / tall * ((len(curves) - 1) / 2 - index))
                axes.annotate(
                    name, spot, (10, 0), "axes fraction", "offset points", va="center", color=_COLOURS[colour],
                    annotation_clip=False,
                )  # fmt: skip
            upper -= tall + gap
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(x_label)

    return _figure_svg(height, draw)


def standalone(svg: str) -> str:
    """A plot as a file of its own, on the page's ground: light, and dark in a browser whose reader prefers that.

    Not every viewer of SVG knows variables, so its colours are literal, and a dark set overrides them.
    """
    dark = ""
    for name, (light, at_night) in PAGE_COLOURS.items():
        svg = svg.replace(f"var(--{name})", light)
        for kind in ("fill", "stroke"):
            dark += f'[style*="{kind}: {light}"]{{{kind}:{at_night}!important}}'
    fonts = "Inter,'Segoe UI',system-ui,-apple-system,'Helvetica Neue','Noto Sans','DejaVu Sans',sans-serif"
    style = f"<style>text{{font-family:{fonts}!important}}@media (prefers-color-scheme:dark){{{dark}}}</style>"
    ground = f'<rect width="100%" height="100%" style="fill: {PAGE_COLOURS["page"][0]}"/>'
    opening, rest = svg.split(">", 1)
    _, _, width, height = opening.split('viewBox="')[1].split('"')[0].split()
    opening = re.sub(r' (width|height)="[^"]*"', "", opening) + f' width="{width}" height="{height}">'
    return '<?xml version="1.0" encoding="utf-8"?>\n' + opening + style + ground + rest


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
            axes.fill_between(x[both], one[both], other[both], color=_COLOURS["band"], linewidth=0)
        for values, colour in series:
            there = np.flatnonzero(np.isfinite(values))
            if not len(there):
                continue
            last = there[-1]
            axes.plot(x[there], values[there], color=_COLOURS[colour], linewidth=1.5, marker="o", markersize=3.5)
            axes.annotate(
                f"{values[last]:.1f}", (x[last], values[last]), (-6, 7), textcoords="offset points", ha="right",
                color=_COLOURS["ink"],
            )  # fmt: skip
        axes.set_xlim(0, max(float(x[-1]), 1e-3) * 1.02)
        axes.margins(y=0.15)  # room for the last point's number
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)

    return _svg(height, draw)


def bars(rows: Sequence[tuple[str, float]], *, unit: str) -> str:
    """Horizontal bars, one below the other, each with its value: the first in the accent colour.

    Args:
        rows: (name, value).
        unit: of the values, written behind them.
    """

    def draw(axes) -> None:
        colours = [_COLOURS["s1"], *[_COLOURS["muted"]] * (len(rows) - 1)]
        places = np.arange(len(rows))[::-1]
        drawn = axes.barh(places, [value for _, value in rows], 0.6, color=colours)
        axes.bar_label(drawn, [f"{value:,.4g} {unit}".strip() for _, value in rows], padding=6, color=_COLOURS["ink"])
        axes.set_yticks(places, [name for name, _ in rows])
        axes.tick_params(axis="y", labelcolor=_COLOURS["ink"])
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.15)

    return _svg(46 + 26 * len(rows), draw, left=180)


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
            axes.axvline(mark, color=_COLOURS["muted"], linewidth=0.8, dashes=(2, 3))
        low, high = np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)
        axes.fill_between(time_s, low / peak, high / peak, color=_COLOURS["s2"], linewidth=0)
        axes.set_xlim(start_s, end_s)
        axes.set_ylim(-1.05, 1.05)
        if course is not None:
            axes.set_ylim(-1.05, 3.1)
            shown = 1.2 + 1.8 * course / max(float(course.max()), 0.3)
            axes.plot(np.linspace(start_s, end_s, len(course)), shown, color=_COLOURS["s1"], linewidth=1.4)
        axes.set_yticks([])
        # A label at the very edge would be cut off.
        inner = [tick for tick in axes.get_xticks() if 0.01 < (tick - start_s) / (end_s - start_s) < 0.99]
        axes.set_xticks(inner)
        axes.grid(False)
        axes.set_xlabel("seconds")

    return _svg(height, draw, left=0.0, right=0.0)


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
            axes.axhline(row - 0.5, color=_COLOURS["rule"], linewidth=0.8)
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set_xlabel(x_label)
        axes.grid(False)

    return _svg(height, draw, left=150)


def _draw_lines(
    axes,
    x: np.ndarray,
    series: Sequence[tuple[np.ndarray, str]],
    bands: Sequence[tuple[float, float]],
    marks: Sequence[float],
) -> None:
    for start, end in bands:
        axes.axvspan(start, end, color=_COLOURS["band"], linewidth=0)
    for mark in marks:
        axes.axvline(mark, color=_COLOURS["muted"], linewidth=0.8, dashes=(2, 3))
    for values, colour in series:
        axes.plot(x, values, color=_COLOURS[colour], linewidth=1.5, solid_joinstyle="round")
    axes.set_xlim(float(x[0]), float(x[-1]) if x[-1] > x[0] else float(x[0]) + 1)


def _svg(height: float, draw: Callable, left: float = 52, right: float = 8) -> str:
    def draw_one(figure) -> None:
        bottom = 38
        draw(
            figure.add_axes(
                (left / _WIDTH, bottom / height, (_WIDTH - left - right) / _WIDTH, (height - bottom - 8) / height)
            )
        )

    return _figure_svg(height, draw_one)


def _figure_svg(height: float, draw: Callable) -> str:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none",  # text stays text: selectable, and in the page's font
        "svg.hashsalt": "synctalk",
        "font.family": "sans-serif",
        "font.size": 11,
        "axes.edgecolor": _COLOURS["rule"],
        "axes.labelcolor": _COLOURS["muted"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": _COLOURS["rule"],
        "grid.linewidth": 0.8,
        "xtick.color": _COLOURS["muted"],
        "ytick.color": _COLOURS["muted"],
        "xtick.major.size": 0,
        "ytick.major.size": 0,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(_WIDTH / 72, height / 72), dpi=72)
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _themed(file.getvalue())


def _themed(svg: str) -> str:
    """The bare `<svg>` element with the page's colours, and names that no other plot of the page uses."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    prefix = f"c{next(_numbers)}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    svg = svg.replace("url(#", f"url(#{prefix}")
    return re.sub(r'(<svg[^>]*?) width="[^"]*"|(<svg[^>]*?) height="[^"]*"', r"\1\2", svg, count=1)
