"""What a rollout looks at: payments as both models saw them, and what was reported of them. Read from the prediction log.

The judge is a pure function of these values, so a rollout can be judged again from the log alone, on another machine, with
the same verdicts. Tests build the same values by hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from data.costs import Policy
from data.log_database import LogPlace
from data.rules import rule_severity

if TYPE_CHECKING:
    import pandas as pd

APPROVE, REVIEW, DECLINE = 0, 1, 2  # decisions as numbers, the order of strictness
_CODES: Final = {"approve": APPROVE, "review": REVIEW, "decline": DECLINE}


@dataclass(frozen=True)
class Served:
    """Answered payments in order of arrival: one array per fact, all of length n.

    Both models score every payment of a shadow or canary. A NaN score means that the model failed on this payment.
    """

    transaction_id: NDArray[np.object_]
    card_id: NDArray[np.object_]
    event_time_s: NDArray[np.int64]
    amount: NDArray[np.float64]  # EUR
    rollout_id: NDArray[np.object_]
    epoch: NDArray[np.int64]  # of the serving plan that answered
    champion_version: NDArray[np.object_]
    challenger_version: NDArray[np.object_]
    by_challenger: NDArray[np.bool_]  # the arm that answered
    champion_score: NDArray[np.float64]  # calibrated
    challenger_score: NDArray[np.float64]
    champion_decision: NDArray[np.int8]  # each at its own policy, and never milder than the rules
    challenger_decision: NDArray[np.int8]
    decision: NDArray[np.int8]  # what was answered
    latency_ms: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.card_id)

    def where(self, chosen: NDArray[np.bool_]) -> "Served":
        """The payments with True in `chosen`, shape (n,)."""
        return Served(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


@dataclass(frozen=True)
class Reports:
    """Labels by time of report, arrays of length m."""

    transaction_id: NDArray[np.object_]
    report_time_s: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]


@dataclass(frozen=True)
class Evidence:
    """What is new since the last look."""

    now: datetime  # event time
    fresh: Served  # answered since
    settled: Served  # older payments that reached the age at which they are judged
    settled_fraud: NDArray[np.bool_]  # (len(settled),): reported as fraud by that age
    newest_report: datetime | None = None
    trouble: str = ""  # the service took the challenger out by itself; its reason


class EvidenceSource(Protocol):
    """Where a rollout's evidence comes from."""

    def served(self, start: datetime, end: datetime) -> Served:
        """Payments of [start, end) in event time."""
        ...

    def reports(self, known_by: datetime) -> Reports:
        """Labels reported by then."""
        ...

    def trouble(self) -> str:
        """Why the service took the challenger out by itself; empty while it did not."""
        ...


def settled_frauds(settled: Served, reports: Reports, maturity_s: int) -> NDArray[np.bool_]:
    """Whether each payment was reported as fraud by the age of `maturity_s`; shape (n,).

    A fixed age makes the answer independent of when one looks, and uses no label before its time.
    """
    frauds = zip(reports.transaction_id[reports.is_fraud], reports.report_time_s[reports.is_fraud], strict=True)
    first: dict[Any, int] = {}
    for transaction, time in frauds:
        first[transaction] = min(time, first.get(transaction, time))
    never = np.iinfo(np.int64).max
    times = np.array([first.get(transaction, never) for transaction in settled.transaction_id], dtype=np.int64)
    return times <= settled.event_time_s + maturity_s


class LogEvidence:
    """Evidence out of the scoring service's prediction log (an EvidenceSource)."""

    def __init__(self, log: LogPlace, policies: Mapping[str, Policy], trouble: Callable[[], str] = lambda: "") -> None:
        """`policies`: version -> its bundle's policy, for champion and challenger; `trouble` asks the service (see `trouble_of`)."""
        self._log = log
        self._policies = policies
        self._trouble = trouble

    def served(self, start: datetime, end: datetime) -> Served:
        from data.prediction_frames import window

        return to_served(*window(self._log, start, end), self._policies)

    def reports(self, known_by: datetime) -> Reports:
        from data.prediction_frames import labels_frame

        frame = labels_frame(self._log, known_by)
        return Reports(frame["transaction_id"].to_numpy(object), _seconds(frame["report_time"]), frame["is_fraud"].to_numpy(bool))

    def trouble(self) -> str:
        return self._trouble()


def trouble_of(serving: Mapping[str, Any], version: str) -> str:
    """What GET /v1/serving says of a challenger that the service refused to load or no longer uses; empty when it is fine."""
    for what in ("refused", "benched"):
        if version in serving.get(what, {}):
            return f"{what}: {serving[what][version]}"
    return ""


def to_served(frame: "pd.DataFrame", matrix: NDArray[np.float64], policies: Mapping[str, Policy]) -> Served:
    """A window of the prediction log, frame and features (n, FEATURE_COUNT), with what each model would have decided alone."""
    version = {arm: frame[f"{arm}_version"].astype(object).fillna("").to_numpy(object) for arm in ("champion", "challenger")}
    score = {arm: frame[f"{arm}_score"].to_numpy(np.float64) for arm in ("champion", "challenger")}
    rules = rule_severity(matrix)
    own = {arm: np.maximum(_decide(score[arm], version[arm], policies), rules) for arm in ("champion", "challenger")}
    return Served(
        transaction_id=frame["transaction_id"].to_numpy(object),
        card_id=frame["card_id"].astype(object).to_numpy(object),
        event_time_s=_seconds(frame["event_time"]),
        amount=frame["amount_minor"].to_numpy(np.float64) / 100,
        rollout_id=frame["rollout_id"].astype(object).to_numpy(object),
        epoch=frame["epoch"].to_numpy(np.int64),
        champion_version=version["champion"],
        challenger_version=version["challenger"],
        by_challenger=(frame["arm"].astype(object) == "challenger").to_numpy(bool),
        champion_score=score["champion"],
        challenger_score=score["challenger"],
        champion_decision=own["champion"],
        challenger_decision=own["challenger"],
        decision=np.array([_CODES[answer] for answer in frame["decision"]], dtype=np.int8),
        latency_ms=frame["latency_us"].to_numpy(np.float64) / 1000,
    )


def _decide(score: NDArray[np.float64], version: NDArray[np.object_], policies: Mapping[str, Policy]) -> NDArray[np.int8]:
    """Decisions at each row's own policy; a missing score approves, as a missing model would. Shape (n,)."""
    decision = np.zeros(len(score), dtype=np.int8)
    for name, policy in policies.items():
        rows = version == name
        decision[rows] = policy.severities(score[rows])
    return decision


def _seconds(times: "pd.Series[Any]") -> NDArray[np.int64]:
    return times.to_numpy("datetime64[s]").astype(np.int64)
