"""Does the duties when they are due: by Prefect's schedule, as its flows, where Prefect answers, and by an own clock where it does not.

Monitoring should not stop with Prefect. A schedule that is paused on Prefect's page is paused.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import UUID

import httpx

from data.clock import SystemClock
from data.errors import LabError, ServiceDown
from data.settings import Settings
from labs.work.duties import DUTIES, perform

if TYPE_CHECKING:
    from pipelines.flows import Schedule

LOOK_S: Final = 5.0  # how often Prefect is asked what is due
Tell = Callable[[str, str], None]  # a duty, and what came of it


def go_round(settings: Settings, tell: Tell) -> int:
    """Do what is due now, in order; returns how many duties failed. What fails is told, and is due again in the next round."""
    seen = prefect_answers(settings)
    return sum(not _do(name, settings, tell, partial(as_flow, name, settings) if seen else None) for name in DUTIES)


def keep_going(settings: Settings, leaving: threading.Event, tell: Tell) -> None:
    """Duty after duty, as they fall due, until `leaving` is set. A line is told when it differs from the last one of its duty."""
    last: dict[str, str] = {}

    def tell_news(name: str, said: str) -> None:
        if last.get(name) != said:
            tell(name, said)
        last[name] = said

    schedule, own_round, hands = None, 0.0, threading.Thread()
    while not leaving.is_set():
        due: dict[str, Callable[[], str] | None] = {}
        if prefect_answers(settings):
            try:
                schedule = schedule or deploy(settings)
                due = {name: partial(as_flow, name, settings, run) for name, run in schedule.due(SystemClock().now()).items()}
            except ServiceDown as error:  # it went between two questions; it is asked again soon
                tell_news("schedule", str(error))
        elif time.monotonic() >= own_round:
            due = dict.fromkeys(DUTIES)
        if due and not hands.is_alive():  # a long duty is done while we go on asking: Prefect takes who does not ask for gone
            hands = threading.Thread(target=copy_context().run, args=(_do_all, due, settings, tell_news), name="duties", daemon=True)
            hands.start()
            own_round = time.monotonic() + settings.work_every_s
        leaving.wait(min(LOOK_S, settings.work_every_s))
    if hands.is_alive():
        hands.join()


def _do_all(due: Mapping[str, Callable[[], str] | None], settings: Settings, tell: Tell) -> None:
    for name in DUTIES:
        if name in due:
            _do(name, settings, tell, due[name])


def _do(name: str, settings: Settings, tell: Tell, how: Callable[[], str] | None = None) -> bool:
    """Whether it went well; what came of it is told."""
    try:
        tell(name, how() if how else perform(name, settings))
    except LabError as error:
        tell(name, f"{error.code}: {error}")
        return False
    return True


def deploy(settings: Settings) -> "Schedule":
    """The duties on Prefect's server, as deployments with a schedule. Prefect's import takes seconds, once."""
    from pipelines.flows import Schedule

    return Schedule(list(DUTIES), settings.work_every_s)


def as_flow(name: str, settings: Settings, run_id: UUID | None = None) -> str:
    """One duty in sight of Prefect; `run_id`: the run that its schedule asked for."""
    from pipelines.flows import duty_flow

    return duty_flow(name, lambda: perform(name, settings), run_id)


def prefect_answers(settings: Settings) -> bool:
    """Whether its server could take a flow run."""
    try:
        return httpx.get(f"{settings.prefect_url}/api/health", timeout=settings.http_timeout_s, trust_env=False).is_success
    except httpx.TransportError:
        return False
