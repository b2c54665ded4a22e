"""monitor.py and find.py on the last week served: `python where.py`."""

from compare import INPUTS, compare
from find import find
from monitor import alarms
from study import Study

window, reference = Study.here().incident
named = alarms(window, reference)
print(f"{len(window):,} payments from {window['event_time'].min():%Y-%m-%d} to {window['event_time'].max():%Y-%m-%d}")
print(f"monitor.py: {', '.join(named) or 'nothing drifted'}\n")
print(f"{'':<25}{'distance':>9}{'median':>10}{'before':>10}")
for one in sorted(compare(window, reference), key=lambda found: -found.distance):
    words = one.column in ("channel", "category")
    medians = "" if words else f"{window[one.column].median():>10.4g}{reference[one.column].median():>10.4g}"
    print(f"{one.column:<25}{one.distance:>9.3f}{medians}")
print("\nfind.py:")
for column in named:
    if column in INPUTS and column not in ("channel", "category"):
        found = find(reference, window, column)
        print(f"  {column}: " + ", ".join(f"{fact} {value:.3g}" if fact == "factor" else str(value) for fact, value in found.items()))
