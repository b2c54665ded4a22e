"""Locust on one live day: the demo's latency figures against the objective of tests/load/slo.toml.

Locust patches the process it runs in, so it gets one of its own.
"""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from data.dataset import Dataset, Kind, to_table
from data.environment import DEFAULTS
from data.errors import StepFailed
from data.settings import REPOSITORY, Settings
from labs.report.facts import LatencyFacts
from labs.stream import Stream

REQUESTS = 1_000  # enough for a p99 of ten answers
TIMEOUT_S = 180.0


def run_load(settings: Settings, stream: Stream, day: date, *, skip: int = 0) -> LatencyFacts:
    """Send REQUESTS payments of `day`, after its first `skip`.

    Raises StepFailed when Locust itself failed; a missed objective is in the answer.
    """
    folder = settings.home / "load"
    live = stream.day(day)
    payments = live.transactions.iloc[skip:]
    tables: dict[Kind, Any] = {"transactions": to_table(payments, "transactions"), "labels": to_table(live.labels, "labels")}
    Dataset(folder).write_day(day, tables)
    summary = folder / "summary.json"
    summary.unlink(missing_ok=True)
    command = [sys.executable, "-m", "locust", "-f", str(REPOSITORY / "tests" / "load" / "locustfile.py"), "--headless"]
    command += ["--host", settings.scoring_url]
    environment = {
        **DEFAULTS,
        **os.environ,
        "LAB_LOAD_DATASET": str(folder),
        "LAB_LOAD_DAY": day.isoformat(),
        "LAB_LOAD_REQUESTS": str(REQUESTS),
        "LAB_LOAD_SUMMARY": str(summary),
    }
    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if not summary.exists():
        last = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-1:]
        raise StepFailed(f"Locust did not finish: {last}", next_step="See whether the service is up: `lab status`.", where="load")
    return _read(summary)


def _read(file: Path) -> LatencyFacts:
    facts = json.loads(file.read_text())
    return TypeAdapter(LatencyFacts).validate_python({name: facts[name] for name in LatencyFacts.__annotations__})
