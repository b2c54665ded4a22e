"""A rollout drawn: its ramp with its end, and the evidence of the guardrails over time. An outcome in, an inline SVG out. Pure."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from labs.canaries.outcome import Outcome
from labs.exercises.contract import said
from labs.report.ink import BAD, GOOD, INK, MUTED, PAPER, SERIES, STYLE, to_svg

LINES: Final = len(SERIES)
HIGHEST, LOWEST = 6.0, -1.5  # powers of ten: beyond them nothing is left to say
_COLOUR: Final = {"promoted": GOOD, "rolled_back": BAD, "aborted": BAD}
_FOR: Final = "_no_more"  # how the names of e-values end that speak for the challenger


def timeline(outcome: Outcome) -> str:
    """Share of the cards, evidence against the challenger and for it, on one axis of event time. Empty where no step ever began."""
    if not outcome.steps:
        return ""
    names = {name for look in outcome.looks for name in look.e_values}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 7.2))
        ramp, harm, worth = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1.2, 1.2))
        _ramp(ramp, outcome)
        _evidence(harm, outcome, {name for name in names if not name.endswith(_FOR)}, "odds against it, 10^")
        _evidence(worth, outcome, {name for name in names if name.endswith(_FOR)}, "odds for it, 10^")
        worth.xaxis_date(tz="UTC")
        locator = AutoDateLocator(minticks=4, maxticks=9)
        worth.xaxis.set_major_locator(locator)
        worth.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        told = ", ".join(f"{step.step}: {said(step.verdict)}" for step in outcome.steps)
        return to_svg(figure, "rollout", f"The ramp, step by step ({told}), and the evidence against the challenger and for it.")


def _ramp(axes: Axes, outcome: Outcome) -> None:
    times = [*(_day(step.since) for step in outcome.steps), _day(outcome.ended_at)]
    shares = [*(step.share for step in outcome.steps), float(outcome.ended == "promoted")]
    axes.step(times, shares, where="post", color=SERIES[0])
    axes.fill_between(times, shares, step="post", color=SERIES[0], alpha=0.12, linewidth=0)
    stood = [_day(look.at) for look in outcome.looks if look.verdict == "pause"]
    end = times[-1]
    axes.plot(end, shares[-1], marker="o", markersize=9, color=_COLOUR.get(outcome.ended, SERIES[1]), markeredgecolor=PAPER, clip_on=False)
    _note(axes, said(outcome.ended), end, shares[-1], (-9, 8), "right")
    if stood:
        axes.plot(stood, [-0.03] * len(stood), linestyle="", marker="|", markersize=7, color=SERIES[1])
        _note(axes, "paused", stood[0], shares[-2], (0, 8), "left")
    axes.set(ylabel="share of the cards", ylim=(-0.06, 1.2))
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def _evidence(axes: Axes, outcome: Outcome, names: Collection[str], label: str) -> None:
    """The e-values with most to say, as powers of ten."""
    times = [_day(look.at) for look in outcome.looks]
    for name, colour in zip(sorted(names, key=lambda name: (-_most(outcome, name), name))[:LINES], SERIES, strict=False):
        values = [min(max(look.e_values.get(name, 0.0), LOWEST), HIGHEST) for look in outcome.looks]
        shown = said(name.removesuffix(_FOR) + " no more" if name.endswith(_FOR) else name)
        axes.plot(times, values, color=colour, label=shown, marker="o" if len(times) < 20 else "", markersize=3)
    axes.axhline(3, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    _note(axes, "1,000 to 1", times[-1] if times else 0.0, 3, (0, 3), "right")
    for step in outcome.steps[1:]:
        axes.axvline(_day(step.since), color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.set(ylabel=label, ylim=(LOWEST - 0.2, HIGHEST + 2.0))
    if times and names:
        axes.legend(loc="upper left", ncols=LINES)


def _note(axes: Axes, words: str, x: float, y: float, offset: tuple[float, float], side: Literal["left", "right"]) -> None:
    """A few words beside a point, which the layout makes no room for."""
    note = axes.annotate(words, (x, y), xytext=offset, textcoords="offset points", ha=side, fontsize=9.5, annotation_clip=False)
    note.set_in_layout(False)


def _most(outcome: Outcome, name: str) -> float:
    return max(look.e_values.get(name, 0.0) for look in outcome.looks)


def _day(moment: str) -> float:
    return float(date2num(datetime.fromisoformat(moment)))
