"""`lab load`: Locust over the running lab's next payments, judged by the latency objective."""

from typing import Any

from data.errors import BadInput
from data.ledger import Ledger
from data.settings import Settings
from labs.commands.sending import ready_to_send
from labs.load import run_load
from labs.report.facts import LatencyFacts
from labs.terminal import console, print_json, table


def load(requests: int, workers: int, *, as_json: bool) -> bool:
    """Send them; whether the objective was met.

    Raises BadInput for numbers that make no sense, and what `ready_to_send` and `run_load` raise.
    """
    if requests < 1 or workers < 1:
        where = "--requests" if requests < 1 else "--workers"
        raise BadInput("There is nothing to send at these numbers.", next_step="Give --requests and --workers from 1 on.", where=where)
    settings = Settings.load()
    sender = ready_to_send(settings, Ledger(settings.home / "ledger.jsonl"), None)
    sender.source.save(settings.home)
    day = sender.stands.date()
    sent = int((sender.stream.day(day).transactions["event_time"] < sender.stands).sum())
    with console(to_stderr=as_json).status(f"Locust sends {requests:,} payments"):
        found = run_load(settings, sender.stream, day, skip=sent, requests=requests, workers=workers)
    _tell(found, as_json=as_json)
    return found.met


def _tell(found: LatencyFacts, *, as_json: bool) -> None:
    if as_json:
        print_json({name: getattr(found, name) for name in LatencyFacts.__annotations__})
        return
    out, lines = console(), table("", "measured", "allowed")
    rows: tuple[tuple[str, Any, str], ...] = (
        ("median", f"{found.p50_ms:.1f} ms", ""),
        ("95th percentile", f"{found.p95_ms:.1f} ms", f"{found.slo_p95_ms:g} ms"),
        ("99th percentile", f"{found.p99_ms:.1f} ms", f"{found.slo_p99_ms:g} ms"),
        ("failed", f"{found.failures:,} of {found.requests:,}", f"{found.slo_error_ratio:.1%}"),
    )
    for row in rows:
        lines.add_row(*row)
    out.print(lines)
    verdict = "[green]✓[/] The objective is met" if found.met else "[red]✗[/] The objective is missed"
    out.print(f"{verdict}, at {found.requests_per_s:,.0f} payments per second.")
