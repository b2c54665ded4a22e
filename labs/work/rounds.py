"""Goes through the duties every so often, each as a Prefect flow where Prefect answers, and without it where it does not.

The rounds keep a clock of their own: Prefect 3.8's scheduler inserts its runs in a way that SQLAlchemy 2.1 refuses, so that a served
deployment is never run. Monitoring should not stop with its page either.
"""

import threading
from collections.abc import Callable

import httpx

from data.errors import LabError
from data.settings import Settings
from labs.work.duties import DUTIES, perform

Tell = Callable[[str, str], None]  # a duty, and what came of it


def go_round(settings: Settings, tell: Tell) -> int:
    """Do what is due now, in order; returns how many duties failed. What fails is told, and is due again in the next round."""
    failed, seen = 0, prefect_answers(settings)
    for name in DUTIES:
        try:
            tell(name, as_flow(name, settings) if seen else perform(name, settings))
        except LabError as error:
            failed += 1
            tell(name, f"{error.code}: {error}")
    return failed


def keep_going(settings: Settings, leaving: threading.Event, tell: Tell) -> None:
    """Round after round until `leaving` is set. A line is told when it differs from the last one of its duty."""
    last: dict[str, str] = {}

    def tell_news(name: str, said: str) -> None:
        if last.get(name) != said:
            tell(name, said)
        last[name] = said

    while not leaving.is_set():
        go_round(settings, tell_news)
        leaving.wait(settings.work_every_s)


def as_flow(name: str, settings: Settings) -> str:
    """One duty in sight of Prefect. Its import takes seconds, once."""
    from pipelines.flows import duty_flow

    return duty_flow(f"work: {name}", lambda: perform(name, settings))


def prefect_answers(settings: Settings) -> bool:
    """Whether its server could take a flow run."""
    try:
        return httpx.get(f"{settings.prefect_url}/api/health", timeout=settings.http_timeout_s, trust_env=False).is_success
    except httpx.TransportError:
        return False
