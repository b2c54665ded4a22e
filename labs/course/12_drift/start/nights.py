"""The same alarm, asked of every quiet night: `python nights.py`."""

from collections import Counter

from compare import INPUTS, compare
from season import reference
from study import Study


def alarms(window, before):
    """The corrected test of eleven columns at 1 % a window."""
    return [found.column for found in compare(window, before) if found.p_value < 0.01 / len(INPUTS)]


nights = list(Study.here().nights())
for title, chosen in (("the newest 1,000 payments", lambda history, _: history.tail(1000)), ("season.py", reference)):
    said = [alarms(night.window, chosen(night.reference, night.window)) for night in nights]
    columns = ", ".join(f"{name} {count}" for name, count in Counter(name for named in said for name in named).most_common(4)) or "none"
    print(f"\nAgainst {title}: {sum(map(bool, said))} of {len(said)} quiet nights alarm ({columns})")
    print(f"The night of the alert, the last of them: {', '.join(said[-1]) or 'quiet'}")
