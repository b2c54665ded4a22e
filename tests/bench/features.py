"""The speed of the features, batch and online, and what a card costs: `python -m tests.bench.features`.

Batch is set beside the Handbook's way on the same rows, runs interleaved: `groupby.apply` of a function per customer and
per terminal that rolls windows over the group's frame and returns it with its new columns. Two leaner rewrites in pandas
stand beside it. Time is CPU time of this process (one thread); a busy machine still slows it, so the ratio is the
steadier figure. Memory that a virtual machine has to fetch from its host first costs up to 2 us per row, so freed memory
stays with the process, batch runs twice a round and the second counts. The operating system's share is shown apart.
"""

import argparse
import ctypes
import os
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.dataset import to_frame
from data.environment import prepare_environment
from data.features import FEATURE_COUNT
from data.history import History, build_features
from data.world import World, WorldConfig
from tests.bench.shared import shared_file
from tests.bench.table import publish

RAW_FILE = "handbook_raw_to_2018-09-04.parquet"
SAMPLE = 20  # pandas gets one customer in so many, and one terminal: it needs minutes for all


def main(argv: list[str] | None = None) -> int:
    """Print the table; 0 when batch, ratio and online reach their goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args(argv).rounds
    prepare_environment()
    keep_freed_memory()
    book = pd.read_parquet(shared_file(RAW_FILE))
    handbook, world = as_tables(book), world_tables()
    compile_s = cpu_seconds(lambda: build_features(handbook[0].head(1), handbook[1].head(0)))
    sample = (book[book["CUSTOMER_ID"] % SAMPLE == 0], book[book["TERMINAL_ID"] % SAMPLE == 0])
    theirs, leaner, grouped, batch, stream = [], [], [], [], []
    system = []
    for _ in range(rounds):  # interleaved: a slow minute of the machine falls on all
        theirs.append(by_apply(*sample))
        leaner.append(by_group(*sample))
        grouped.append(vectorised(*sample))
        for spent, table in ((batch, handbook), (stream, world)):
            build_features(*table)
            before = os.times().system
            spent.append(cpu_seconds(lambda table=table: build_features(*table)) / len(table[0]))  # type: ignore[misc]
            system.append((os.times().system - before) / len(table[0]))
    online = online_microseconds(*world)
    memory = card_bytes()
    ratio = min(theirs) / min(batch)
    rows: list[list[object]] = [
        ["batch, Handbook rows, rows per CPU second", f"{1 / min(batch):,.0f}", "1,000,000"],
        ["batch, world rows, rows per CPU second", f"{1 / min(stream):,.0f}", "1,000,000"],
        ["of which in the operating system (pages), median of both, ns per row", f"{np.median(system) * 1e9:,.0f}", ""],
        [f"the book's way, pandas groupby.apply, 1 id in {SAMPLE}, rows per CPU second", f"{1 / min(theirs):,.0f}", ""],
        ["leaner: a list of rolling columns per group, rows per CPU second", f"{1 / min(leaner):,.0f}", ""],
        ["pandas' own grouped rolling, the same, rows per CPU second", f"{1 / min(grouped):,.0f}", ""],
        [f"batch ({FEATURE_COUNT} features) over the book's way (12)", f"{ratio:,.0f}", "50"],
        [f"batch ({FEATURE_COUNT} features) over the leaner way (12)", f"{min(leaner) / min(batch):,.0f}", ""],
        [f"batch ({FEATURE_COUNT} features) over grouped rolling (12)", f"{min(grouped) / min(batch):,.1f}", ""],
        ["online, median, us", f"{online[0]:.1f}", "20"],
        ["online, p99, us", f"{online[1]:.1f}", "20"],
        ["a card of 8 payments, bytes in arrays", f"{memory:,.0f}", "600"],
        ["first call in this process, CPU s (compiles when nothing is cached)", f"{compile_s:.1f}", "15"],
    ]
    facts = {
        "rounds": rounds,
        "batch_s_per_row": batch,
        "world_s_per_row": stream,
        "system_s_per_row": system,
        "by_apply_s_per_row": theirs,
        "by_group_s_per_row": leaner,
        "grouped_s_per_row": grouped,
    }
    publish(
        "features", f"Features: {len(handbook[0]):,} Handbook rows, {len(world[0]):,} world rows", ["measure", "value", "goal"], rows, facts
    )
    return 0 if min(1 / min(batch), 1 / min(stream)) >= 1e6 and ratio >= 50 and online[1] <= 20 else 1


def keep_freed_memory() -> None:
    """Let the C library hand large blocks out of its heap and never give the heap back (glibc's mallopt(3); else nothing changes)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_max = -1, -4
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU time of one call."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def as_tables(book: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The book's rows as the lab's tables; a fraud is known after its seven days."""
    moment = book["TX_DATETIME"].astype("datetime64[ms]").dt.tz_localize("UTC")
    nothing = pd.Categorical.from_codes(np.full(len(book), -1), categories=["unknown"])
    columns = {
        "transaction_id": book["TRANSACTION_ID"].astype("str"),
        "event_time": moment,
        "card_id": book["CUSTOMER_ID"].astype("str").astype("category"),
        "terminal_id": book["TERMINAL_ID"].astype("str").astype("category"),
        "amount_minor": (book["TX_AMOUNT"] * 100).round().astype("int64"),
    }
    blank = {"channel": nothing, "category": nothing, "device_id": nothing, "latitude": np.nan, "longitude": np.nan}
    labels = pd.DataFrame(
        {"transaction_id": columns["transaction_id"], "report_time": moment + pd.Timedelta(days=7), "is_fraud": book["TX_FRAUD"] == 1}
    )
    return pd.DataFrame(columns).assign(**blank), labels[labels["is_fraud"]]


def world_tables(days: int = 45) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Days of the default world, places and devices included."""
    config = WorldConfig()
    world = World(config)
    drawn = [world.day(config.start + timedelta(days=n)) for n in range(days)]
    frame = to_frame(pa.concat_tables([d["transactions"] for d in drawn]).unify_dictionaries(), "transactions")
    return frame, to_frame(pa.concat_tables([d["labels"] for d in drawn]).unify_dictionaries(), "labels")


def by_apply(customers: pd.DataFrame, terminals: pd.DataFrame) -> float:
    """CPU seconds per row of the 12 window columns the book's way: its operations in its order, in our own lines."""

    def customer(group: pd.DataFrame) -> pd.DataFrame:
        group = group.sort_values("TX_DATETIME").set_index("TX_DATETIME")
        for days in (1, 7, 30):
            total = group["TX_AMOUNT"].rolling(f"{days}D").sum()
            count = group["TX_AMOUNT"].rolling(f"{days}D").count()
            group[f"NB_TX_{days}"], group[f"AVG_AMOUNT_{days}"] = list(count), list(total / count)
        return group.reset_index().set_index("TRANSACTION_ID")

    def terminal(group: pd.DataFrame) -> pd.DataFrame:
        group = group.sort_values("TX_DATETIME").set_index("TX_DATETIME")
        late_frauds = group["TX_FRAUD"].rolling("7D").sum()
        late_count = group["TX_FRAUD"].rolling("7D").count()
        for days in (1, 7, 30):
            frauds = group["TX_FRAUD"].rolling(f"{7 + days}D").sum() - late_frauds
            count = group["TX_FRAUD"].rolling(f"{7 + days}D").count() - late_count
            group[f"NB_TX_{days}"], group[f"RISK_{days}"] = list(count), list(frauds / count)
        return group.reset_index().set_index("TRANSACTION_ID").fillna(0.0)

    def cost(rows: pd.DataFrame, key: str, columns: Callable[[pd.DataFrame], pd.DataFrame]) -> float:
        work = lambda: rows.groupby(key)[list(rows.columns)].apply(columns).sort_values("TX_DATETIME").reset_index(drop=True)  # noqa: E731
        return cpu_seconds(work) / len(rows)

    return cost(customers, "CUSTOMER_ID", customer) + cost(terminals, "TERMINAL_ID", terminal)


def by_group(customers: pd.DataFrame, terminals: pd.DataFrame) -> float:
    """CPU seconds per row of the same with no frame per group: a Python call per customer and per terminal gives a list of columns."""

    def customer(group: pd.DataFrame) -> list[pd.Series]:
        amount = group.set_index("TX_DATETIME")["TX_AMOUNT"]
        windows = [amount.rolling(f"{days}D") for days in (1, 7, 30)]
        return [column for window in windows for column in (window.count(), window.sum() / window.count())]

    def terminal(group: pd.DataFrame) -> list[pd.Series]:
        fraud = group.set_index("TX_DATETIME")["TX_FRAUD"]
        late = fraud.rolling("7D")
        windows = [fraud.rolling(f"{7 + days}D") for days in (1, 7, 30)]
        counts = [window.count() - late.count() for window in windows]
        risks = [(window.sum() - late.sum()) / count for window, count in zip(windows, counts, strict=True)]
        return [*counts, *(risk.fillna(0.0) for risk in risks)]

    def cost(rows: pd.DataFrame, key: str, columns: Callable[[pd.DataFrame], list[pd.Series]]) -> float:
        return cpu_seconds(lambda: [columns(group) for _, group in rows.groupby(key)]) / len(rows)

    return cost(customers, "CUSTOMER_ID", customer) + cost(terminals, "TERMINAL_ID", terminal)


def vectorised(customers: pd.DataFrame, terminals: pd.DataFrame) -> float:
    """The same by pandas' own grouped rolling windows: no Python per group. Fewer people write this."""

    def customer() -> list[Any]:
        windows = [customers.set_index("TX_DATETIME").groupby("CUSTOMER_ID")["TX_AMOUNT"].rolling(f"{days}D") for days in (1, 7, 30)]
        return [column for window in windows for column in (window.count(), window.mean())]

    def terminal() -> list[Any]:
        grouped = terminals.assign(one=1.0).set_index("TX_DATETIME").groupby("TERMINAL_ID")[["one", "TX_FRAUD"]]
        late = grouped.rolling("7D").sum()
        both = [grouped.rolling(f"{7 + days}D").sum() - late for days in (1, 7, 30)]
        return [(frame["TX_FRAUD"] / frame["one"]).fillna(0.0) for frame in both]

    return cpu_seconds(customer) / len(customers) + cpu_seconds(terminal) / len(terminals)


def online_microseconds(transactions: pd.DataFrame, labels: pd.DataFrame, last: int = 20_000) -> tuple[float, float]:
    """Median and 99th percentile of `History.advance` for the last payments, on the history of all before."""
    _, history = build_features(transactions.iloc[:-last], labels)
    seconds = transactions["event_time"].dt.as_unit("s").astype("int64").tolist()[-last:]
    tail = transactions.iloc[-last:]
    names = ("card_id", "terminal_id", "amount_minor", "channel", "category", "latitude", "longitude")
    devices = [device if isinstance(device, str) else None for device in tail["device_id"]]
    taken = []
    for moment, device, *values in zip(seconds, devices, *(tail[name].tolist() for name in names), strict=True):
        payment = dict(zip(names, values, strict=True))
        begin = time.perf_counter_ns()
        history.advance(event_time_s=moment, device_id=device, **payment)
        taken.append(time.perf_counter_ns() - begin)
    median, p99 = np.percentile(taken[1000:], [50, 99]) / 1000
    return float(median), float(p99)


def card_bytes(payments: int = 8, cards: int = 100_000) -> float:
    """Bytes of arrays per card that paid `payments` times; ids and their dictionary come on top (about 180 bytes)."""
    count = cards * payments
    frame = pd.DataFrame(
        {
            "transaction_id": pd.Series(np.arange(count)).astype("str"),
            "event_time": pd.to_datetime(pd.Series(1_767_571_200 + np.arange(count)), unit="s", utc=True).astype("datetime64[ms, UTC]"),
            "card_id": pd.Categorical((np.arange(count) % cards).astype(str)),
            "terminal_id": pd.Categorical((np.arange(count) % 1000).astype(str)),
            "amount_minor": np.full(count, 1000),
            **{name: pd.Categorical(["unknown"] * count) for name in ("channel", "category", "device_id")},
            "latitude": 48.2,
            "longitude": 16.4,
        }
    )
    history: History = build_features(
        frame, pd.DataFrame({"transaction_id": [], "report_time": frame["event_time"][:0], "is_fraud": np.array([], bool)})
    )[1]
    return history.card_bytes() / cards


if __name__ == "__main__":
    raise SystemExit(main())
