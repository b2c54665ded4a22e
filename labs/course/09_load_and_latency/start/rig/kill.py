"""Two replicas behind the front, and one is killed under load: `python -m rig.kill`."""

import time
from dataclasses import dataclass
from pathlib import Path

from data.settings import Settings
from rig import front, load, say, scoring

RATE, SECONDS, KILL_S = 120.0, 2.5, 0.9


@dataclass(frozen=True)
class Killed:
    """What the callers noticed."""

    requests: int
    failed: int

    @property
    def error_ratio(self) -> float:
        return self.failed / max(1, self.requests)


def kill_one(settings: Settings, folder: Path) -> Killed:
    """A steady rate of payments, all let in, by the routing.py of a folder; the second replica is killed on the way."""
    with scoring(settings, 2) as replicas, front(settings, replicas, routing=folder / "routing.py") as service:

        def kill() -> None:
            time.sleep(KILL_S)
            replicas[1].kill()

        [step] = load(settings, service.url, [{"rate": RATE, "seconds": SECONDS}], 64, during=kill).steps
    return Killed(len(step.status), int((~step.answered).sum()))


if __name__ == "__main__":
    say("two scoring services and the front; one of the two is killed under load")
    found = kill_one(Settings.load(), Path.cwd())
    print(f"{found.requests} payments, one of two replicas killed: {found.failed} not answered ({found.error_ratio:.2%})")
