"""Rollouts judged again from their log alone, in another process, and with a label feed that lies about the future.

python -m tests.bench.canary_replay FOLDER    # judge every log under FOLDER again, and print what was decided as digests
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from data.ledger import Ledger
from data.prediction_log import PredictionLog
from data.settings import REPOSITORY
from pipelines.rollout.controller import RolloutOutcome, run_rollout
from pipelines.rollout.evidence import LogEvidence
from pipelines.rollout.plan import RolloutPlan
from tests.logged_service import PLAN, POLICIES, LoggedService, two_versions
from tests.poisoned_future import PoisonedFuture
from tests.simulated_service import START, Faults, Model, SimulatedService

CHALLENGERS: Final = {
    "better": Model(recall=0.95),
    "worse": Model(recall=0.05),
    "fails on 1 %": Model(recall=0.95, fails=0.01),
    "scores x3": Model(score_factor=3.0),
}
COURSES: Final = {  # by the default plan, for the page
    "a better challenger": (Model(recall=0.75), Faults()),
    "one that misses more frauds": (Model(recall=0.1), Faults()),
    "one that begins to fail on 1 % in its canary": (Model(recall=0.75), Faults(breaks_after=4.5, broken=Model(recall=0.75, fails=0.01))),
    "scores three times as high": (Model(recall=0.45, score_factor=3.0), Faults()),
}


class Replayed(NamedTuple):
    """Judgements made twice: how many, and how many were the same."""

    rollouts: int
    judgements: int
    same: int


def from_log(rollouts: int) -> Replayed:
    """Rollouts over a log on disk, judged again by another process that has only the log."""
    with tempfile.TemporaryDirectory(prefix="canary-replay-") as folder:
        first = {name: _digests(_served(Path(folder) / name, CHALLENGERS[name])) for name in list(CHALLENGERS)[:rollouts]}
        environment = {**os.environ, "PYTHONHASHSEED": "11", "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", "tests.bench.canary_replay", folder]
        again = json.loads(subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout)
    pairs = [(one, again[name][place]) for name, every in first.items() for place, one in enumerate(every) if place < len(again[name])]
    longest = sum(max(len(every), len(again[name])) for name, every in first.items())
    return Replayed(len(first), longest, sum(one == other for one, other in pairs))


def with_poisoned_future(rollouts: int) -> Replayed:
    """Rollouts whose label feed calls every payment a fraud from the next second on, beside the same ones with an honest feed."""
    total = same = 0
    for name in list(CHALLENGERS)[:rollouts]:
        honest, lied = (
            _digests(_run(kind(two_versions(), Model(), CHALLENGERS[name], per_day=1_500))) for kind in (SimulatedService, PoisonedFuture)
        )
        total += max(len(honest), len(lied))
        same += sum(one == other for one, other in zip(honest, lied, strict=False))
    return Replayed(rollouts, total, same)


def courses() -> dict[str, RolloutOutcome]:
    """One rollout of each kind under the default plan."""
    return {
        name: _run(SimulatedService(two_versions(), Model(), challenger, faults=faults), RolloutPlan.load())
        for name, (challenger, faults) in COURSES.items()
    }


def _served(folder: Path, challenger: Model) -> RolloutOutcome:
    folder.mkdir()
    with closing(PredictionLog(folder / "predictions.db")) as log:
        service = LoggedService(log, two_versions(), challenger)
        return _run(service, evidence=LogEvidence(log.path, POLICIES))


def judge_again(folder: Path) -> RolloutOutcome:
    """The rollout of a log that somebody left behind; nothing is served."""
    service = SimulatedService(two_versions(), Model(), Model())
    return _run(service, evidence=LogEvidence(folder / "predictions.db", POLICIES), traffic=_nothing_more, notify=_tell_nobody)


def _run(service: SimulatedService, plan: RolloutPlan = PLAN, **how: Any) -> RolloutOutcome:
    with tempfile.TemporaryDirectory() as folder:
        ports: dict[str, Any] = {"registry": service.registry, "ledger": Ledger(Path(folder) / "ledger.jsonl"), "evidence": service}
        ports |= {"traffic": service.traffic, "notify": service.notify, "inspect": service.inspect, "at": START}
        return run_rollout(plan, **(ports | how))


def _nothing_more(until: datetime) -> datetime:
    return until


def _tell_nobody(_: object) -> None:
    """The service of a log is gone."""


def _digests(outcome: RolloutOutcome) -> list[str]:
    """One of each judgement, with all its numbers."""
    return [hashlib.sha256(json.dumps(one.to_json(), sort_keys=True).encode()).hexdigest() for one in outcome.judgements]


if __name__ == "__main__":
    folders = sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir())
    sys.stdout.write(json.dumps({folder.name: _digests(judge_again(folder)) for folder in folders}))
