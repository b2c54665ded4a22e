"""`lab registry` and `lab rollback`: the versions there are, the ledger of who served, and an earlier version put back."""

from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from typing import Any

from data.errors import StepFailed
from data.ledger import Entry, Ledger
from data.registry import CHALLENGER, CHAMPION, Registry
from data.settings import Settings
from labs.rollout import newest_moment
from labs.service import reload_if_up
from labs.terminal import console, print_json, table
from pipelines.rollout.actions import PREVIOUS_CHAMPION
from pipelines.rollout.rollback import roll_back

_SHOWN_ENTRIES = 8
_TOLD = ("version", "scenario", "champion", "challenger", "result", "verdict", "reason", "reasons")


def show(*, as_json: bool) -> None:
    """Print every version with its aliases, and the end of the ledger. Raises LedgerBroken where its chain does not hold."""
    settings = Settings.load()
    ledger = Ledger(settings.home / "ledger.jsonl")
    count, entries = ledger.verify(), ledger.entries()
    with closing(_registry(settings)) as registry:
        named = {alias: registry.alias(alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS_CHAMPION)}
        versions = [{"version": v.version, "aliases": [a for a, of in named.items() if of == v.version], "run_id": v.run_id}
                    for v in registry.versions()]  # fmt: skip
    if as_json:
        print_json({"versions": versions, "ledger": {"entries": count, "head": ledger.head(), "lines": [asdict(e) for e in entries]}})
        return
    out = console()
    rows = table("version", "alias", "run")
    if not versions:
        out.print("Nothing is registered yet: [bold]lab train[/].")
    for one in versions:
        rows.add_row(str(one["version"]), ", ".join(one["aliases"]).replace("_", " "), str(one["run_id"]))
    out.print(rows)
    told = table("", "ledger, in event time", "")
    for entry in entries[-_SHOWN_ENTRIES:]:
        told.add_row(str(entry.sequence), f"{datetime.fromisoformat(entry.at):%Y-%m-%d %H:%M}", _told(entry))
    out.print(told)
    out.print(f"[green]✓[/] all {count} entries follow each other; the newest is {ledger.head()[:12]}" if count else "The ledger is empty.")


def rollback(to: str | None, reason: str, *, as_json: bool) -> None:
    """Make the previous champion, or version `to`, the champion, and see that the service answers with it.

    Raises what `roll_back` raises, and StepFailed when the service keeps answering with another version.
    """
    settings = Settings.load()
    ledger = Ledger(settings.home / "ledger.jsonl")
    answers: list[dict[str, Any] | None] = []
    with closing(_registry(settings)) as registry:
        done = roll_back(
            registry, ledger, lambda: answers.append(reload_if_up(settings)), to=to, reason=reason, at=newest_moment(settings, ledger)
        )
    serving = answers[-1]
    if serving is not None and serving["champion"] != done.champion:
        why = serving["refused"].get(done.champion) or serving["registry_problem"] or "it does not say why"
        raise StepFailed(
            f"Version {done.champion} is champion in the registry, but {serving['champion']} still answers: {why}.",
            next_step="Its log says more: `lab status` names it. Another version: `lab rollback --to VERSION`.",
            where="scoring",
        )
    if as_json:
        print_json(asdict(done) | {"served": serving is not None})
        return
    now = "answers" if serving is not None else "will answer once the service runs (`lab up`)"
    note = " (begun earlier, completed now)" if done.resumed else ""
    console().print(f"[green]✓[/] version {done.champion} {now}, instead of version {done.instead_of}{note}")


def _registry(settings: Settings) -> Registry:
    return Registry.of(settings)


def _told(entry: Entry) -> str:
    """One entry in short; the action of an intent is told by the entry it belongs to."""
    facts = entry.facts.get("action", {}).get("serving", {}) | entry.facts
    told = [f"{name} {_first(facts[name])}" for name in _TOLD if facts.get(name)]
    return f"{entry.kind.replace('_', ' ')}: {', '.join(told)}" if told else entry.kind.replace("_", " ")


def _first(fact: Any) -> str:
    return f"{fact[0]}{' …' if len(fact) > 1 else ''}" if isinstance(fact, list) else str(fact)
