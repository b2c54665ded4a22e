"""L13: the live log says what was known when; a shop whose declined payments are known to us says what declining hides."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import cache, partial
from numbers import Integral
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from data.settings import Settings
from labs.engine import Incorrect, NotStarted, Passed, Workplace
from labs.stream import midnight

INJECT = "lab drift inject new_pattern --days 14"
DRAWS = 10  # hold-outs that an estimate is judged on
BIAS = (0.08, 0.08, 0.15)  # of recall, precision, average precision, in the mean of those (measured: up to 0.03, 0.03, 0.06)
REGAINED = 0.5  # of what is lost where declined payments count as genuine, at least (measured on three worlds: 0.66 to 0.87)
WANTED = 0.04  # of the recall, by decision.toml
WEEK = timedelta(days=7)
FEWEST = 100  # frauds of a week that say something of it
QUIET, STRETCH, CHANGES_AT = 150, 300, 100  # stretches of reports, their length, and where planted ones change


class Looked(BaseModel):
    """looked.toml."""

    inputs_that_moved: list[str]


class When(BaseModel):
    """when.toml."""

    known_on: date
    reports_needed: int = Field(ge=0)
    lost_by_then_eur: float = Field(ge=0)


class Decision(BaseModel):
    """decision.toml."""

    random_approve_share: float = Field(ge=0, le=1)
    costs_per_thousand_eur: float


# ---- 1 what everybody looks at


def nothing_moved(at: Workplace) -> Passed:
    told = at.answers("looked.toml", Looked)
    record = _record(at)
    week = record.weeks()[-1]
    tests = record.inputs(*week)
    moved = [test.column for test in tests if test.drifted]
    wrong = [name for name in told.inputs_that_moved if name not in moved]
    if wrong:
        raise Incorrect(
            f"{wrong[0]} did not move: quiet weeks differ as much from each other.",
            "`lab drift check` lists what moved beyond its noise; the largest of many small numbers is always somewhere",
        )
    if record.onset is None:
        raise NotStarted(f"Let the fraudsters change their tactics: `{INJECT}`.")
    if record.today < record.onset + 2 * WEEK:
        days = (record.onset + 2 * WEEK - record.today) / timedelta(days=1)
        raise Incorrect("The new tactics are younger than two weeks.", f"`lab traffic --days {days:.0f}` sends the rest.")
    if set(told.inputs_that_moved) != set(moved):
        raise Incorrect(f"{moved[0]} moved.", "looked.toml, against `lab drift check`")
    first, since = record.weeks()[0], (record.onset, record.onset + WEEK)
    return Passed(
        {"psi_now": max(test.population_stability for test in tests if test.role != "score")}
        | {"ap_young": record.precision_of(first, first[1], _everything), "ap_settled": record.precision_of(first, record.today, _settled)}
        | {"ap_since": record.precision_of(since, record.today, _settled)}
    )


# ---- 2 who may judge


def only_settled_judge(at: Workplace) -> Passed:
    judged, start = _asked(at, "trend.py", "judged", 2), midnight(at.stream.first)
    counted, ever, known = np.zeros(4), np.zeros(4), np.zeros(4)  # by age in weeks: counted as frauds, of those that judge; known at all
    frauds, youngest = np.zeros(4), 99 * WEEK
    for day in range(32, 61, 7):
        today = start + timedelta(days=day)
        rows, reported = _known(at, today)
        judges, fraud = (answer > 0 for answer in judged(rows, today))
        came, age = (rows["report_time"] <= pd.Timestamp(today)).to_numpy(), pd.Timestamp(today) - rows["event_time"]
        if (judges & fraud & ~came).any():
            raise Incorrect("It counts frauds that nobody had reported by then.", "trend.py: report_time")
        week = (age // pd.Timedelta(days=7)).to_numpy()
        for total, chosen in ((counted, judges & fraud), (ever, judges & reported), (known, came), (frauds, reported)):
            total += np.bincount(week[chosen], minlength=4)[:4]
        youngest = min(youngest, age[judges].min().to_pytimedelta()) if judges.any() else youngest
    _same_for_every_week(counted, ever, youngest)
    return Passed({"young_known": known[0] / frauds[0], "settled_known": counted.sum() / ever.sum()})


def _same_for_every_week(counted: Any, ever: Any, youngest: timedelta) -> None:
    if youngest > timedelta(days=16):
        raise Incorrect(
            "The youngest payment that judges is over two weeks old: whatever happens, you are told a fortnight later.",
            "trend.py: after how many days have most reports come?",
        )
    share = (counted / np.maximum(ever, 1))[ever >= FEWEST]
    uneven = f"of the youngest week it counts {share[0]:.0%} of the frauds that will ever be reported, of the oldest {share[-1]:.0%}"
    if share.max() - share.min() > 0.12:
        if youngest < timedelta(days=3):
            raise Incorrect(
                f"Frauds of the last days still look genuine: {uneven}. Every quiet trend falls at its end.",
                "trend.py: who had the time to be reported?",
            )
        raise Incorrect(
            f"Older weeks had longer to be reported: {uneven}. The trend falls without any change.",
            "trend.py: a report counts for every week only if it came as soon",
        )
    if counted.sum() < 0.5 * ever.sum():
        raise Incorrect(f"It counts {counted.sum() / ever.sum():.0%} of the frauds.", "trend.py: how long may a report take?")


# ---- 3 when it could be known


def heard_in_time(at: Workplace) -> Passed:
    code = at.load("hear.py")
    draw = np.random.default_rng(13)
    false, delays = 0, []
    for stretch in range(QUIET):
        usual = (0.3, 0.4, 0.5)[stretch % 3]
        false += _heard(code, draw.random(STRETCH) < usual, usual) is not None
    for stretch in range(QUIET // 3):
        usual = (0.3, 0.4, 0.5)[stretch % 3]
        caught = draw.random(STRETCH) < np.where(np.arange(STRETCH) < CHANGES_AT, usual, usual / 3)
        place = _heard(code, caught, usual)
        if place is not None and (_heard(code, caught[: place + 1], usual) != place or _heard(code, caught[:place], usual) is not None):
            raise Incorrect(
                "It speaks of a place by what was reported after it: told the reports up to there alone, it says something else.",
                "hear.py: hindsight finds when it changed, not when you could have known",
            )
        delays.append(STRETCH if place is None else place - CHANGES_AT)
    if false > 0.1 * QUIET:
        raise Incorrect(
            f"It raises an alarm in {false} of {QUIET} quiet stretches of reports.",
            "hear.py: a test made for one look is looked at 300 times; how far does your statistic wander when nothing happens?",
        )
    delay = float(np.median([max(one, 0) for one in delays]))
    if delay > 80:
        raise Incorrect(
            f"The share fell to a third, and it takes {delay:.0f} reports to say so.",
            "hear.py: what was quiet for long must not weigh against what is new",
        )
    return Passed({"false_alarms": false / QUIET, "delay_reports": delay})


def known_when(at: Workplace) -> Passed:
    told = at.answers("when.toml", When)
    record = _record(at)
    if record.onset is None:
        raise NotStarted(f"Let the fraudsters change their tactics: `{INJECT}`.")
    hear = partial(_heard, at.load("hear.py"))
    found = record.heard(hear)
    if found is None:
        raise Incorrect("On the live reports your hear.py stays silent.", "`python when.py`; `lab traffic --days 7` brings more reports")
    when, needed = found
    if when < record.onset:
        raise Incorrect(f"Your hear.py speaks on {when:%Y-%m-%d}, before anything had changed.", "hear.py: what is enough evidence?")
    if told.known_on > when.date():
        raise Incorrect(
            f"You knew earlier: your hear.py speaks on {when:%Y-%m-%d}. Nobody has to wait for a week to settle.",
            "when.toml: known_on, against `python when.py`",
        )
    if told.known_on < when.date():
        raise Incorrect(
            f"On {told.known_on} the report that convinces your hear.py had not come: what counts is when a fraud was reported, not when "
            "it happened.",
            "when.toml: known_on, against `python when.py`",
        )
    missed, lost = record.missed(record.onset, when)
    if abs(told.reports_needed - needed) > 1:
        raise Incorrect(f"It took {needed} reports since the change.", "when.toml: reports_needed, against `python when.py`")
    if abs(told.lost_by_then_eur - lost) > 0.02 * lost + 1:
        raise Incorrect(
            f"By {when:%Y-%m-%d} the {missed} frauds let through had cost {lost:,.0f} EUR, as far as is known today.",
            "when.toml: lost_by_then_eur; `python when.py` again, if you sent payments since",
        )
    settled = record.missed(record.onset, record.onset + 2 * WEEK)[1]
    instant = record.heard(hear, at_once=True)
    days = [(one[0] - record.onset) / timedelta(days=1) for one in (found, instant) if one]
    figures = {"days_to_know": days[0], "reports_needed": needed, "lost_by_then": lost, "lost_settled": settled}
    return Passed(figures | ({"days_at_once": days[1]} if instant else {}))


# ---- 4 what declining hides


def estimate_corrected(at: Workplace) -> Passed:
    shop, counted = _shop(at), _asked(at, "estimate.py", "counted", 2)
    rows = shop.rows(0)
    fraud, weight = counted(rows)
    if (weight < 0).any() or not (fraud * weight).any():
        raise Incorrect("No payment counts as a fraud, or one stands for less than none.", "estimate.py: what it returns")
    said = np.mean([shop.estimate(shop.rows(draw), counted) for draw in range(DRAWS)], axis=0)
    naive = np.array(shop.estimate(rows, lambda rows: (rows["reported"], np.where(rows["decision"] == "decline", 0.0, 1.0))))
    bias, naive_bias = said / np.array(shop.truth) - 1, naive / np.array(shop.truth) - 1
    if (np.abs(bias) > BIAS).any():
        gone, spared = (rows["decision"] == "decline").to_numpy(), rows["held_out"].to_numpy()
        off = f"Recall is off by {bias[0]:+.0%}, precision by {bias[1]:+.0%}."
        if (weight[gone] > 0).any() and fraud[gone].mean() > 0.9:
            raise Incorrect(
                f"It takes the model's word for what the model declined. {off}", "estimate.py: who says that those were frauds?"
            )
        if (weight[gone] > 0).any():
            raise Incorrect(f"Nobody reported them, so it takes declined payments for genuine. {off}", "estimate.py: decision == decline")
        if weight[spared].mean() < 2:
            raise Incorrect(
                f"The payments let through at random stand for nobody but themselves. {off}",
                "estimate.py: of ten due to be declined about one was spared; whom does it stand for?",
            )
        raise Incorrect(off, "estimate.py, against `python measure.py`")
    return Passed(
        {"recall_true": shop.truth.recall, "recall_naive": naive_bias[0] * 100, "precision_naive": naive_bias[1] * 100}
        | {"ap_naive": naive_bias[2] * 100, "recall_corrected": bias[0] * 100, "ap_corrected": bias[2] * 100}
    )


# ---- 5 what declining teaches


def survivors_mended(at: Workplace) -> Passed:
    shop, learned = _shop(at), _asked(at, "learn.py", "learned", 3)
    rows = shop.rows(0)
    keep, fraud, weight = learned(rows)
    if (weight < 0).any() or not (keep * fraud * weight).any():
        raise Incorrect("It learns from no fraud, or from one with less than no weight.", "learn.py: what it returns")
    gone = (rows["decision"] == "decline").to_numpy() & (keep > 0)
    if fraud[gone].any():
        genuine = 1 - rows["reported"][rows["held_out"]].mean()
        raise Incorrect(
            f"It learns its own verdicts: declined is fraud, it says, and of those spared {genuine:.0%} were genuine.",
            "learn.py: the label of a payment that never happened",
        )
    reached = float(np.mean([shop.learn_again(shop.rows(draw), learned, draw) for draw in range(2)]))
    worth = f"The next model reaches {reached:.3f}; survivors alone give {shop.of_survivors:.3f}, everything {shop.of_all:.3f}."
    if not gone.any() and not keep[rows["held_out"]].any():
        raise Incorrect(f"It learns from survivors. {worth}", "learn.py: who of the riskiest payments has a label?")
    if reached < shop.of_unreported + REGAINED * (shop.of_all - shop.of_unreported):
        if gone.any():
            raise Incorrect(f"It learns that what the champion declined was genuine. {worth}", "learn.py: nobody could report those")
        raise Incorrect(worth, "learn.py, against `python again.py`")
    names = {"ap_all": shop.of_all, "ap_survivors": shop.of_survivors, "ap_unreported": shop.of_unreported, "ap_mended": reached}
    return Passed(names)


# ---- 6 what it is worth


def price_of_knowing(at: Workplace) -> Passed:
    told = at.answers("decision.toml", Decision)
    if at.unchanged("estimate.py"):
        raise NotStarted("Correct the estimate first: estimate.py.")
    shop, counted = _shop(at), _asked(at, "estimate.py", "counted", 2)
    shares = at.given("shop.py").SHARES
    price = shop.price(told.random_approve_share)
    if told.random_approve_share not in shares:
        raise Incorrect("That share is not in the table.", "decision.toml: one of `python price.py`")
    if abs(told.costs_per_thousand_eur - price) > 0.02 * price + 0.05:
        raise Incorrect(
            f"Letting {told.random_approve_share:.0%} through costs {price:.1f} EUR per thousand payments: genuine customers who are no "
            "longer declined count too.",
            "decision.toml: costs_per_thousand_eur, against `python price.py`",
        )
    spread = shop.spread(told.random_approve_share, counted)
    if not spread <= WANTED:  # a NaN, too
        raise Incorrect(
            f"With {told.random_approve_share:.0%} let through, recall is off by {spread:.1%} from month to month.", "`python price.py`"
        )
    smaller = [share for share in shares if share < told.random_approve_share]
    if smaller and shop.spread(smaller[-1], counted) <= WANTED:
        raise Incorrect(f"{smaller[-1]:.0%} let through would tell as much as was asked for, for less.", "`python price.py`")
    return Passed({"share": told.random_approve_share * 100, "price": price, "spread": spread * 100})


# ---- what they share


def _record(at: Workplace) -> Any:
    return _read(at.given("record.py"), at.settings)


@cache  # for one run: the engine loads this file anew for each
def _read(record: ModuleType, settings: Settings) -> Any:
    return record.read(settings)


def _shop(at: Workplace) -> Any:
    return at.given("shop.py").Shop(at.settings)


@cache
def _history(at: Workplace) -> tuple[pd.DataFrame, "pd.Series[Any]"]:
    """The payments of history, which were all let through, and when each was reported as a fraud, ever."""
    stream, never = at.stream, at.given("record.py").NEVER
    paid = stream.dataset.read("transactions", stream.first, stream.live)[["transaction_id", "event_time"]]
    labels = stream.dataset.read("labels", stream.first, stream.live)
    reports = labels[labels["is_fraud"]].groupby("transaction_id")["report_time"].min()
    return paid[["event_time"]], paid["transaction_id"].map(reports).fillna(never)


def _known(at: Workplace, today: datetime) -> tuple[pd.DataFrame, Any]:
    """The payments of the four weeks before a day with the reports that had come, and which of them are ever reported."""
    paid, reports = _history(at)
    now, never = pd.Timestamp(today), at.given("record.py").NEVER
    chosen = (paid["event_time"] < now) & (paid["event_time"] >= now - pd.Timedelta(days=28))
    rows = paid[chosen].assign(report_time=reports[chosen].where(reports[chosen] <= now, never)).reset_index(drop=True)
    return rows, (reports[chosen] < never).to_numpy()


def _everything(rows: pd.DataFrame, today: datetime) -> tuple[Any, Any]:
    """What a dashboard does that knows no delay."""
    return rows["event_time"] < pd.Timestamp(today), rows["report_time"] <= pd.Timestamp(today)


def _settled(rows: pd.DataFrame, today: datetime) -> tuple[Any, Any]:
    """What the product does (`pipelines/monitoring/performance.py`), with a label delay of seven days."""
    return rows["event_time"] <= pd.Timestamp(today) - WEEK, rows["report_time"] - rows["event_time"] <= WEEK


def _heard(code: Any, caught: Any, usual: float) -> int | None:
    place = code.call("hear", [bool(one) for one in caught], usual)
    if place is None:
        return None
    if not (isinstance(place, Integral) and 0 <= place < len(caught)):
        raise Incorrect(f"hear.py answers {place!r} to {len(caught)} reports.", "hear.py: a place from 0, or None")
    return int(place)


def _asked(at: Workplace, file: str, function: str, columns: int) -> Callable[..., list[Any]]:
    """The learner's function of a frame, which must answer so many columns of numbers or flags, one for each row."""
    code = at.load(file)

    def ask(rows: pd.DataFrame, *more: Any) -> list[Any]:
        answer = code.call(function, rows, *more)
        if not isinstance(answer, tuple | list) or len(answer) != columns:
            raise Incorrect(f"`{function}` is to return {columns} arrays.", f"{file}, as it was given")
        return [_numbers(one, len(rows), file) for one in answer]

    return ask


def _numbers(answer: Any, n: int, file: str) -> Any:
    try:
        numbers = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (n,) or not np.isfinite(numbers).all():
        raise Incorrect(f"{file} is to answer one number or flag for each of {n:,} payments.", f"{file}: the shape of what it returns")
    return numbers
