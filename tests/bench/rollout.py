"""What a rollout promises of its controller and of the service, measured: H5, H6 and H9 of the canary's goals.

python -m tests.bench rollout           # 200 rollbacks under load, 10^6 fuzzed answers, 500 kills: about five minutes
python -m tests.bench rollout --quick   # fewer rollbacks and kills: two minutes; too few kills to call H9 reached

It needs no lab and no MLflow; the service runs with a registry beside it, on ports of its own.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from tests.bench import rollout_fuzz, rollout_kills, rollout_speed
from tests.bench.drift_goals import Goal
from tests.bench.rollout_speed import percentile
from tests.bench.table import conclude, publish

FELT_MS, CRASH_S = 50.0, 1.0
OUTPUTS, KILLS = 1_000_000, 500
SEED = 7
T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the goals with what was measured; 0 when all are reached."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rollout", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rollbacks and kills; the goals stay")
    given = parser.parse_args(arguments)
    rollbacks, outputs, kills = (60, OUTPUTS, 100) if given.quick else (200, OUTPUTS, KILLS)
    facts: dict[str, Any] = {"quick": given.quick}
    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as folder:
        root = Path(folder)
        speed = _timed("rollbacks under load", lambda: rollout_speed.rollbacks(_folder(root / "speed"), rollbacks))
        crash = _timed("a crash under load", lambda: rollout_speed.crash(_folder(root / "crash")))
        fuzzed = _timed("fuzzed answers", lambda: rollout_fuzz.fuzz(outputs, SEED))
        killed = _timed("kills", lambda: rollout_kills.run(_folder(root / "kills"), kills, SEED))
    facts |= {"rollbacks": speed._asdict(), "crash": crash._asdict(), "fuzzed": fuzzed._asdict()}
    facts |= {"kills": [one._asdict() for one in killed if one.lies or one.result != one.wanted]}
    goals = [*speed_goals(speed, crash), fuzz_goal(fuzzed), kill_goal(killed)]
    rows: list[list[object]] = [[goal.name, goal.what, goal.target, goal.measured, goal.verdict] for goal in goals]
    columns = ["goal", "what", "target", "measured", ""]
    publish("rollout", "Controller and service", columns, rows, facts | {"goals": [asdict(goal) for goal in goals]})
    return conclude([f"{goal.name}: {goal.measured}, wanted {goal.target}" for goal in goals if goal.reached is False])


def speed_goals(speed: rollout_speed.Rollbacks, crash: rollout_speed.Crash) -> list[Goal]:
    """H5 in its parts."""
    p50, p99 = (percentile(speed.felt_ms, percent) for percent in (50, 99))
    handed_p50, handed_p99 = (percentile(speed.in_process_ms, percent) for percent in (50, 99))
    busy = f"machine load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
    failures, answers = speed.failures + crash.failures, speed.answers + crash.answers
    return [
        Goal(
            "H5",
            "verdict to the challenger's last answer, 200 payments/s",
            f"p99 ≤ {FELT_MS:.0f} ms",
            f"p99 {p99:.0f}, median {p50:.0f} ms over {len(speed.felt_ms)} rollbacks; {busy}",
            p99 <= FELT_MS,
        ),
        Goal(
            "H5",
            "the same in process, from the plan handed over",
            f"p99 ≤ {FELT_MS:.0f} ms",
            f"p99 {handed_p99:.0f}, median {handed_p50:.0f} ms; p99 of any answer meanwhile {speed.answer_p99_ms:.0f} ms",
            handed_p99 <= FELT_MS,
        ),
        Goal(
            "H5",
            "first failure of a crashed challenger to the last payment asked of it",
            f"≤ {CRASH_S:g} s",
            f"{crash.out_s:.2f} s, {crash.asked} payments, all answered by the champion",
            crash.out_s <= CRASH_S,
        ),
        Goal("H5", "requests of clients that failed meanwhile", "0", f"{failures} of {answers:,}", failures == 0),
    ]


def fuzz_goal(fuzzed: rollout_fuzz.Fuzzed) -> Goal:
    """H6; a fuzz in which nothing was poisoned would say nothing."""
    wrong = sum(fuzzed.bad.values())
    told = f"{wrong} of {fuzzed.outputs:,} ({fuzzed.poison:,} poisoned and {fuzzed.failures:,} failed scores of the challenger among them)"
    return Goal("H6", "fuzzed outputs that left and were no probability", "0 of 10^6", told, wrong == 0 and fuzzed.poison > 0)


def kill_goal(killed: Sequence[rollout_kills.Killed]) -> Goal:
    """H9: no lie, the right end, and a controller that goes on at once."""
    kills, slowest = sum(one.kills for one in killed), max(one.resume_s for one in killed)
    wrong = [one for one in killed if one.lies or one.result != one.wanted]
    told = f"{len(wrong)} of {len(killed)} rollouts with a lie, {kills} kills, slowest resume {slowest:.2f} s"
    what = "SIGKILL at random: two champions, lost lines, another end; resume"
    kept = not wrong and slowest <= rollout_kills.RESUME_LIMIT_S
    reached = kept if len(killed) >= KILLS or not kept else None
    return Goal("H9", what, f"0; ≤ {rollout_kills.RESUME_LIMIT_S:g} s", told, reached)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _timed(what: str, run: Callable[[], T]) -> T:
    began = time.monotonic()
    found = run()
    sys.stdout.write(f"{what}: {time.monotonic() - began:.0f} s\n")
    sys.stdout.flush()
    return found


if __name__ == "__main__":
    sys.exit(main())
