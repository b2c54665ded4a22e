"""Sends the next week of payments to the running service: `python incident.py`. Somewhere upstream, something is about to change.

What, in which payments and since when follows from the seed of your world. Reading on tells you how it is drawn, not what was drawn.
"""

import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from data.ledger import Ledger
from data.settings import Settings
from labs.commands.sending import ready_to_send
from labs.live import take_up
from labs.replay import LiveDay
from labs.stream import midnight

DAYS = 7
SEGMENTS = (("channel", "online"), ("channel", "chip"), ("category", "grocery"))
FACTORS = (1.7, 1.8, 1.9, 2.1, 2.2)


@dataclass(frozen=True)
class Upstream:
    """The stream of payments, with something on its way that is not as it was."""

    stream: Any
    column: str
    level: str
    factor: float
    since: date

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def day(self, day):
        """One day as it arrives."""
        quiet = self.stream.day(day)
        if day < self.since:
            return quiet
        paid = quiet.transactions
        factor = np.where((paid[self.column] == self.level).to_numpy(), self.factor, 1.0)
        amounts = np.floor(paid["amount_minor"].to_numpy() * factor + 1e-6).astype("int64")
        return LiveDay(paid.assign(amount_minor=amounts), quiet.arrival, quiet.labels)


def main():
    settings = Settings.load()
    sender = ready_to_send(settings, Ledger(settings.home / "ledger.jsonl"), None)
    draw = random.Random(f"L12 {settings.seed} {settings.world_start}")
    begins = sender.stream.live + timedelta(days=DAYS)
    if sender.stands > midnight(begins):
        raise SystemExit("It has happened already: look at the last week served. `lab reset 12` takes it back.")
    column, level = draw.choice(SEGMENTS)
    upstream = Upstream(sender.stream, column, level, draw.choice(FACTORS), begins + timedelta(days=draw.choice((1, 2, 3))))
    replay = take_up(settings, upstream, sender.stands, DAYS)
    for number in range(DAYS):
        replay.run_until(midnight(begins + timedelta(days=number + 1)))
        print(f"{begins + timedelta(days=number)}: {replay.sent:,} payments answered so far", flush=True)


if __name__ == "__main__":
    main()
