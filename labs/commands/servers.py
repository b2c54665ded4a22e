"""`lab up`, `lab down`, `lab status`: the local servers, through the supervisor."""

from dataclasses import asdict
from typing import Any

from data.errors import LabError
from data.settings import Settings
from labs.service import ask_serving
from labs.terminal import console, print_json, table
from services.supervisor import ProgramStatus, Supervisor


def up(names: tuple[str, ...] | None, *, as_json: bool) -> None:
    """Start the named servers (all for None) and leave them running; on a failure or Ctrl-C none of the new ones stays."""
    settings = Settings.load()
    out = console()

    def say(status: ProgramStatus) -> None:
        if not as_json:
            out.print(f"[green]✓[/] {status.title:<8} {status.page}")

    supervisor = Supervisor(settings, on_healthy=say)
    with supervisor.owning(keep_up=True):
        started = supervisor.start(names)
    if as_json:
        print_json([asdict(status) for status in started])
    else:
        out.print("They stay up until [bold]lab down[/].")


def down(names: tuple[str, ...] | None) -> None:
    """Stop the named servers (all for None)."""
    stopped = Supervisor(Settings.load()).stop(names)
    console().print(f"Stopped {', '.join(stopped)}." if stopped else "Nothing was running.")


def restart(names: tuple[str, ...]) -> None:
    """Stop the named servers and start them again, with the settings of now; one that does not run is started."""
    settings, out = Settings.load(), console()
    supervisor = Supervisor(settings, on_healthy=lambda status: out.print(f"[green]✓[/] {status.title:<8} {status.page}"))
    with supervisor.owning(keep_up=True):
        supervisor.stop(names)
        supervisor.start(names)


def status(*, as_json: bool) -> int:
    """Print what runs; returns 0 when everything is healthy, 1 otherwise."""
    settings = Settings.load()
    found = Supervisor(settings).status()
    serving = _serving(settings) if found[-1].state == "healthy" else None
    if as_json:
        print_json({"processes": [asdict(one) for one in found], "serving": serving})
    else:
        _print_status(found, serving)
    return 0 if all(one.state == "healthy" for one in found) else 1


def _print_status(found: list[ProgramStatus], serving: dict[str, Any] | None) -> None:
    rows = table("process", "state", "address", "pid", "memory")
    colours = {"healthy": "green", "starting": "yellow", "stopped": "dim"}
    for one in found:
        memory = "" if one.memory_mb is None else f"{one.memory_mb:,.0f} MB"
        rows.add_row(one.title, f"[{colours[one.state]}]{one.state}[/]", one.page, str(one.pid or ""), memory)
    out = console()
    out.print(rows)
    if serving is not None:
        out.print(f"\n{_who_serves(serving)}")
    if all(one.state == "stopped" for one in found):
        out.print("\nStart them with [bold]lab up[/].")


def _who_serves(serving: dict[str, Any]) -> str:
    if serving["champion"] is None:
        return "No model serves yet: [bold]lab train[/]."
    plan = serving["plan"]
    told = f"Version {serving['champion']} is champion, from the {str(serving['source']).replace('_', ' ')}"
    if serving["challenger"] is not None:
        told += f"; version {serving['challenger']} is challenger ({plan['mode'].replace('_', ' ')}, {plan['share']:.0%} of the cards)"
    benched = "".join(f"\nVersion {version} is benched: {why}" for version, why in serving["benched"].items())
    return f"{told}.{benched}"


def _serving(settings: Settings) -> dict[str, Any] | None:
    """Who serves, in the service's own words; None when it does not say."""
    try:
        return ask_serving(settings)
    except LabError:
        return None
