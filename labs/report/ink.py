"""How a plot becomes part of the page: matplotlib draws with stand-in colours, which become the page's own.

The page has a light and a dark set of colours; an SVG that names them as CSS variables follows along, prints well and
needs no script. Text stays text, in the page's font. Used by labs/report/plots.py alone.
"""

import html
import io
import re
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

# Stand-ins: no plot of ours wants these colours for themselves.
INK: Final = "#010101"
MUTED: Final = "#020202"
GRID: Final = "#030303"
PAPER: Final = "#040404"
SERIES: Final = ("#050505", "#060606", "#070707", "#080808")
GOOD: Final = "#090909"
BAD: Final = "#0a0a0a"
_VARIABLES: Final = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    SERIES[0]: "series-1",
    SERIES[1]: "series-2",
    SERIES[2]: "series-3",
    SERIES[3]: "series-4",
    GOOD: "good",
    BAD: "bad",
}

STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
}


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an inline SVG element that a screen reader announces as `description`. `name` keeps its ids apart."""
    text = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r"(font: (?:\d+ )?[\d.]+px|font-family:)[^;\"]*", r"\1 var(--sans)", svg)
    svg = re.sub(r' id="([^"]+)"', rf' id="{name}-\1"', svg)  # ids are global on a page
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", svg)
    label = html.escape(description, quote=True)
    opening = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', re.DOTALL)
    return opening.sub(rf'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="\1" role="img" aria-label="{label}">', svg, count=1)
