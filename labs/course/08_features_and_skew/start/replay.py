"""Given: `python replay.py` computes each logged payment's features again by the batch path, and compares them with what was served.

`python replay.py ID` shows one payment: what was served, what the batch path says, and who had paid in the hours before it.
"""

import sys

import numpy as np
from study import Live

from data.features import FEATURES


def main(wanted: list[str]) -> None:
    live = Live.here()
    if wanted:
        one(live, wanted[0])
    else:
        everything(live)


def everything(live: Live) -> None:
    print(f"{'day':<12}{'payments':>9}{'served otherwise':>18}   first of them")
    for day in sorted(set(live.day)):
        off = np.flatnonzero((live.day == day) & live.differs)
        first = live.payments["transaction_id"].iloc[off[0]] if len(off) else ""
        print(f"{day:%Y-%m-%d}  {(live.day == day).sum():>9,}{len(off):>18,}   {first}")
    for column in live.parity(np.ones(len(live.day), dtype=bool)).columns:
        print(f"  {column.column:<24}{column.rows:>8,} payments")


def one(live: Live, name: str) -> None:
    places = np.flatnonzero(live.payments["transaction_id"] == name)
    if not len(places):
        raise SystemExit(f"The log holds no payment {name}.")
    place = int(places[0])
    paid = live.payments.iloc[place]
    print(f"{name}, {paid['event_time']:%Y-%m-%d %H:%M:%S}: what differs\n{'':<24}{'served':>10}{'again':>10}")
    for feature, served, again in zip(FEATURES, live.served[place], live.again[place], strict=True):
        if served != again and not (np.isnan(served) and np.isnan(again)):
            print(f"{feature:<24}{served:>10.2f}{again:>10.2f}")
    for owner in ("card", "terminal"):
        before = live.payments.iloc[:place]
        mine = before[(before[f"{owner}_id"] == paid[f"{owner}_id"]) & (before["event_time"] <= paid["event_time"])]
        minutes = (paid["event_time"] - mine["event_time"]).dt.total_seconds() / 60
        recent = ", ".join(f"{m:.0f}" for m in minutes[minutes < 300].iloc[::-1][:15])
        print(f"payments of this {owner}, minutes before: {recent or 'not within five hours'}")


if __name__ == "__main__":
    main(sys.argv[1:])
