"""`lab drift inject` and `lab drift stop`: a drift into the payments of the running lab, and out again."""

from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from data.errors import BadInput
from data.ledger import Ledger
from data.registry import CHAMPION, Registry
from data.scenarios import Injection, scenario
from data.settings import Settings
from labs.archive import readable_log
from labs.commands.sending import ready_to_send, require_nobody_sends
from labs.drifts import known_scenarios
from labs.injecting import arm, require_possible, serve_right_version, serve_wrong_version
from labs.live import LiveDrift, LiveSource, take_up, where_it_stands
from labs.replay import Replay
from labs.service import reload, reload_if_up
from labs.stream import Stream, midnight
from labs.terminal import console, print_json
from pipelines.rollout.rollback import Rollback

DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Request:
    """What is to be injected."""

    name: str
    strength: float | None = None  # the scenario's own when absent
    seed: int = 7
    since: date | None = None  # the first day that nothing was sent of when absent
    days: int = 7  # of drift to send
    data: Path | None = None  # where the payments come from, if not from where they came before
    scenarios: Path | None = None  # the team's own


def inject(request: Request, *, as_json: bool) -> None:
    """Inject a scenario into the payments of the running lab, and send its first days.

    Raises BadInput for a scenario, dose or day that cannot be, ServiceDown, NoModel, NoTrafficLeft, RolloutOpen while a
    rollout sends the payments, and what sending raises.
    """
    settings = Settings.load()
    ledger = Ledger(settings.home / "ledger.jsonl")
    scenario(request.name, known_scenarios(request.scenarios))
    sender = ready_to_send(settings, ledger, request.data)
    source, stream, stands = sender.source, sender.stream, sender.stands
    drift = _drift(request, source, stands)
    injection = drift.injection()
    stream.inject(injection)
    with closing(_registry(settings)) as registry:
        require_possible(injection, registry, sender.champion)
        replace(source, drifts=(*source.drifts, drift)).save(settings.home)
        ledger.record("drift_injected", _facts(injection), stands)
        out = console(to_stderr=as_json)
        with out.status("taking up the payments where they stand") as status:
            begins = midnight(drift.since)
            replay = take_up(settings, stream, stands, (begins - stands) / DAY + request.days)
            replay.run_until(begins)
            wrong = None
            if "scores" in injection.scenario.layers:
                wrong = serve_wrong_version(registry, ledger, partial(reload, settings), sender.champion, begins)
            for number in range(request.days):
                status.update(f"{replay.now:%Y-%m-%d}: {replay.sent:,} payments sent")
                replay.run_until(begins + (number + 1) * DAY)
    _tell(injection, wrong, replay, stream, as_json=as_json)


def stop(*, as_json: bool) -> None:
    """End every drift that is under way, with the first day that nothing was sent of. Raises BadInput when there is none."""
    settings = Settings.load()
    ledger = Ledger(settings.home / "ledger.jsonl")
    require_nobody_sends(ledger)
    source = LiveSource.load(settings.home)
    stream = source.open(settings)
    stands = where_it_stands(stream, readable_log(settings))
    end = _next_day(stands)
    under_way = [drift for drift in source.drifts if not drift.is_over(end)]
    if not under_way:
        raise BadInput("No drift is under way.", next_step="Inject one: `lab drift inject`; `lab drift list` names them.", where="drift")
    ended = replace(source, drifts=tuple(replace(d, until=max(d.since, end)) if d in under_way else d for d in source.drifts))
    ended.save(settings.home)
    ledger.record("drift_stopped", {"scenario": [drift.scenario for drift in under_way], "until": str(end)}, stands)
    if reload_if_up(settings) is not None:
        arm(settings, ended.open(settings).drifts, stands.date())
    with closing(_registry(settings)) as registry:
        back = serve_right_version(registry, ledger, partial(reload_if_up, settings), registry.alias(CHAMPION) or "", stands)
    if as_json:
        print_json({"stopped": [drift.scenario for drift in under_way], "until": str(end), "champion": back and back.champion})
        return
    out = console()
    names = ", ".join(drift.scenario for drift in under_way)
    again = f"; version {back.champion} answers again" if back else ""
    out.print(f"[green]✓[/] {names} ends: payments from {end} on are without it{again}")


def _tell(injection: Injection, wrong: Rollback | None, replay: Replay, stream: Stream, *, as_json: bool) -> None:
    """`wrong`: the version that was put to work, where that is the drift: no strength, and not what the exercise of the name does."""
    if as_json:
        print_json({"injected": _facts(injection), "sent": replay.sent, "failed": replay.failed, "until": replay.now.isoformat()})
        return
    one, out = injection.scenario, console()
    what = f"version {wrong.champion} answers instead of {wrong.instead_of}, without a rollout" if wrong else one.mechanism
    out.print(f"[bold]{one.name}[/] ({one.catalogue_id}) since {injection.start}: {what}")
    if not wrong:
        out.print(f"[dim]strength {one.strength:g}: {one.strength_means}[/]")
    out.print(f"{replay.sent:,} payments of {stream.name} sent, up to {replay.now:%Y-%m-%d %H:%M}")
    out.print("What monitoring says of them: [bold]lab drift check[/]; to end it: [bold]lab drift stop[/].")


def _facts(injection: Injection) -> dict[str, Any]:
    one = injection.scenario
    return {
        "scenario": one.name, "id": one.catalogue_id, "acts_on": one.acts_on, "strength": one.strength, "seed": injection.seed,
        "since": str(injection.start), "columns": list(one.columns), "expected": list(one.expected),
    }  # fmt: skip


def _drift(request: Request, source: LiveSource, stands: datetime) -> LiveDrift:
    """What `live.json` is to keep. Raises BadInput for a day that has been, or a drift that is under way."""
    chosen = scenario(request.name, known_scenarios(request.scenarios))
    day = request.since or _next_day(stands)
    if midnight(day) < stands:
        raise BadInput(
            f"Payments up to {stands:%Y-%m-%d %H:%M} have been sent; a drift begins with a day that nothing was sent of.",
            next_step=f"Choose {_next_day(stands)} or later, or leave --from out.",
            where="--from",
        )
    if any(drift.scenario == chosen.name and not drift.is_over(day) for drift in source.drifts):
        raise BadInput(f"{chosen.name} is under way already.", next_step="End it first: `lab drift stop`.", where=chosen.name)
    dose = chosen.strength if request.strength is None else request.strength
    return LiveDrift(chosen.name, day, request.seed, dose, file=request.scenarios and request.scenarios.resolve())


def _next_day(stands: datetime) -> date:
    """The first day of which nothing was sent."""
    return stands.date() if midnight(stands.date()) == stands else stands.date() + DAY


def _registry(settings: Settings) -> Registry:
    return Registry.of(settings)
