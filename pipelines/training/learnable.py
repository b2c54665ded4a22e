"""May these served payments be learned from? Refuses rows that a broken pipeline spoilt and labels that did not arrive.

A training on such rows succeeds, passes its own tests on more such rows, and is wrong in production; so each fault is an
error of its own, with the next step. Pure functions of frames; called by `train` before a retraining.
"""

from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import pandas as pd

from data.errors import LabelsMissing, PoisonedRows
from pipelines.monitoring.column_tests import ERROR_BUDGET
from pipelines.monitoring.fault_tests import Pair, Usual, clock_finding, null_findings, unit_finding
from pipelines.monitoring.profile import HOUR_MS, Mask, day_numbers, milliseconds, season_of
from pipelines.monitoring.value_tests import Values, spike_findings
from pipelines.monitoring.window_checks import MINIMUM_ROWS, Finding

SLICE: Final = timedelta(days=7)  # rows are checked week by week: a fault of three days shows in one, not in eight
FEED_DAYS, USUAL_DAYS = 3, 28  # the newest days, which must not be silent, and those that say how loud is usual
FEWEST: Final = 15.0  # labels expected: fewer prove nothing
SILENT: Final = 0.25  # of the labels expected
BLOCKED: Final = 0.10  # of the frauds that the scores of reviewed payments promise; new tactics leave more than that
FEWER: Final = 0.75  # of the usual frauds at all: a tactic that escapes the model is still reported
TESTS: Final = 5  # per slice: nulls in two columns, units, a repeated value, the clock


def check_rows(served: pd.DataFrame, before: pd.DataFrame) -> None:
    """Raise PoisonedRows when a week of the rows `served` looks broken beside the payments `before` they were.

    Both are TRANSACTION_COLUMNS or more.
    """
    reference = _measured(before)
    usual, values, days = Usual.of(reference), Values.of(reference), np.unique(day_numbers(reference["event_time"]))
    for start, rows in _slices(_measured(served)):
        if len(rows) < MINIMUM_ROWS:
            continue
        end = start + SLICE
        pair = Pair(rows, reference, season_of(days, start, end), ERROR_BUDGET / TESTS, usual)
        found = [*null_findings(pair), *unit_finding(pair), *spike_findings(pair, values, _moved(pair)), *_clock(pair)]
        faults = [finding for finding in found if finding.is_fault]
        if faults:
            raise _poisoned(faults[0], start.date())


def check_labels_arrive(reported: pd.Series, cut: datetime) -> None:
    """Raise LabelsMissing when reports of fraud stopped before the `cut`. `reported`: when each known one came, (n,)."""
    age = (pd.Timestamp(cut) - reported).dt.total_seconds().to_numpy() / 86_400
    usual = float(((age >= FEED_DAYS) & (age < FEED_DAYS + USUAL_DAYS)).sum()) / USUAL_DAYS * FEED_DAYS
    fresh = int(((age >= 0) & (age < FEED_DAYS)).sum())
    if usual >= FEWEST and fresh < SILENT * usual:
        raise LabelsMissing(
            f"Reports of fraud have stopped: {fresh} came in the last {FEED_DAYS} days, where {usual:.0f} are usual.",
            next_step="Mend the label feed, wait until what it missed has been delivered, then train again.",
            where="labels",
        )


def check_labels_cover(served: pd.DataFrame, fraud: Mask, usual_share: float) -> None:
    """Raise LabelsMissing when a week of settled rows, or those that were alerted, have far fewer known frauds than usual.

    `served`: rows old enough to be labelled, with `score` and `decision`; `fraud` (n,): which are known as frauds;
    `usual_share`: of frauds in the payments before.
    """
    reviewed = (served["decision"] == "review").to_numpy()
    promised, told = float(served["score"].to_numpy(dtype=np.float64)[reviewed].sum()), int(fraud[reviewed].sum())
    usual = usual_share * len(served)
    if promised >= FEWEST and told < BLOCKED * promised and SILENT * usual <= fraud.sum() < FEWER * usual:
        raise LabelsMissing(
            f"Of the payments that were reviewed, {told} are known as frauds, where their scores promised {promised:.0f}: what is blocked "
            "is never reported.",
            next_step="Let a random part of it through (LAB_RANDOM_APPROVE_SHARE), and learn from that part.",
            where="labels",
        )
    for start, rows in _slices(served.assign(fraud=fraud)):
        expected, known = usual_share * len(rows), int(rows["fraud"].sum())
        if expected >= FEWEST and known < SILENT * expected:
            raise LabelsMissing(
                f"The payments of {start:%Y-%m-%d} and the six days after it have {known} known frauds, where {expected:.0f} were to "
                "be expected.",
                next_step="Their labels are late: train again when they have come (`lab drift check` says how labels flow).",
                where="labels",
            )


def _measured(frame: pd.DataFrame) -> pd.DataFrame:
    """With the amount in EUR and the hour of the day, as the tests read them."""
    hour = milliseconds(frame["event_time"]) % (24 * HOUR_MS) / HOUR_MS
    return frame.assign(amount=frame["amount_minor"].to_numpy(dtype=np.float64) / 100, hour=hour)


def _slices(frame: pd.DataFrame) -> list[tuple[datetime, pd.DataFrame]]:
    """The rows in whole weeks, counted back from the last one, each with its first moment."""
    if len(frame) == 0:
        return []
    end = frame["event_time"].max().floor("D") + pd.Timedelta(days=1)
    weeks = int(np.ceil((end - frame["event_time"].min()) / pd.Timedelta(SLICE)))
    starts = [end - (week + 1) * pd.Timedelta(SLICE) for week in reversed(range(weeks))]
    time = frame["event_time"]
    return [(start.to_pydatetime(), frame[((time >= start) & (time < start + SLICE)).to_numpy()]) for start in starts]


def _moved(pair: Pair) -> dict[str, float]:
    """How far the amounts as a whole moved: the largest gap between the two distribution functions."""
    now, before = (np.sort(frame["amount"].to_numpy(dtype=np.float64)) for frame in (pair.current, pair.reference))
    at = np.concatenate([now, before])
    gaps = np.searchsorted(now, at, side="right") / len(now) - np.searchsorted(before, at, side="right") / len(before)
    return {"amount": float(np.abs(gaps).max())}


def _clock(pair: Pair) -> list[Finding]:
    edges = np.arange(25.0)
    now, before = np.histogram(pair.current["hour"], edges)[0], np.histogram(pair.reference["hour"], edges, weights=pair.weights)[0]
    return clock_finding(pair, now.astype(np.float64), before.astype(np.float64))


def _poisoned(fault: Finding, start: date) -> PoisonedRows:
    return PoisonedRows(
        f"Payments served in the week from {start} look broken, and no known fault window covers them. {fault.message}",
        next_step="`lab drift check` puts the window on record; train again, and its rows are left out.",
        where=fault.column,
    )
