"""Given: `python stream.py` plays a month of payments through your store, one by one, and compares its totals for one day.

`python stream.py nightly` asks nightly.py instead, which has the job's help, also after three nights without it; both are timed.
"""

import importlib
import sys
from datetime import UTC, datetime
from time import process_time_ns

import numpy as np
import online

DAY_S = 86_400
WINDOWS = ("1h", "1d", "7d", "30d")
NAMES = tuple(f"{name}_{window}" for name in ("card_count", "card_sum", "terminal_count") for window in WINDOWS)


def answers(events, asked, module="online", nights=()):
    """Totals (n, 12) of the payments that are `asked`, and the microseconds of CPU that each took.

    `nights`: the midnights, in seconds since 1970, at which the nightly job ran; it sees what had arrived by then.
    """
    store, totals = online.create(), importlib.import_module(module).totals
    found, spent, waiting, newest = [], [], sorted(nights), 0
    for (card, terminal, at, cents), is_asked in zip(events, asked, strict=True):
        while waiting and at >= waiting[0]:
            importlib.import_module(module).nightly(store, waiting.pop(0))
        newest = max(newest, at)
        if is_asked:
            mark = datetime.fromtimestamp(newest, UTC).replace(tzinfo=None).isoformat()
            began = process_time_ns()
            found.append(totals(store, card, terminal, at, mark))
            spent.append((process_time_ns() - began) / 1000)
        online.remember(store, card, terminal, at, cents)
    return np.array(found, dtype=np.int64), np.array(spent)


def told(name, found, wanted, spent):
    off = (found != wanted).any(axis=1)
    which = ", ".join(NAMES[k] for k in np.flatnonzero((found != wanted).any(axis=0))[:3])
    print(f"{name:<34}{off.sum():>7,} of {len(off):,}  {which}")
    return f"{name:<34}{np.median(spent):>7.0f} {np.quantile(spent, 0.99):>8.0f} {spent.mean():>7.0f}   µs: median, p99, mean"


def main(asked_for):
    from study import Live

    one = Live.here().stretch
    print(f"{datetime.fromtimestamp(one.midnight, UTC):%Y-%m-%d}: payments whose totals differ")
    found, spent = answers(one.events, one.asked)
    times = [told("online.py from the batch path", found, one.again, spent)]
    if asked_for != ["nightly"]:
        told("online.py from what was served", found, one.served, spent)
        return
    for name, nights in (("nightly.py", 0), ("nightly.py, job dead for 3 nights", 3)):
        found, spent = answers(one.events, one.asked, "nightly", [one.midnight - nights * DAY_S])
        times.append(told(name, found, one.again, spent))
    print("\n".join(times))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except NotImplementedError as left_open:
        raise SystemExit(str(left_open)) from None
