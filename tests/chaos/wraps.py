"""The few faults that happen inside a process and have no system call: functions of the product, wrapped before it starts.

    python -m tests.chaos.wraps challenger-raises clock=-3600

runs the scoring process with those of the table in place. A test that uses one must see its effect from outside.
"""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import reduce
from importlib import import_module
from typing import Any

from services.scoring.__main__ import main

FAULTY_VERSION = "4"
HEALTHY_CALLS = 20  # before a fault shows: it was well when it was promoted

Wrap = Callable[[Callable[..., Any], str], Callable[..., Any]]


def challenger_raises(score: Callable[..., Any], _: str) -> Callable[..., Any]:
    """The scores of FAULTY_VERSION end in an error."""
    calls = 0

    def faulty(model: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += model.version == FAULTY_VERSION
        if calls > HEALTHY_CALLS and model.version == FAULTY_VERSION:
            raise RuntimeError("broken on purpose")
        return score(model, *arguments)

    return faulty


def clock(now: Callable[..., Any], seconds: str) -> Callable[..., Any]:
    """The machine's clock is wrong by so many seconds."""

    def wrong(*arguments: Any) -> Any:
        moment = now(*arguments)
        return moment + (timedelta(seconds=float(seconds)) if isinstance(moment, datetime) else float(seconds))

    return wrong


# Where each fault takes hold: (module, function in it) of each place, and the wrap. Change it when a name of the product moves.
WRAPS: dict[str, tuple[tuple[tuple[str, str], ...], Wrap]] = {
    "challenger-raises": ((("data.bundle", "Model.score"), ("data.bundle", "Model.score_many")), challenger_raises),
    "clock": ((("data.clock", "SystemClock.now"), ("time", "time")), clock),
}


def wrapped(*faults: str) -> tuple[str, ...]:
    """The command of a scoring process with these faults."""
    return (sys.executable, "-m", "tests.chaos.wraps", *faults)


def _put_in(fault: str) -> None:
    name, _, value = fault.partition("=")
    places, wrap = WRAPS[name]
    for module, path in places:
        *owners, attribute = path.split(".")
        owner = reduce(getattr, owners, import_module(module))
        setattr(owner, attribute, wrap(getattr(owner, attribute), value))


if __name__ == "__main__":
    for each in sys.argv[1:]:
        _put_in(each)
    sys.exit(main())
