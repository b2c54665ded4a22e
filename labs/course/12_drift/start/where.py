"""monitor.py and find.py on the last week served, and find.py on an incident of known cause: `python where.py`."""

from compare import WORDS, compare
from find import find
from monitor import alarms
from study import Study


def told(window, reference, column):
    found = find(reference, window, column)
    return ", ".join(f"{fact} {value:.3g}" if fact == "factor" else str(value) for fact, value in found.items())


study = Study.here()
window, reference = study.incident
named = alarms(window, reference)
print(f"{len(window):,} payments from {window['event_time'].min():%Y-%m-%d} to {window['event_time'].max():%Y-%m-%d}")
print(f"monitor.py: {', '.join(named) or 'nothing drifted'}\n")
print(f"{'':<25}{'distance':>9}{'median':>10}{'before':>10}")
for one in sorted(compare(window, reference), key=lambda found: -found.distance):
    medians = "" if one.column in WORDS else f"{window[one.column].median():>10.4g}{reference[one.column].median():>10.4g}"
    print(f"{one.column:<25}{one.distance:>9.3f}{medians}")
print("\nfind.py:")
for column in named:
    if column not in WORDS:
        print(f"  {column}: {told(window, reference, column)}")
practice, since = study.invented("amount", "channel", "chip", 1.5, begins=20, day=4)
print(f"\nOn an invented one (amount: channel, chip, {since}, factor 1.5) it says\n  amount: {told(*practice, 'amount')}")
