"""Given: customers who pay. `python load.py` sends a hundred payments a second for twenty seconds, none of them twice.

One second of the payments' event time is one of yours. Ctrl-C ends it early; every payment that was sent is waited for.
"""

import argparse
import asyncio
import json
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from data.prediction_frames import logged_span
from data.settings import Settings
from labs.stream import open_stream

NAME = "load_{start:%m%d%H%M%S}_{number:06d}"  # one run's payments differ in their number alone


@dataclass
class Tally:
    """What came of them."""

    by_version: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0


async def send(client: httpx.AsyncClient, payment: dict[str, Any], tally: Tally) -> None:
    began = time.monotonic()
    try:
        answer = await client.post("/v1/score", json=payment)
    except httpx.TransportError as error:
        tally.failed[type(error).__name__] += 1
        return
    tally.slowest_s = max(tally.slowest_s, time.monotonic() - began)
    if answer.status_code == 200:
        tally.by_version[answer.json()["model_version"]] += 1
    else:
        tally.failed[str(answer.status_code)] += 1


async def run(settings: Settings, start: datetime, payments: list[dict[str, Any]], rate: float) -> Tally:
    """An open loop: each payment leaves when it is due, whatever became of the others."""
    tally, ended, began = Tally(), asyncio.Event(), time.monotonic()
    for ending in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(ending, ended.set)
    limits = httpx.Limits(max_connections=64)
    async with (
        httpx.AsyncClient(base_url=settings.scoring_url, timeout=5, limits=limits, trust_env=False) as client,
        asyncio.TaskGroup() as sending,
    ):
        for number, payment in enumerate(payments):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            if ended.is_set():
                break
            now = start + timedelta(seconds=time.monotonic() - began)
            known = {"transaction_id": NAME.format(start=start, number=number), "event_time": now.isoformat(timespec="milliseconds")}
            sending.create_task(send(client, payment | known, tally))
    return tally


def recent(settings: Settings, count: int) -> list[dict[str, Any]]:
    """Who paid where and how much on the last day of the history, to be paid again."""
    stream = open_stream(settings, None, 0)
    paid = stream.dataset.read("transactions", stream.live - timedelta(days=1), stream.live)
    columns = ["card_id", "terminal_id", "amount_minor", "channel", "category"]
    rows = json.loads(paid[columns].to_json(orient="records"))
    return [rows[i % len(rows)] for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rate", type=float, default=100, help="payments a second")
    wanted = parser.parse_args()
    settings = Settings.load()
    span = logged_span(settings.log_place)
    assert span is not None  # `lab start` sent a week of payments
    start = span[1].replace(microsecond=0) + timedelta(minutes=1)
    print(f"sending {NAME.format(start=start, number=0)} and those after it", flush=True)
    tally = asyncio.run(run(settings, start, recent(settings, int(wanted.seconds * wanted.rate)), wanted.rate))
    print(f"answered {tally.by_version.total():,}, failed {tally.failed.total():,}, slowest answer {1000 * tally.slowest_s:.0f} ms")
    print("\n".join(f"  version {version}: {count:,}" for version, count in tally.by_version.items()))
    print("\n".join(f"  {why}: {count:,}" for why, count in tally.failed.items()))


if __name__ == "__main__":
    main()
