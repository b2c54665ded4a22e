"""The plots of the evidence report, one function each: facts in, an inline SVG out. Pure; called by its sections."""

from collections.abc import Callable, Sequence
from datetime import date, datetime
from functools import wraps
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from labs.report.facts import DriftFacts, LatencyFacts, ModelFacts, RolloutFacts, Series, TrainingFacts
from labs.report.ink import BAD, GOOD, INK, MUTED, PAPER, SERIES, STYLE, to_svg

_SAVINGS_SHOWN = 8  # times the capacity: beyond that every model loses money
_VERDICT_COLOUR = {"advance": GOOD, "promote": GOOD, "roll_back": BAD}


def _styled(draw: Callable[..., str]) -> Callable[..., str]:
    @wraps(draw)
    def drawn(*args: Any) -> str:
        with mpl.rc_context(STYLE):
            return draw(*args)

    return drawn


@_styled
def precision_recall(name: str, models: Sequence[ModelFacts], beside: bool = False) -> str:
    """Precision against recall, one line per model; at most four. `beside`: as one of two plots side by side."""
    figure, axes = _figure(5.2, 3.7) if beside else _figure(9.2, 3.6)
    for model, colour in zip(models, SERIES, strict=False):
        axes.plot(model.precision_recall.x, model.precision_recall.y, color=colour, label=model.name)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="upper right")
    told = ", ".join(f"{model.name} {model.average_precision.value:.3f}" for model in models)
    return to_svg(figure, name, f"Precision against recall. Average precision: {told}.")


@_styled
def calibration(training: TrainingFacts) -> str:
    """Predicted probability against what happened, before and after calibration, on logarithmic axes."""
    figure, axes = _figure(5.2, 3.7)
    before, after = training.calibration_before, training.calibration_after
    shown = [value for curve in (before, after) for value in (*curve.x, *curve.y) if value > 0]
    low, high = min(shown, default=1e-3) * 0.7, 1.0
    axes.plot([low, high], [low, high], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
    axes.plot(before.x, before.y, color=SERIES[1], marker="o", markersize=4, linewidth=1.2, label="raw score")
    axes.plot(after.x, after.y, color=SERIES[0], marker="o", markersize=5, label="calibrated")
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    axes.set(xlabel="predicted probability of fraud", ylabel="share that was fraud")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3%}".rstrip("%").rstrip("0").rstrip(".") + "%"))
    axes.yaxis.set_major_formatter(axes.xaxis.get_major_formatter())
    axes.minorticks_off()
    axes.legend(loc="upper left")
    return to_svg(figure, "calibration", "Predicted probability against the share of frauds, before and after calibration.")


@_styled
def savings(training: TrainingFacts) -> str:
    """Money saved against alerts, with the chosen threshold and the capacity of the fraud team."""
    figure, axes = _figure(9.2, 3.4)
    axes.plot(training.savings.x, training.savings.y, color=SERIES[0])
    axes.axvline(training.capacity_per_thousand, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    _tag(axes, training.capacity_per_thousand, "alert capacity")
    chosen = (training.alerts_per_thousand, training.saved_per_thousand)
    axes.plot(*chosen, marker="o", markersize=9, color=SERIES[1], markeredgecolor=PAPER, markeredgewidth=1.5)
    axes.annotate("chosen", chosen, xytext=(0, -14), textcoords="offset points", ha="center", va="top", fontsize=10)
    shown = [y for x, y in zip(training.savings.x, training.savings.y, strict=True) if x <= _SAVINGS_SHOWN * training.capacity_per_thousand]
    axes.set(xlabel="alerts per thousand payments", ylabel="EUR saved per thousand")
    axes.set(xlim=(0, _SAVINGS_SHOWN * training.capacity_per_thousand), ylim=(0, 1.15 * max(shown, default=1.0)))
    told = f"Money saved against alerts; the chosen threshold {training.review_at:.3f} saves {chosen[1]:.0f} EUR per thousand payments."
    return to_svg(figure, "savings", told)


@_styled
def latency(facts: LatencyFacts) -> str:
    """Histogram of answer times with the percentiles and what the objective allows."""
    figure, axes = _figure(9.2, 3.2)
    axes.stairs(facts.counts, facts.edges_ms, fill=True, color=SERIES[0], alpha=0.75)
    for seen, allowed, label in ((facts.p95_ms, facts.slo_p95_ms, "p95"), (facts.p99_ms, facts.slo_p99_ms, "p99")):
        axes.axvline(seen, color=INK, linewidth=1.2)
        _tag(axes, seen, f"{label} {seen:.1f}", level=0 if label == "p95" else 1)
        axes.axvline(allowed, color=BAD, linewidth=1.2, linestyle=(0, (4, 3)))
        _tag(axes, allowed, f"{label} limit {allowed:g}", level=0 if label == "p95" else 1)
    axes.set(xlabel="answer time, ms", ylabel="requests", xscale="log", xlim=(0.5, 2 * facts.slo_p99_ms))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.minorticks_off()
    axes.grid(visible=False, axis="x")
    told = f"Histogram of answer times: p50 {facts.p50_ms:.1f} ms, p95 {facts.p95_ms:.1f} ms, p99 {facts.p99_ms:.1f} ms."
    return to_svg(figure, "latency", told)


@_styled
def drift_timeline(facts: DriftFacts) -> str:
    """Distances to the reference, alert rate and recall, day by day under each other."""
    figure = Figure(figsize=(9.2, 6.0))
    rows = figure.subplots(3, 1, sharex=True, height_ratios=(1.5, 1, 1))
    days = [_day(day) for day in facts.days]
    for series, colour in zip(facts.distances, SERIES, strict=False):
        _line(rows[0], days, series, colour)
    rows[0].legend(loc="upper left", ncols=2)
    rows[0].set(ylabel="distance", ylim=(0, None))
    _line(rows[1], days, facts.alert_rate, SERIES[0])
    rows[1].set(ylabel="alert rate", ylim=(0, None))
    _line(rows[2], days, facts.recall, SERIES[2])
    rows[2].set(ylabel="recall", ylim=(0, 1))
    for axes in rows[1:]:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    for level, marker in enumerate(facts.markers):
        for axes in rows:
            axes.axvline(_day(marker.day), color=INK, linewidth=1, linestyle=(0, (1, 2)))
        _tag(rows[0], _day(marker.day), marker.text, level=level % 2)
    _date_axis(rows[-1])
    return to_svg(figure, "drift", f"Day by day: distances to the reference, alert rate and recall. Verdict: {facts.decision}.")


@_styled
def canary_timeline(facts: RolloutFacts) -> str:
    """Share of the cards that the challenger answered, with the judge's verdicts."""
    figure, axes = _figure(9.2, 3.2)
    times = [float(date2num(datetime.fromisoformat(step.at))) for step in facts.steps]
    shares = [step.share for step in facts.steps]
    axes.step(times, shares, where="post", color=SERIES[0])
    axes.fill_between(times, shares, step="post", color=SERIES[0], alpha=0.12, linewidth=0)
    for time, share, step in zip(times, shares, facts.steps, strict=True):
        if step.verdict == "started":  # the line shows it
            continue
        colour = _VERDICT_COLOUR.get(step.verdict, SERIES[1])
        axes.plot(time, share, marker="o", markersize=9, color=colour, markeredgecolor=PAPER, markeredgewidth=1.5)
        side, dx = ("left", 8) if time == times[0] else ("right", -8)  # the first label would leave the plot
        axes.annotate(step.verdict.replace("_", " "), (time, share), xytext=(dx, 8), textcoords="offset points", ha=side, fontsize=10)
    axes.set(ylabel="share of the cards", ylim=(-0.04, 1.18))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.margins(x=0.06)
    _date_axis(axes)
    told = ", ".join(f"{step.stage} {step.share:.0%} {step.verdict}" for step in facts.steps)
    return to_svg(figure, "canary", f"The rollout, step by step: {told}.")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def _line(axes: Axes, days: list[float], series: Series, colour: str) -> None:
    values = [float("nan") if value is None else value for value in series.values]
    axes.plot(days, values, color=colour, label=series.name)
    if series.threshold is not None:
        axes.axhline(series.threshold, color=BAD, linewidth=1, linestyle=(0, (4, 3)))


def _tag(axes: Axes, x: float, text: str, level: int = 0) -> None:
    """A small label at the top of a vertical line; `level` 1 sits above level 0, so that neighbours do not collide."""
    axes.annotate(
        text, (x, 1), xycoords=("data", "axes fraction"), xytext=(0, 3 + 13 * level), textcoords="offset points",
        ha="center", va="bottom", fontsize=9.5, color=INK, annotation_clip=False,
    )  # fmt: skip


def _day(text: str) -> float:
    return float(date2num(date.fromisoformat(text)))


def _date_axis(axes: Axes) -> None:
    axes.xaxis_date(tz="UTC")
    locator = AutoDateLocator(minticks=4, maxticks=9)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
