"""Locust on the running lab: the next payments at a fixed rate, and latency held against an objective.

Locust patches the process it runs in, so it gets one of its own. `lab load` and the demo call this.
"""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import TypeAdapter

from data.dataset import Dataset, Kind, to_table
from data.environment import DEFAULTS
from data.errors import StepFailed
from data.settings import REPOSITORY, Settings
from labs.report.facts import LatencyFacts
from labs.stream import Stream

REQUESTS: Final = 1_000  # enough for a p99 of ten answers
FOLDER: Final = "load"  # of LAB_HOME; Locust's workers on the stack read it, too
START_S: Final = 180.0  # for Locust and its workers to begin and to end
SLOWEST_PER_S: Final = 20.0  # payments: a service slower than that is not waited for


def run_load(settings: Settings, stream: Stream, day: date, *, skip: int = 0, requests: int = REQUESTS, workers: int = 1) -> LatencyFacts:
    """Send `requests` payments from `day` on, after its first `skip`; with several workers, as Locust's master, who waits for them.

    Raises StepFailed when Locust itself failed, and what `Stream.day` raises; a missed objective is in the answer.
    """
    folder = settings.home / FOLDER
    _write_payments(folder, stream, day, skip, requests)
    summary = folder / "summary.json"
    command = [sys.executable, "-m", "locust", "-f", str(REPOSITORY / "tests" / "load" / "locustfile.py"), "--headless"]
    command += ["--host", settings.scoring_url]
    command += ["--master", "--expect-workers", str(workers), "--expect-workers-max-wait", str(round(START_S))] if workers > 1 else []
    environment = {
        **DEFAULTS,
        **os.environ,
        "LAB_LOAD_DATASET": str(folder),
        "LAB_LOAD_WORKERS": str(workers),
        "LAB_LOAD_SUMMARY": str(summary),
    }
    patience_s = START_S + requests / SLOWEST_PER_S
    last = f"nothing within {patience_s:.0f} s"
    with suppress(subprocess.TimeoutExpired):
        ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=patience_s, check=False)
        last = " ".join((ran.stderr.strip() or ran.stdout.strip()).splitlines()[-1:])
    if not summary.exists():
        raise StepFailed(f"Locust did not finish: {last}.", next_step="See whether the service is up: `lab status`.", where="load")
    facts = json.loads(summary.read_text())
    return TypeAdapter(LatencyFacts).validate_python({name: facts[name] for name in LatencyFacts.__annotations__})


def _write_payments(folder: Path, stream: Stream, day: date, skip: int, requests: int) -> None:
    """A dataset of exactly these payments, and the labels of their days."""
    shutil.rmtree(folder, ignore_errors=True)
    dataset = Dataset(folder)
    while requests > 0 and (stream.end is None or day < stream.end):
        live = stream.day(day)
        payments: pd.DataFrame = live.transactions.iloc[skip : skip + requests]
        tables: dict[Kind, Any] = {"transactions": to_table(payments, "transactions"), "labels": to_table(live.labels, "labels")}
        dataset.write_day(day, tables)
        skip, requests, day = 0, requests - len(payments), day + timedelta(days=1)
