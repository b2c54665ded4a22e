"""`lab traffic`: the next payments of the running lab, with the drifts that are under way and no other."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Final

from data.errors import BadInput
from data.ledger import Ledger
from data.settings import Settings
from labs.commands.sending import ready_to_send
from labs.live import take_up
from labs.replay import Replay
from labs.terminal import console, print_json

SLICE: Final = timedelta(minutes=15)  # of event time, sent at once when a rate is asked for: some forty payments of the world


def send(days: float, rate: float | None, data: Path | None, *, as_json: bool) -> None:
    """Send `days` of event time, all at once or at most `rate` payments a second; labels go out when they are due.

    Raises BadInput for numbers that make no sense, and what `ready_to_send` and sending raise.
    """
    if days <= 0 or (rate is not None and rate <= 0):
        where = "--days" if days <= 0 else "--rate"
        raise BadInput("There is nothing to send at these numbers.", next_step="Give --days and --rate above 0.", where=where)
    settings = Settings.load()
    sender = ready_to_send(settings, Ledger(settings.home / "ledger.jsonl"), data)
    sender.source.save(settings.home)
    out = console(to_stderr=as_json)
    with out.status("taking up the payments where they stand") as status:
        replay = take_up(settings, sender.stream, sender.stands, days)
        step, began, before = SLICE if rate else timedelta(hours=6), time.monotonic(), replay.sent
        while replay.now < replay.end:
            replay.run_until(replay.now + step)
            status.update(f"{replay.now:%Y-%m-%d %H:%M}: {replay.sent:,} payments sent")
            if rate:
                time.sleep(max(0.0, began + (replay.sent - before) / rate - time.monotonic()))
    _tell(replay, sender.stream.name, as_json=as_json)


def _tell(replay: Replay, name: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"sent": replay.sent, "failed": replay.failed, "until": replay.now.isoformat(), "decisions": dict(replay.decisions)})
        return
    decisions = ", ".join(f"{count:,} {decision}" for decision, count in replay.decisions.most_common())
    console().print(f"{replay.sent:,} payments of {name} sent, up to {replay.now:%Y-%m-%d %H:%M}: {decisions or 'none'}")
