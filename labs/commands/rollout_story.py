"""`lab rollout story`: what a rollout did, told from the ledger to a reader who was not there."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from data.errors import NoRollout
from data.ledger import Entry, Ledger
from data.settings import Settings
from labs.terminal import console, print_json, table
from pipelines.rollout.turns import last_rollout

_COLOURS: Final = {"promoted": "green", "rolled_back": "red", "aborted": "red", "inconclusive": "yellow", "pause": "yellow"}
_GUARDRAILS: Final = {
    "errors": "it fails more often than the champion",
    "latency": "it is slower",
    "alerts": "it alerts on too many payments, or hardly any",
    "scores": "its scores are of another magnitude",
    "sample_ratio": "its share of the cards is not the declared one",
    "costs_more": "it costs more money",
}
_SHOWN_ODDS = 0.5  # log10: about 3 to 1; less is what chance gives


@dataclass(frozen=True)
class Chapter:
    """One turn of the story: when, what happened, and what it rests on."""

    at: str  # event time, ISO 8601
    line: int  # of the ledger
    kind: str
    told: str
    because: tuple[str, ...] = ()


def tell(rollout_id: str | None, *, as_json: bool) -> None:
    """Print it. Raises NoRollout when the ledger knows no such rollout, LedgerBroken when its chain does not hold."""
    ledger = Ledger(Settings.load().home / "ledger.jsonl")
    count = ledger.verify()
    entries = ledger.entries()
    rollout_id = rollout_id or last_rollout(entries)
    own = [entry for entry in entries if entry.facts.get("rollout_id") == rollout_id]
    if not own:
        known = [str(entry.facts["rollout_id"]) for entry in entries if entry.kind == "rollout_started"]
        next_step = f"There are {', '.join(known)}." if known else "Start one: `lab rollout start`."
        raise NoRollout("The ledger tells of no such rollout.", next_step=next_step, where=rollout_id)
    chapters = story(own)
    if as_json:
        facts = {"rollout_id": rollout_id, "chapters": [asdict(chapter) for chapter in chapters]}
        print_json(facts | {"ledger": {"entries": count, "head": ledger.head()}})
        return
    out = console()
    rows = table("", "")
    rows.show_header = False
    for chapter in chapters:
        told = f"[{_COLOURS.get(chapter.kind, 'bold')}]{chapter.told}[/]"
        because = "".join(f"\n[dim]{reason}[/]" for reason in chapter.because)
        rows.add_row(f"[dim]{datetime.fromisoformat(chapter.at):%Y-%m-%d %H:%M}[/]", told + because)
    out.print(rows)
    out.print(
        f"[green]✓[/] lines {own[0].sequence} to {own[-1].sequence} of the ledger; its chain of {count} holds, up to {ledger.head()[:12]}"
    )


def story(entries: Sequence[Entry]) -> list[Chapter]:
    """The chapters of one rollout, of whose entries each has its part; an intent is told by what it leads to."""
    chapters: list[Chapter] = []
    plan: dict[str, Any] = {}
    begun: dict[str, Any] = {}
    for entry in entries:
        facts = entry.facts
        if entry.kind == "rollout_started":
            plan = facts["plan"]
            told, because = _started(facts)
        elif entry.kind == "intent":
            begun = facts["action"]
            continue
        elif entry.kind == "done":
            told, because = _done(begun, plan)
        elif entry.kind in _TELLERS:
            told, because = _TELLERS[entry.kind](facts)
        else:
            continue
        chapters.append(Chapter(entry.at, entry.sequence, _kind(entry), told, tuple(because)))
    return chapters


def _kind(entry: Entry) -> str:
    return str(entry.facts.get("result") or entry.facts.get("verdict") or entry.kind)


def _started(facts: dict[str, Any]) -> tuple[str, list[str]]:
    steps = ", ".join(step["name"] for step in facts["plan"]["steps"])
    told = f"{facts['rollout_id']} begins: version {facts['challenger']} against champion {facts['champion']}"
    return told, [f"asked for by {facts['by']}; plan {facts['plan_digest'][:12]}: {steps}"]


def _preflight(facts: dict[str, Any]) -> tuple[str, list[str]]:
    return f"preflight {'passed' if facts['passed'] else 'refused it: no payment has met it'}", [facts["reason"]]


def _done(action: dict[str, Any], plan: dict[str, Any]) -> tuple[str, list[str]]:
    serving = action["serving"]
    champion, challenger = serving["champion"], serving["challenger"]
    if action["kind"] != "serve":
        return f"version {champion} answers all cards (epoch {serving['epoch']})", []
    step = plan["steps"][action["step"]]
    who = {
        "shadow": f"version {champion} answers all, {challenger} scores them too",
        "canary": f"version {challenger} answers {serving['share']:.0%} of the cards, {champion} the rest",
        "soak": f"version {challenger} answers all, {champion} still scores them",
    }[serving["mode"]]
    return f"{step['name']}: {who} (epoch {serving['epoch']})", []


def _judged(facts: dict[str, Any]) -> tuple[str, list[str]]:
    verdict, scored = facts["verdict"].replace("_", " "), facts["payments"]
    these = f"{scored:,} payments" if scored else "no payment"
    counted = f"the challenger's cards made {these}" if facts["share"] else f"both models scored {these}"
    told = f"{facts.get('by', 'judge')}: {verdict} in {facts['step']}, where {counted}"
    return told, [*facts["reasons"], *_evidence(facts)]


def _resumed(facts: dict[str, Any]) -> tuple[str, list[str]]:
    return f"{facts['step']} goes on: the cause of the pause is gone", []


def _order(facts: dict[str, Any]) -> tuple[str, list[str]]:
    return f"{facts['by']} orders: {facts['order']}", [facts["reason"]] if facts["reason"] else []


def _ended(facts: dict[str, Any]) -> tuple[str, list[str]]:
    by = facts.get("decided_by", "judge")
    who = f"the {by}" if by in ("judge", "controller") else by
    return f"{facts['result'].replace('_', ' ')}, decided by {who}: champion is version {facts['champion']}", []


def _evidence(facts: dict[str, Any]) -> list[str]:
    """What the numbers of a verdict say: guardrails whose odds are more than chance gives, and money."""
    odds = {name: facts["e_values"].get(name, 0.0) for name in _GUARDRAILS}
    spoken = [f"{_GUARDRAILS[name]}: {_odds(value)}" for name, value in odds.items() if value >= _SHOWN_ODDS]
    told = [f"odds against chance: {'; '.join(spoken)}" if spoken else f"no guardrail has odds above {10**_SHOWN_ODDS:.0f} to 1"]
    if facts["money_per_thousand"]:
        value, low, high = facts["money_per_thousand"]
        labels = f"{facts['matured_payments']:,} matured payments with {facts['matured_frauds']} frauds"
        told.append(f"money: {value:+.1f} EUR per thousand payments ({low:+.1f} to {high:+.1f}), on {labels}")
    return told


def _odds(log10: float) -> str:
    return f"{10**log10:,.0f} to 1" if log10 < 6 else f"10^{log10:.0f} to 1"


_TELLERS: Final = {
    "preflight": _preflight,
    "judgement": _judged,
    "resumed": _resumed,
    "order": _order,
    "rollout_ended": _ended,
}
