"""Locust, with steps: each a number of callers who wait for their answer, or a rate of arrivals that waits for nobody.

    locust -f rig/load.py --headless -u USERS -r USERS --host URL      (`rig.load` runs it)

L09_STEPS is a JSON list of steps: seconds, and `users` (closed loop) or `rate` per second (open loop), and `batch`, the payments of
a request; `times` in place of a rate is a multiple of what the first step got answered. An open loop's latency counts from the moment
the request was due, so that a service which stalls cannot hide it by slowing its callers down ("coordinated omission", Tene).

L09_PAYMENTS is a file of payments, one a line, around the place of the id. L09_BEGUN is made when the steps begin; L09_OUT at the end:
for each request its step, when it was due, how long it took, its status, and whether it was told when to come back; Locust's own CPU.
"""

import itertools
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, events, task
from locust.exception import StopUser

JSON = {"Content-Type": "application/json"}
STEPS: list[dict[str, Any]] = json.loads(os.environ["L09_STEPS"])
PAYMENTS = [line.split('"@"') for line in Path(os.environ["L09_PAYMENTS"]).read_text().splitlines()]  # around the id
IDS = f"{os.getpid()}_{time.time_ns():x}_"
SETTLE_S = 0.3  # until everybody is connected


class Steps:
    """Who is to send what when; one object for all users."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, float, int, bool]] = []
        self.payments = itertools.count()
        self.users = itertools.count()
        self.ends = list(itertools.accumulate(step["seconds"] for step in STEPS))
        self.slots = ((i, due) for i, step in enumerate(STEPS) if "users" not in step for due in self.dues(i))
        self.open_from = self.ends[0] if "users" in STEPS[0] else 0.0
        self.began = time.perf_counter() + SETTLE_S
        self.cpu_s = time.process_time()

    def dues(self, i: int) -> Iterator[float]:
        """When the requests of an open step are due."""
        step = STEPS[i]
        rate = step["rate"] if "rate" in step else step["times"] * sum(row[0] == 0 and row[3] == 200 for row in self.rows) / self.ends[0]
        return (self.ends[i] - step["seconds"] + n / rate for n in range(int(step["seconds"] * rate)))

    def now(self) -> float:
        return time.perf_counter() - self.began

    def request(self, batch: int) -> tuple[str, str]:
        """Path and body of the next request: payments that nobody sent before."""
        told = []
        for n in itertools.islice(self.payments, batch):
            before, after = PAYMENTS[n % len(PAYMENTS)]
            told.append(f'{before}"{IDS}{n}"{after}')
        return ("/v1/score", told[0]) if batch == 1 else ("/v1/score/batch", f'{{"transactions":[{",".join(told)}]}}')

    def next(self, user: int) -> tuple[int, float] | None:
        """The step and the moment of this user's next request; None when there is none any more."""
        now = self.now()
        for i, step in enumerate(STEPS):
            if "users" in step and now < self.ends[i] and user < step["users"]:
                return i, max(now, self.ends[i] - step["seconds"])
        gevent.sleep(max(0.0, self.open_from - now))
        return next(self.slots, None)


_steps: Steps


@events.test_start.add_listener
def begin(**_: Any) -> None:
    global _steps
    _steps = Steps()
    Path(os.environ["L09_BEGUN"]).touch()


@events.test_start.add_listener
def finish(environment: Any, **_: Any) -> None:
    """Quit once every user has nothing left to send."""

    def wait() -> None:
        gevent.sleep(SETTLE_S + _steps.ends[-1])
        while environment.runner.user_count:
            gevent.sleep(0.05)
        environment.runner.quit()

    gevent.spawn(wait)


@events.quitting.add_listener
def write(environment: Any, **_: Any) -> None:
    Path(os.environ["L09_OUT"]).write_text(json.dumps({"rows": _steps.rows, "cpu_s": time.process_time() - _steps.cpu_s}))
    environment.process_exit_code = 0


class Caller(FastHttpUser):
    """One connection."""

    connection_timeout = network_timeout = 20.0

    def on_start(self) -> None:
        self.number = next(_steps.users)

    @task
    def pay(self) -> None:
        taken = _steps.next(self.number)
        if taken is None:
            raise StopUser
        step, due = taken
        path, body = _steps.request(STEPS[step].get("batch", 1))
        gevent.sleep(max(0.0, due - _steps.now()))
        with self.client.post(path, data=body, headers=JSON, catch_response=True) as answer:
            answer.success()  # judged afterwards
        _steps.rows.append((step, due, _steps.now() - due, answer.status_code, "retry-after" in (answer.headers or {})))
