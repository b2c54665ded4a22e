"""The reference of a champion that a rollout brought: what it was tried on, and not the weeks that it learned from.

And what is said when Evidently's report of a window could not be made.
"""

import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from data.costs import Policy
from data.dataset import Dataset
from data.errors import EmptyWindow, StepFailed
from data.ledger import Ledger
from data.prediction_log import PredictionLog
from data.settings import Settings
from labs.watching import EvidentlyJob, Watcher, tried_on
from tests.records import START, record

MINUTES_A_DAY = 1_440
PROMOTED = START + timedelta(days=9)
VERSION_2: Any = SimpleNamespace(version="2", policy=Policy(review_at=0.5, decline_at=0.9))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A log whose third to ninth day version 2 scored beside version 3, failing on the first of these payments, and its promotion."""
    tried = {"challenger_version": "2", "challenger_score": 0.6}
    minutes = range(0, 10 * MINUTES_A_DAY, 60)
    with closing(PredictionLog(tmp_path / "predictions.db")) as log:
        log.append([record(m, **tried) if 2 * MINUTES_A_DAY < m < 9 * MINUTES_A_DAY else record(m) for m in minutes])
    action = {"kind": "promote", "serving": {"champion": "2"}}
    Ledger(tmp_path / "ledger.jsonl").record("intent", {"rollout_id": "r", "action": action}, PROMOTED)
    return Settings(home=tmp_path)


def test_it_is_what_the_challenger_said_of_every_payment_at_its_own_policy(settings: Settings) -> None:
    tried = tried_on(settings.home / "predictions.db", VERSION_2, PROMOTED)
    assert tried is not None
    assert len(tried) == 7 * 24 - 1
    assert tried["event_time"].min() > START + timedelta(days=2)
    assert set(tried["score"]) == {0.6} and set(tried["decision"]) == {"review"} and set(tried["champion_version"]) == {"2"}
    before = tried_on(settings.home / "predictions.db", VERSION_2, START + timedelta(days=4))
    assert before is not None and before["event_time"].max() < START + timedelta(days=4)
    never: Any = SimpleNamespace(version="7", policy=VERSION_2.policy)
    assert tried_on(settings.home / "predictions.db", never, PROMOTED) is None


@pytest.mark.parametrize("hours", [1, 23, 24 * 6])
def test_until_a_week_of_its_own_has_matured_nothing_is_said_of_it_but_when(settings: Settings, hours: int) -> None:
    with pytest.raises(EmptyWindow, match=r"Version 2 answers since 2026-03-11.*check again from 2026-03-18 01:00"):
        Watcher.at_work(settings, Dataset(settings.home), VERSION_2, live=START, now=PROMOTED + timedelta(hours=hours))
    assert datetime(2026, 3, 18, 1, tzinfo=UTC) == START + timedelta(days=2, hours=1 + 7 * 24 * 2)


def test_a_report_that_could_not_be_made_says_why_and_what_to_do(tmp_path: Path) -> None:
    table = tmp_path / "current.parquet"
    table.touch()
    process = subprocess.Popen([sys.executable, "-c", "raise SystemExit('No disk.')"], stderr=subprocess.PIPE, text=True)
    with pytest.raises(StepFailed) as failed:
        EvidentlyJob(process, tmp_path / "report.json", (table,)).result()
    assert failed.value.message == "Evidently's report could not be made. It said: No disk."
    assert "`lab drift check`" in failed.value.next_step
    assert not table.exists()
