"""What was deployed lately, as the ledger tells it: the first suspect when scores move and payments do not. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from data.ledger import Entry
from pipelines.monitoring.evidence import Deployment


def deployments(entries: Iterable[Entry], since: datetime, until: datetime) -> tuple[Deployment, ...]:
    """Changes of who answers with event times in (since, until], oldest first.

    For a window, `since` is its start: the rollout that brought the watched champion had ended by then, and is no suspect.
    """
    found = []
    for entry in entries:
        at, what = datetime.fromisoformat(entry.at), _what(entry.kind, entry.facts)
        if what and since < at <= until:
            found.append(Deployment(at, what))
    return tuple(found)


def promoted_at(entries: Iterable[Entry], version: str) -> datetime | None:
    """The event time at which a rollout last made `version` champion; None for one that was registered as champion, or put back by hand."""
    actions = ((entry.at, entry.facts["action"]) for entry in entries if entry.kind == "intent")
    times = [at for at, action in actions if action["kind"] == "promote" and action["serving"]["champion"] == version]
    return datetime.fromisoformat(times[-1]) if times else None


def _what(kind: str, facts: dict[str, Any]) -> str:
    """In words; empty for an entry that changed no answer."""
    if kind == "champion_registered":
        return f"version {facts['version']} registered as champion"
    if kind != "intent":  # recorded before anything changes, so that a killed deployment is seen too
        return ""
    action = facts["action"]
    champion = action["serving"]["champion"]
    return {"promote": f"version {champion} promoted", "restore": f"version {champion} put back"}.get(action["kind"], "")
