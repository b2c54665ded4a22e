"""The same alarm, asked of every quiet night: `python nights.py`."""

from collections import Counter

from compare import corrected
from season import reference
from study import Study

nights = list(Study.here().nights())
for title, chosen in (("the newest 1,000 payments", lambda history, _: history.tail(1000)), ("season.py", reference)):
    said = [corrected(night.window, chosen(night.reference, night.window)) for night in nights]
    columns = ", ".join(f"{name} {count}" for name, count in Counter(name for named in said for name in named).most_common(4)) or "none"
    print(f"\nAgainst {title}: {sum(map(bool, said))} of {len(said)} quiet nights alarm\n  how often which: {columns}")
    print(f"  the night of the alert, the last of them: {', '.join(said[-1]) or 'quiet'}")
