"""Given: ten nightly batches made from one good day. Six are broken and must be refused; four are odd and must be let in."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd


class Batch(NamedTuple):
    """A day's payments as they are delivered at `now`, the midnight after it. `broken`: the column at fault; empty: let it in."""

    name: str
    frame: pd.DataFrame
    now: datetime
    broken: str = ""


def ten(day: pd.DataFrame, before: pd.DataFrame, seed: int) -> list[Batch]:
    """From the payments of a good day and of the day before it."""
    now = datetime.combine(day["event_time"].max().date() + timedelta(days=1), time(), day["event_time"].max().tzinfo)
    made = [*_broken(day, before, np.random.default_rng(seed)), *_odd(day, np.random.default_rng(seed + 1))]
    return [Batch(name, frame.reset_index(drop=True), now, column) for name, frame, column in made]


def _broken(day: pd.DataFrame, before: pd.DataFrame, random: np.random.Generator) -> Iterator[tuple[str, pd.DataFrame, str]]:
    few = random.random(len(day)) < 0.02
    yield "a column renamed", day.rename(columns={"terminal_id": "terminal"}), "terminal_id"
    yield "amounts as text in EUR", day.assign(amount_minor=(day["amount_minor"] / 100).map("{:.2f}".format)), "amount_minor"
    yield "refunds among payments", day.assign(amount_minor=day["amount_minor"].mask(few, -day["amount_minor"])), "amount_minor"
    yield "cards lost on the way", day.assign(card_id=day["card_id"].mask(few)), "card_id"
    yield "yesterday's file again", before, "event_time"
    clash = day[few].assign(amount_minor=day.loc[few, "amount_minor"] + 100)
    yield "one id, two payments", pd.concat([day, clash]), "transaction_id"


def _odd(day: pd.DataFrame, random: np.random.Generator) -> Iterator[tuple[str, pd.DataFrame, str]]:
    launch = random.random(len(day)) < 0.05
    category = day["category"].astype(object).mask(launch, "crypto_exchange").astype("category")
    yield "a category never seen", day.assign(category=category), ""
    twice = pd.concat([day, day[random.random(len(day)) < 0.03]])
    yield "payments delivered twice", twice, ""
    yield "a holiday: one payment in eight", day[random.random(len(day)) < 0.125], ""
    nowhere = day.assign(device_id=day["device_id"].mask(day["device_id"].notna()), latitude=np.nan, longitude=np.nan)
    yield "no devices, no places", nowhere, ""
