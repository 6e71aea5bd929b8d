"""A matplotlib figure as SVG that takes its colours and its font from the page: one file for light and dark."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable

WIDTH = 1040.0
COLOURS = {"ink": "#000001", "muted": "#000002", "rule": "#000003", "band": "#000004"} | {
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


def standalone(svg: str) -> str:
    """A plot as a separate file, on the page's background: light, or dark if the browser prefers that.

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


def plot_svg(height: float, draw: Callable, left: float = 52, right: float = 8) -> str:
    def draw_one(figure) -> None:
        bottom = 38
        draw(
            figure.add_axes(
                (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - bottom - 8) / height)
            )
        )

    return figure_svg(height, draw_one)


def figure_svg(height: float, draw: Callable) -> str:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none",  # text stays text: selectable, and in the page's font
        "svg.hashsalt": "synctalk",
        "font.family": "sans-serif",
        "font.size": 11,
        "axes.edgecolor": COLOURS["rule"],
        "axes.labelcolor": COLOURS["muted"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": COLOURS["rule"],
        "grid.linewidth": 0.8,
        "xtick.color": COLOURS["muted"],
        "ytick.color": COLOURS["muted"],
        "xtick.major.size": 0,
        "ytick.major.size": 0,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _themed(file.getvalue())


def _themed(svg: str) -> str:
    """The bare `<svg>` element with the page's colours, and names that no other plot of the page uses."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    prefix = f"c{next(_numbers)}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    svg = svg.replace("url(#", f"url(#{prefix}")
    return re.sub(r'(<svg[^>]*?) width="[^"]*"|(<svg[^>]*?) height="[^"]*"', r"\1\2", svg, count=1)
