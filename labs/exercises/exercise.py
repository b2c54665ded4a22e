"""One exercise: a scenario served on the virtual clock, looked at every week with the product's own eyes, and summed up.

outcome = run_exercise(SCENARIOS["mis_join"], deploy(world_source(WorldConfig(seed=7)), home), seed=7)
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Final

import pandas as pd

from data.scenarios import SCENARIOS, Action, Scenario
from labs.exercises.deployment import END, LIVE, ONSET, Deployment
from labs.exercises.outcome import (
    Alarm,
    CauseOutcome,
    ColumnOutcome,
    Damage,
    Expectation,
    MonitorOutcome,
    Outcome,
    Precision,
    Role,
    WindowOutcome,
)
from labs.exercises.serve import Served, serve
from pipelines.metrics import Interval
from pipelines.monitoring.detectors import DETECTORS, Detection, fired
from pipelines.monitoring.monitor import WindowResult, watch
from pipelines.monitoring.noise_floor import Share
from pipelines.monitoring.parity import compare

NO_ACTION: Final[frozenset[Action]] = frozenset({"ignore", "hold"})


def run_exercise(
    scenario: Scenario,
    deployment: Deployment,
    *,
    seed: int,
    strength: float | None = None,
    expected: Expectation | None = None,
    weeks: int = (END - ONSET) // 7,
) -> Outcome:
    """Inject `scenario` at ONSET, look every week, and judge what monitoring said and decided.

    `strength` and `expected` default to the scenario's own. Raises BadInput for a strength that makes no sense.
    """
    injection = scenario.inject(deployment.source.midnight(ONSET).date(), seed=seed, strength=strength)
    served = serve(deployment, injection, last=ONSET + 7 * weeks)
    quiet = _quiet_looks(deployment)
    after = [look(deployment, served, day) for day in range(ONSET + 7, ONSET + 7 * weeks + 1, 7)]
    expected = expected or Expectation(scenario.expected, scenario.must_fire, scenario.must_stay_silent)
    at = next((k for k, result in enumerate(after) if result.verdict.decision not in NO_ACTION), len(after) - 1)
    decisive = after[at]
    onset = pd.Timestamp(deployment.source.midnight(ONSET))
    return Outcome(
        scenario=scenario.name,
        catalogue_id=scenario.catalogue_id,
        seed=seed,
        strength=injection.scenario.strength,
        source=deployment.source.name,
        error_budget=deployment.plan.error_budget,
        truth=injection.truth(served.touched),
        first_transaction=str(served.log["transaction_id"][served.log["event_time"] >= onset].iloc[0]),
        monitors=_monitors(quiet, after, served, onset, expected),
        causes=next((_causes(result) for result in after if result.causes), ()),
        columns=_columns(decisive),
        windows=tuple(_window(result, served) for result in chain(quiet, after)),
        damage=_damage(after),
        decision=decisive.verdict.decision,
        decided_on=decisive.end.date(),
        evidence=decisive.verdict.changed,
        expected=expected,
    )


@lru_cache(maxsize=1)
def _quiet_looks(deployment: Deployment) -> tuple[WindowResult, ...]:
    """The windows before the onset, which are the same whatever is injected then."""
    nothing = SCENARIOS["none"].inject(deployment.source.midnight(ONSET).date(), seed=0)
    served = serve(deployment, nothing, last=ONSET + 1)
    return tuple(look(deployment, served, day) for day in range(LIVE + 7, ONSET + 1, 7))


def look(deployment: Deployment, served: Served, day: int) -> WindowResult:
    """What monitoring says at midnight before `day` of the source."""
    now, plan = deployment.source.midnight(day), deployment.plan
    time = served.log["event_time"]
    inside = ((time >= pd.Timestamp(now - timedelta(days=plan.window_days))) & (time < pd.Timestamp(now))).to_numpy()
    parity = compare(served.log["transaction_id"][inside], served.features[inside], served.recomputed[inside])
    return watch(served.log, deployment.reference, served.labels, now=now, plan=plan, parity=parity)


def _monitors(
    quiet: Sequence[WindowResult], after: Sequence[WindowResult], served: Served, onset: pd.Timestamp, expected: Expectation
) -> tuple[MonitorOutcome, ...]:
    """Every detector, and each single column that the expectation names."""
    single = [name for name in (*expected.must_fire, *expected.must_stay_silent) if name not in DETECTORS]
    outcomes = []
    for name in (*DETECTORS, *dict.fromkeys(single)):
        alarms = [_alarmed(name, result, since=onset.to_pydatetime()) for result in after]
        false = sum(_alarmed(name, result) is not None for result in quiet)
        first = next((k for k, detection in enumerate(alarms) if detection is not None), None)
        outcomes.append(
            MonitorOutcome(
                name=name,
                role=_role(name, expected),
                first_alarm=None if first is None else _alarm(alarms[first], first, served, onset),
                alarming_windows=sum(alarm is not None for alarm in alarms),
                quiet_windows=len(quiet),
                false_alarms=false,
                false_alarms_per_1000=per_thousand(false, len(quiet)),
            )
        )
    return tuple(outcomes)


def _alarmed(name: str, result: WindowResult, since: datetime | None = None) -> Detection | None:
    """The detection of that name if it alarmed in this window; a sequential alarm of an earlier time than `since` is an old one."""
    if name not in fired(result.detections):
        return None
    found = next(d for d in result.detections if d.detector == name.split(":")[0])
    old = since is not None and found.first_alarm is not None and found.first_alarm <= since
    return None if old else found


def _role(name: str, expected: Expectation) -> Role:
    if name in expected.must_fire:
        return "must fire"
    return "must stay silent" if name in expected.must_stay_silent else "may fire"


def _alarm(detection: Detection | None, window: int, served: Served, onset: pd.Timestamp) -> Alarm:
    assert detection is not None
    assert detection.first_alarm is not None
    now = pd.Timestamp(detection.first_alarm)
    time, labels = served.log["event_time"], served.labels
    frauds = labels["is_fraud"] & (labels["event_time"] >= onset) & (labels["report_time"] <= now)
    return Alarm(
        on=_day_looked_at(detection.first_alarm),
        payments=int(((time >= onset) & (time < now)).sum()),
        windows=window + 1,
        labelled_frauds=int(frauds.sum()),
        column=detection.column,
        effect=detection.effect,
    )


def _day_looked_at(moment: datetime) -> date:
    """A window that ends at midnight belongs to the day before."""
    return (moment - timedelta(microseconds=1)).date()


def _columns(result: WindowResult) -> tuple[ColumnOutcome, ...]:
    tests = sorted(result.tests, key=lambda t: (not t.drifted, -t.value))
    return tuple(ColumnOutcome(t.column, t.method, t.value, t.p_value, t.drifted) for t in tests)


def _causes(result: WindowResult) -> tuple[CauseOutcome, ...]:
    return tuple(CauseOutcome(c.column, c.what, c.effect, str(c.segment) if c.segment else None) for c in result.causes)


def _window(result: WindowResult, served: Served) -> WindowOutcome:
    names = fired(result.detections)
    alarms = (*(name for name in DETECTORS if name in names), *sorted(names.difference(DETECTORS)))
    return WindowOutcome(
        _day_looked_at(result.end), result.payments, alarms, result.verdict.decision, result.verdict.headline, _precision(result, served)
    )


def _precision(result: WindowResult, served: Served) -> Precision | None:
    if result.estimate is None:
        return None
    time = served.log["event_time"]
    inside = ((time >= pd.Timestamp(result.start)) & (time < pd.Timestamp(result.end))).to_numpy()
    alerts = inside & (served.log["decision"] != "approve").to_numpy()
    realised = float(served.frauds[alerts].mean()) if alerts.any() else None
    return Precision(result.estimate.precision, result.estimate.valid, realised, int(alerts.sum()))


def _damage(after: Sequence[WindowResult]) -> Damage | None:
    """What the last look knows, and since when labels told."""
    told = [result for result in after if result.damage is not None]
    if not told or told[-1].damage is None:
        return None
    lost = told[-1].damage
    return Damage(told[0].end.date(), lost.average_precision, lost.recall_at_capacity, lost.saved_per_thousand)


def per_thousand(alarms: int, windows: int) -> Interval:
    """Alarms per thousand windows with the exact 95 % interval."""
    low, high = Share(alarms, windows).interval
    return Interval(1000 * alarms / windows if windows else 0.0, 1000 * low, 1000 * high)
