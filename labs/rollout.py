"""A rollout of the registered challenger over a running lab: the evidence of its log, its service, its traffic.

`lab rollout` and the demo both run one here; what they say of it is worded here too.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import datetime
from typing import NamedTuple

from data.errors import MissingFile
from data.ledger import Ledger
from data.prediction_frames import logged_span
from data.registry import CHAMPION, Registry
from data.settings import Settings
from data.tracking import Tracking
from labs.archive import readable_log
from labs.service import ask_serving, hand_over
from labs.versions import load_version
from pipelines.rollout.controller import RolloutOutcome, run_rollout
from pipelines.rollout.evidence import LogEvidence, trouble_of
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.preflight import inspector
from pipelines.rollout.record import EXPERIMENT, recorder
from pipelines.rollout.turns import TimelineEntry
from pipelines.rollout.watch import Traffic

REST_S = 1.0  # while the registry is away, and between two looks while an operator holds a rollout


class Promise(NamedTuple):
    """Something that must be so after a rollout, and what was found."""

    kept: bool
    promise: str
    found: str


def roll_out(
    settings: Settings,
    registry: Registry,
    ledger: Ledger,
    plan: RolloutPlan,
    versions: tuple[str, str],
    *,
    traffic: Traffic,
    at: datetime,
    tell: Callable[[TimelineEntry], None],
) -> RolloutOutcome:
    """Start a rollout, or go on with the open one. `versions`: champion and challenger. Raises what `run_rollout` raises."""

    def readable(until: datetime) -> datetime:
        reached = traffic(until)
        readable_log(settings)  # the judge looks next, and must miss nothing
        return reached

    with closing(Tracking.of(settings, EXPERIMENT)) as tracking:
        return run_rollout(
            plan,
            registry=registry,
            ledger=ledger,
            evidence=log_evidence(settings, registry, versions, lambda: trouble_of(ask_serving(settings), versions[1])),
            traffic=readable,
            notify=lambda serving: hand_over(settings, serving),
            inspect=inspector(registry.download, settings.home / "keys"),
            at=at,
            record=recorder(tracking, registry),
            rest=lambda: time.sleep(REST_S),
            tell=tell,
        )


def log_evidence(settings: Settings, registry: Registry, versions: tuple[str, str], trouble: Callable[[], str]) -> LogEvidence:
    """What the lab's log shows of champion and challenger, each decided at its own policy."""
    policies = {version: load_version(settings, registry, version).policy for version in versions}
    return LogEvidence(settings.log_place, policies, trouble)


def newest_moment(settings: Settings, ledger: Ledger) -> datetime:
    """The newest event time that the lab knows of: of a payment, of the ledger, or of the world's beginning."""
    known = [settings.start_time, *(datetime.fromisoformat(entry.at) for entry in ledger.entries()[-1:])]
    with suppress(MissingFile):  # nothing was ever served
        known += logged_span(readable_log(settings)) or ()
    return max(known)


def promises(settings: Settings, registry: Registry, outcome: RolloutOutcome, answered_by: str | None) -> Iterator[Promise]:
    """The service's own word and its answers must agree with the registry. `answered_by`: the version in the newest answer, if any."""
    version = outcome.champion_after
    champion, serving = str(registry.alias(CHAMPION)), str(ask_serving(settings)["champion"])
    yield Promise(champion == version, f"the registry names version {version} champion", f"version {champion}")
    yield Promise(serving == version, f"version {version} serves", f"version {serving}")
    if answered_by is not None:
        yield Promise(answered_by == version, f"its answers carry version {version}", f"version {answered_by}")


def headline(turn: TimelineEntry) -> str:
    """One turn in a line: when, where, and what was decided."""
    share = f" {turn.share:.0%}" if turn.stage == "canary" else ""
    by = f" by {turn.by}" if turn.by not in ("judge", "controller") else ""
    return f"{turn.at[:10]}, {turn.stage}{share}: {turn.verdict.replace('_', ' ')}{by}"


def is_verdict(turn: TimelineEntry) -> bool:
    """Whether the turn says something of its own: not a step's beginning, nor the end that the last verdict told."""
    return turn.verdict not in ("started", turn.stage)
