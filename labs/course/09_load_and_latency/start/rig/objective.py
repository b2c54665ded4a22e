"""Locust with your slo.toml and the product's own load test, on a quiet service and on one that stands still for a moment:
`python -m rig.objective`."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from data.dataset import Dataset, to_table
from data.settings import REPOSITORY, Settings
from labs.stream import open_stream
from rig import Service, load, say, scoring, wait_for
from tests.load.summary import read_objective

SECONDS = 2.5
STALL_S = 0.4


@dataclass(frozen=True)
class Verdict:
    """How a run of tests/load/locustfile.py ended."""

    status: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    missed: list[str]


def judge(settings: Settings, service: Service, slo: Path, nth: int, *, stall: bool = False) -> Verdict:
    """SECONDS of payments at the file's rate, from the nth day of live payments; `stall`: on the way the service stands still."""
    _, arrivals = read_objective(slo)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stream = open_stream(settings, None, 0)
        day = stream.live + timedelta(days=nth)  # a payment that was answered before would be answered from the log
        Dataset(folder).write_day(day, {"transactions": to_table(stream.day(day).transactions, "transactions")})
        summary = folder / "summary.json"
        named = {
            "LAB_LOAD_DATASET": str(folder),
            "LAB_LOAD_DAY": day.isoformat(),
            "LAB_LOAD_REQUESTS": str(int(SECONDS * arrivals.rate_per_s)),
            "LAB_LOAD_OBJECTIVE": str(slo.absolute()),
            "LAB_LOAD_SUMMARY": str(summary),
        }
        command = [sys.executable, "-m", "locust", "-f", str(REPOSITORY / "tests" / "load" / "locustfile.py"), "--headless"]
        command += ["--host", service.url]
        answered = service.answered()
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env={**os.environ, **named}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            if stall:
                wait_for(lambda: service.answered() > answered + SECONDS / 3 * arrivals.rate_per_s, process)
                service.stop_for(STALL_S)
            status = process.wait(60)
        finally:
            process.kill()
        facts = json.loads(summary.read_text())
    return Verdict(status, facts["p50_ms"], facts["p95_ms"], facts["p99_ms"], facts["missed"])


def closed_p99(settings: Settings, service: Service) -> float:
    """The same stall, asked of four callers who wait for their answers: what they call the 99th percentile, in ms."""

    def stall() -> None:
        time.sleep(0.8)
        service.stop_for(STALL_S)

    [step] = load(settings, service.url, [{"users": 4, "seconds": 1.6}], 4, during=stall).steps
    return step.ms(99)


if __name__ == "__main__":
    settings = Settings.load()
    if not read_objective(Path("slo.toml"))[1].rate_per_s:
        sys.exit("Complete slo.toml first.")
    say("a scoring service, and Locust three times")
    with scoring(settings) as [service]:
        for title, stall in (("quiet", False), (f"stands still for {STALL_S:g} s", True)):
            verdict = judge(settings, service, Path("slo.toml"), int(stall), stall=stall)
            print(f"{title:<24} Locust's exit status {verdict.status}   p95 {verdict.p95_ms:.1f} ms   p99 {verdict.p99_ms:.1f} ms")
            print("".join(f"  missed: {what}\n" for what in verdict.missed), end="")
        print(f"the same stall by four callers who wait: p99 {closed_p99(settings, service):.1f} ms")
