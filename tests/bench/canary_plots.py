"""The plots of the canary comparison: facts in, inline SVG out, in the colours of the page. Pure."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter, DayLocator, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from labs.report.ink import BAD, GOOD, INK, MUTED, SERIES, STYLE, to_svg
from pipelines.rollout.controller import RolloutOutcome
from tests.bench.canary_fair import OURS, Cell, find
from tests.bench.canary_ramp import LEVELS, Level
from tests.bench.canary_rules import PLAN, RULES

SHOWN: Final = (Level(0.002, 0.01), Level(0.002, 0.05), Level(0.002, 0.3))  # exposure curves
EVIDENCE: Final = {
    "errors": PLAN.budgets.errors,
    "scores": PLAN.budgets.scores,
    "costs_more": PLAN.budgets.money,
    "costs_no_more": PLAN.promotion_alpha,
}
NAMES: Final = {"errors": "it fails more", "scores": "other scores", "costs_more": "it costs more", "costs_no_more": "it costs no more"}
TOP, BOTTOM = 5.0, -2.0  # log10 of the odds that are drawn
_POWERS: Final = {-2: "1 : 100", -1: "1 : 10", 0: "1", 1: "10", 2: "100", 3: "1,000", 4: "10,000", 5: "100,000 : 1"}
_LINE: Final = {  # ours in colour, the others by their dashes
    "naive z, 5 %": (MUTED, (0, (1, 1.5))),
    "z, 0.1 %": (MUTED, (0, (4, 1.5))),
    "Argo-like": (SERIES[1], "-"),
    "Flagger-like": (SERIES[2], "-"),
    "Kayenta-like": (SERIES[3], "-"),
    "ours, split only": (SERIES[0], (0, (3, 1.5))),
    OURS: (SERIES[0], "-"),
}


def courses(outcomes: Mapping[str, RolloutOutcome]) -> str:
    """Rollouts of the default plan over event time: share of the cards, and the odds against each null."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 6.6))
        grid = figure.subplots(2, 2, sharey=True)
        for place, (axes, (name, outcome)) in enumerate(zip(grid.flat, outcomes.items(), strict=True)):
            _course(axes, name, outcome, labelled=place % 2 == 0)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9.5)
        return to_svg(figure, "courses", "Share of the cards and e-values over event time in four rollouts.")


def _course(axes: Axes, name: str, outcome: RolloutOutcome, *, labelled: bool) -> None:
    times = [float(date2num(datetime.fromisoformat(one.at))) for one in outcome.judgements]
    shares = [one.share for one in outcome.judgements]
    ramp = [BOTTOM + (TOP - BOTTOM) * share for share in shares]  # half of the cards fill half of the plot's height
    axes.fill_between(times, BOTTOM, ramp, step="pre", color=INK, alpha=0.1, linewidth=0, label="share of the cards")
    for colour, key in zip(SERIES, NAMES, strict=True):
        values = [min(max(one.e_values[key], BOTTOM), TOP) for one in outcome.judgements]
        axes.plot(times, values, color=colour, linewidth=1.7, label=NAMES[key])
        axes.plot(times[-1] + 0.15, math.log10(1 / EVIDENCE[key]), marker="<", markersize=5, color=colour, clip_on=False)
    good = outcome.result == "promoted"
    axes.axvline(times[-1], color=GOOD if good else BAD, linewidth=1.4)
    axes.annotate(outcome.result.replace("_", " "), (times[-1], TOP), xytext=(-5, -4), textcoords="offset points", ha="right", va="top",
                  fontsize=10, color=GOOD if good else BAD)  # fmt: skip
    axes.set_title(name, fontsize=10.5, loc="left")
    axes.set(ylim=(BOTTOM, TOP))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _POWERS[round(value)]))
    if labelled:
        axes.set_ylabel("odds")
    locator = DayLocator(interval=max(1, int((times[-1] - times[0]) // 5)))
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def exposure(cells: list[Cell]) -> str:
    """Share of the rollouts that a rule has stopped against the requests that the canary has answered, one plot per fault."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 3.9))
        grid = figure.subplots(1, len(SHOWN), sharey=True)
        for axes, level in zip(grid, SHOWN, strict=True):
            for rule in RULES:
                cell = find(cells, level, rule.name)
                colour, dashes = _LINE[rule.name]
                reached = np.arange(1, len(cell.exposed) + 1) / cell.stopped.of
                axes.step([0.7, *cell.exposed], [0.0, *reached], where="post", color=colour, linestyle=dashes,
                          linewidth=2.6 if rule.name == OURS else 1.6, label=rule.name)  # fmt: skip
            axes.set_xscale("log")
            axes.set(xlim=(0.8, 14_000), ylim=(-0.02, 1.03))
            axes.set_title(f"failing: {level.told()}", fontsize=10.5, loc="left")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        grid[0].yaxis.set_major_formatter(PercentFormatter(1))
        grid[0].set_ylabel("rollouts stopped")
        grid[1].set_xlabel("requests that the canary had answered")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9.5)
        return to_svg(figure, "exposure", "Rollouts stopped against requests exposed, for seven rules and three faults.")


def false_alarms(cells: Sequence[Cell]) -> str:
    """How often each rule rolls a sound challenger back, at two base rates."""
    quiet = [level for level in LEVELS if not level.is_fault]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 3.3))
        axes = figure.subplots()
        for shift, level, colour in zip((0.14, -0.14), quiet, (SERIES[0], SERIES[1]), strict=True):
            for place, rule in enumerate(reversed(RULES)):
                rate = find(list(cells), level, rule.name).stopped
                axes.plot([100 * rate.low, 100 * rate.high], [place + shift] * 2, color=colour, linewidth=1.6)
                axes.plot(100 * rate.value, place + shift, marker="o", markersize=6, color=colour,
                          label=f"both fail on {100 * level.stable:g} %" if not place else None)  # fmt: skip
        axes.axvline(1.0, color=GOOD, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.set_yticks(range(len(RULES)), [rule.name for rule in reversed(RULES)])
        axes.set_xscale("symlog", linthresh=0.1, linscale=0.6)
        axes.set(xlim=(-0.02, 130), xlabel="sound challengers rolled back, %, with 95 % intervals; the line is our promise")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(visible=False, axis="y")
        axes.legend(loc="lower right", fontsize=9.5)
        return to_svg(figure, "false-alarms", "False rollbacks of seven rules at two base rates.")
