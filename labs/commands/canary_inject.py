"""`lab canary inject` and `lab canary stop`: a fault into the challenger of the running lab, and out again."""

from contextlib import closing, suppress
from datetime import datetime
from typing import Any

from data.errors import BadInput, MissingFile
from data.ledger import Ledger
from data.prediction_frames import logged_span
from data.registry import Registry
from data.settings import REPOSITORY, Settings
from labs.canaries.catalogue import chosen
from labs.canaries.live import ask, fault_of
from labs.canaries.scenario import Canary
from labs.commands.canary import expected_in_words
from labs.service import ask_serving
from labs.stream import midnight
from labs.terminal import console, print_json
from pipelines.rollout.controller import contenders


def inject(name: str, *, as_json: bool) -> None:
    """Give the registered challenger a canary's fault.

    Raises BadInput for a canary that is none of its behaviour, ServiceDown, NoChallenger, and NotAllowed where several
    processes share the lab.
    """
    settings = Settings.load()
    canary, fault = _first_possible(chosen([name]))
    ask_serving(settings)
    with closing(Registry.of(settings)) as registry:
        champion, challenger = contenders(registry)
    ask(settings, fault)
    facts = {"canary": canary.name, "id": canary.catalogue_id, "challenger": challenger, "fault": fault}
    Ledger(settings.home / "ledger.jsonl").record("canary_injected", facts, _now(settings))
    if as_json:
        print_json({**facts, "champion": champion, "ends": canary.expected.results})
        return
    out = console()
    out.print(f"[bold]{canary.name}[/] ({canary.catalogue_id}): version {challenger} is now a challenger of which {canary.mechanism}.")
    if canary.fault.fails_live is not None:
        out.print(f"The running champion fails on none, so here it fails on {canary.fault.fails_live:.3%}: as hard to tell as that.")
    elif canary.fault.fails:
        out.print("The running champion fails on none: this is told sooner than in the exercise, where both models also fail by chance.")
    out.print(f"A rollout must end: {expected_in_words(canary.expected)}.")
    plan = f" --plan {canary.plan.relative_to(REPOSITORY)}" if canary.plan else ""
    out.print(f"See what it makes of it: [bold]lab rollout start{plan}[/]; to end the fault: [bold]lab canary stop[/].", soft_wrap=True)


def stop(*, as_json: bool) -> None:
    """End the fault of the challenger. Raises BadInput when there is none, ServiceDown."""
    settings = Settings.load()
    if ask_serving(settings).get("challenger_fault") is None:
        raise BadInput("The challenger has no fault.", next_step="Give it one: `lab canary inject C3`.", where="canary")
    ask(settings, None)
    Ledger(settings.home / "ledger.jsonl").record("canary_stopped", {}, _now(settings))
    if as_json:
        print_json({"stopped": True})
    else:
        console().print("[green]✓[/] The challenger is itself again.")


def _first_possible(found: list[Canary]) -> tuple[Canary, dict[str, Any]]:
    """The first level of an id that a running challenger can have. Raises BadInput, of the last one, where there is none."""
    for canary in found[:-1]:
        with suppress(BadInput):
            return canary, fault_of(canary)
    return found[-1], fault_of(found[-1])


def _now(settings: Settings) -> datetime:
    """Event time: of the newest payment, or the day the lab goes live."""
    with suppress(MissingFile):
        span = logged_span(settings.log_place)
        if span:
            return span[1]
    from labs.stream import WorldStream

    return midnight(WorldStream(settings).live)
