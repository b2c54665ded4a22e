"""The noise floor of a user's own quiet weeks: how far each detector strays when nothing is wrong, and what that leaves it to see.

Whole days are drawn anew (a bootstrap of clusters, Field and Welsh 2007, JRSS B 69), weekday for weekday, because payments
of a day share its weather, paydays and campaigns. Fourteen days make a reference, seven others a window; both come from the
same quiet span, so every alarm is a false one. Design effects measured on all days replace those guessed from a reference's
fourteen; while more windows alarm than the budget allows (one may be chance), the detectors behind it have their own raised.
`labs/watching.py` gives them to `watch`. Called by `lab drift calibrate`.

Drawn days have no order, so the detectors that remember are not drawn: their half of the budget is a guaranteed run length. The
champion learned from some of the days, on which its scores are surer than on the others: that widens the noise, never narrows it.
"""

import calendar
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from data.errors import EmptyWindow
from pipelines.metrics import exact_share
from pipelines.monitoring.column_tests import ColumnTest
from pipelines.monitoring.detectors import Detection
from pipelines.monitoring.portfolio import Examined, detections, examine, test_level
from pipelines.monitoring.profile import Profile, day_numbers, design_effect, fit_binning, watched_columns
from pipelines.monitoring.reference import Reference, WatchPlan, freeze_reference
from pipelines.monitoring.streams import alert_stream, caught_stream, first_alerts, known_stream
from pipelines.monitoring.volume_tests import repeats

FILE: Final = "drift_calibration.json"  # in the lab's folder
FEWEST_DAYS: Final = 28
REFERENCE_WEEKS: Final = 2
REFERENCES: Final = 8
RAISE: Final = 1.25  # factor on the design effect of a detector that alarmed too often
ROUNDS: Final = 5
PORTFOLIO: Final = "portfolio"

Alter = Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame]
Asked = Callable[[pd.DataFrame, pd.DataFrame, Sequence[ColumnTest]], bool]  # a window, its reference's rows, our tests of it -> drifted


def _dearer(frame: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    names = ("amount", "amount_to_card_mean", "amount_to_terminal_mean")
    return frame.assign(**{name: frame[name] * 1.25 for name in names if name in frame})


def _blank(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.assign(device_id=frame["device_id"].mask(rng.random(len(frame)) < 0.05))


def _cents(frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return frame.assign(amount=frame["amount"] * np.where(rng.random(len(frame)) < 0.01, 100.0, 1.0))


DRIFTS: Final[dict[str, Alter]] = {"amounts × 1.25": _dearer, "5 % lose their device": _blank, "1 % of amounts × 100": _cents}


@dataclass(frozen=True)
class Share:
    """So many windows of all alarmed."""

    alarms: int
    windows: int

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, exact."""
        _, low, high = exact_share(self.alarms, self.windows)
        return low, high

    def breaks(self, budget: float) -> bool:
        """Whether a monitor that alarms in `budget` of all windows is ruled out: the whole interval is above it."""
        return self.interval[0] > budget

    def __add__(self, alarmed: bool) -> "Share":
        return Share(self.alarms + alarmed, self.windows + 1)


@dataclass(frozen=True)
class Calibration:
    """What was measured, for whom, and the design effects that `watch` takes from it."""

    version: str  # of the champion whose scores and alerts are in it
    error_budget: float
    first: str
    last: str
    payments_per_window: int
    noise: dict[str, float]  # design effect by "detector:column"
    within_budget: bool  # whether the false alarms left to the portfolio's window tests are no more than the budget and chance explain
    quiet: dict[str, Share]  # false alarms by monitor
    power: dict[str, dict[str, Share]]  # by drift and monitor

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def save(self, home: Path) -> Path:
        """Where `noise_for` reads it; whole or not at all."""
        partial = home / f"{FILE}.new"
        partial.write_text(json.dumps(self.to_json(), indent=2) + "\n")
        return partial.replace(home / FILE)


def noise_for(home: Path, version: str) -> dict[str, float]:
    """The calibrated design effects for a champion; none where its scores were never calibrated."""
    file = home / FILE
    facts: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return dict(facts["noise"]) if facts.get("version") == version else {}


def calibrate(
    frame: pd.DataFrame,
    labels: pd.DataFrame,
    plan: WatchPlan,
    *,
    version: str,
    windows: int,
    seed: int,
    evidently: Mapping[str, Asked],
    evidently_windows: int,
) -> Calibration:
    """Measure on `frame`, quiet rows of whole days in the columns of a reference, and their `labels`.

    `evidently`: monitors to stand beside the portfolio, by name; asked of the first `evidently_windows` only, as they are slow.
    Raises EmptyWindow for fewer than four weeks, and without three of each weekday.
    """
    days = np.unique(day_numbers(frame["event_time"]))
    if len(days) < FEWEST_DAYS:
        raise EmptyWindow(
            f"{len(days)} quiet days before the first payment served are too few to calibrate on; {FEWEST_DAYS} are needed.",
            next_step="Begin with a longer history: LAB_WORLD_DAYS, or a file that goes further back.",
            where="history",
        )
    weekdays = np.bincount(days % 7, minlength=7)
    if weekdays.min() <= REFERENCE_WEEKS:
        name = calendar.day_name[int((weekdays.argmin() + 3) % 7)]  # 1970 began on a Thursday
        raise EmptyWindow(
            f"There are {weekdays.min()} quiet {name}s before the first payment served; calibration draws weeks of {REFERENCE_WEEKS + 1}.",
            next_step="Calibrate on a history that has payments on every day of the week.",
            where="history",
        )
    draws = _Draws(frame, labels, replace(plan, noise={}), seed)
    noise = measure_noise(frame, labels, draws.references[0], plan)
    for left in reversed(range(ROUNDS + 1)):
        quiet, loud = Share(0, 0), set[str]()
        for _, _, examined, said in draws.run(windows, replace(plan, noise=noise)):
            alarmed = _names(examined, said)
            loud |= alarmed
            quiet += bool(alarmed)
        within = not quiet.breaks(plan.error_budget)
        if not left or (within and quiet.alarms <= max(1, plan.error_budget * windows)):
            break
        noise |= {name: RAISE * noise.get(name, 1.0) for name in loud}
    calibrated = replace(plan, noise=noise)
    beside = draws.seen(evidently_windows, calibrated, evidently) | {PORTFOLIO: quiet}
    power = {name: draws.seen(evidently_windows, calibrated, evidently, alter) for name, alter in DRIFTS.items()}
    first, last = (frame["event_time"].iloc[k].date().isoformat() for k in (0, -1))
    per_window = round(len(frame) / len(days) * plan.window_days)
    return Calibration(version, plan.error_budget, first, last, per_window, noise, within, beside, power)


def measure_noise(frame: pd.DataFrame, labels: pd.DataFrame, reference: Reference, plan: WatchPlan) -> dict[str, float]:
    """Design effects of the columns, marks and streams over all days of the frame."""
    quantile, time = 1 - test_level(reference, plan) / 2, frame["event_time"]
    noise = {}
    for name in watched_columns(frame):
        binning = fit_binning(name, frame[name])
        days = Profile.of(binning.codes(frame[name]), time, binning.size).days
        noise[f"{'score' if binning.role == 'score' else 'inputs'}:{name}"] = design_effect(
            days, ordered=binning.ordered, quantile=quantile
        )
    marks = {"alert_rate:decision": first_alerts(frame), "volume:transaction_id": repeats(frame)}
    noise |= {k: design_effect(Profile.of_marks(m, time).days, ordered=False, quantile=quantile) for k, m in marks.items()}
    streams = {
        "alert_rate_stream:": alert_stream(frame),
        "caught_frauds:": caught_stream(frame, labels),
        "label_flow:": known_stream(frame, labels, plan.maturity_days),
    }
    return noise | {k: design_effect(s.days, ordered=False, quantile=0.95) for k, s in streams.items()}


class _Draws:
    """References and windows drawn from one quiet span; the same ones each time they are asked for."""

    def __init__(self, frame: pd.DataFrame, labels: pd.DataFrame, plan: WatchPlan, seed: int) -> None:
        self._seed, self._plan = seed, plan
        day = day_numbers(frame["event_time"])
        frame = frame.iloc[np.argsort(day, kind="stable")].reset_index(drop=True)
        numbers, starts = np.unique(np.sort(day), return_index=True)
        self._rows = {int(d): frame.iloc[a:b] for d, a, b in zip(numbers, starts, [*starts[1:], len(frame)], strict=True)}
        rng = np.random.default_rng(seed)
        self._chosen = [self._choose(rng) for _ in range(REFERENCES)]
        self.references = [freeze_reference(self._table(chosen), labels, plan) for chosen in self._chosen]

    def run(
        self, windows: int, plan: WatchPlan, alter: Alter | None = None
    ) -> Iterator[tuple[pd.DataFrame, Reference, Examined, tuple[Detection, ...]]]:
        """So many windows spread over the references, and what the tests of each say."""
        for reference, window, rng in self._windows(windows):
            rows = window if alter is None else alter(window, rng)
            start = datetime.fromisoformat("2026-01-05T00:00:00+00:00")  # any Monday: only the hours of the week count
            examined = examine(rows, reference, start=start, end=start + timedelta(days=7), plan=plan)
            yield rows, reference, examined, detections(examined, (), None, deployed=False, end=start)

    def seen(self, windows: int, plan: WatchPlan, evidently: Mapping[str, Asked], alter: Alter | None = None) -> dict[str, Share]:
        """In how many windows each monitor sees anything."""
        seen = dict.fromkeys((*evidently, PORTFOLIO), Share(0, 0))
        for rows, reference, examined, said in self.run(windows, plan, alter):
            for name, asks in evidently.items():
                seen[name] += asks(rows, reference.frame, examined.tests)
            seen[PORTFOLIO] += any(d.alarmed for d in said)
        return seen

    def _windows(self, windows: int) -> Iterator[tuple[Reference, pd.DataFrame, np.random.Generator]]:
        rng = np.random.default_rng(self._seed + 1)
        for k in range(windows):
            chosen = set(self._chosen[k % REFERENCES])
            left = [d for d in self._rows if d not in chosen]
            picked = [int(rng.choice([d for d in left if d % 7 == weekday])) for weekday in range(7)]
            yield self.references[k % REFERENCES], self._table(picked), rng

    def _choose(self, rng: np.random.Generator) -> list[int]:
        return [
            int(d) for weekday in range(7) for d in rng.choice([d for d in self._rows if d % 7 == weekday], REFERENCE_WEEKS, replace=False)
        ]

    def _table(self, days: Sequence[int]) -> pd.DataFrame:
        return pd.concat([self._rows[d] for d in days], ignore_index=True)


def _names(examined: Examined, said: Sequence[Detection]) -> set[str]:
    """The tests that alarmed, as `Pair.noise` names them."""
    moved = {f"{'score' if t.role == 'score' else 'inputs'}:{t.column}" for t in examined.moved}
    others: Mapping[str, Sequence[str]] = {d.detector: d.columns or (d.column,) for d in said if d.alarmed}
    return moved | {f"{name}:{c}" for name, columns in others.items() if name not in ("inputs", "score") for c in columns}
