"""The plots of the report card: facts in, inline SVG out, in the colours of the page. Pure."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from labs.report.ink import MUTED, SERIES, STYLE, to_svg
from tests.bench.drift_card import Card, Cell
from tests.bench.drift_power import CURVES, SIZES, Point

_COLUMNS = 3


def power_curves(points: Sequence[Point]) -> str:
    """Share of windows seen against strength, one small plot per scenario, one line per window size."""
    with mpl.rc_context(STYLE):
        rows = -(-len(CURVES) // _COLUMNS)
        figure = Figure(figsize=(9.2, 2.3 * rows))
        grid = figure.subplots(rows, _COLUMNS, sharey=True, squeeze=False)
        for axes, name in zip(grid.flat, CURVES, strict=False):
            for size, colour in zip(SIZES, (SERIES[1], SERIES[0]), strict=True):
                mine = sorted((p for p in points if (p.scenario, p.rows) == (name, size)), key=lambda p: p.strength)
                place = range(len(mine))  # strengths stand evenly: their units have nothing in common
                axes.fill_between(place, [p.seen.low for p in mine], [p.seen.high for p in mine], color=colour, alpha=0.13, linewidth=0)
                axes.plot(place, [p.seen.value for p in mine], color=colour, marker="o", markersize=4, label=f"{size:,} rows")
            axes.set_title(name.replace("_", " "), fontsize=10.5, loc="left")
            axes.set(ylim=(-0.04, 1.06))
            axes.set_xticks(range(len(CURVES[name])), [f"{strength:g}" for strength in CURVES[name]])
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        for axes in list(grid.flat)[len(CURVES) :]:
            axes.set_visible(False)
        grid[0][-1].legend(loc="lower right", fontsize=9)
        return to_svg(figure, "power", "Share of windows with an alarm against the strength of a change, one plot for each scenario.")


def delays(card: Card) -> str:
    """Payments from the onset to the first alarm of each detector that must fire: median and 95th percentile."""
    cells = [cell for cell in card.cells if cell.role == "must fire" and cell.fired.hits]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 0.8 + 0.27 * len(cells)))
        axes = figure.subplots()
        for place, cell in enumerate(reversed(cells)):
            median, late = cell.payments
            axes.plot([median, late], [place, place], color=MUTED, linewidth=1.4)
            axes.plot(median, place, marker="o", markersize=6, color=SERIES[0])
            axes.plot(late, place, marker="|", markersize=9, color=MUTED)
        axes.set_yticks(range(len(cells)), [_label(card, cell) for cell in reversed(cells)])
        axes.set(xlim=(0, None), xlabel="payments from the onset to the first alarm")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.grid(visible=False, axis="y")
        return to_svg(figure, "delays", "Payments from the onset to the first alarm, median and 95th percentile.")


def _label(card: Card, cell: Cell) -> str:
    return f"{card.id(cell.scenario)} {cell.scenario.replace('_', ' ')}: {cell.detector.replace('_', ' ')}"
