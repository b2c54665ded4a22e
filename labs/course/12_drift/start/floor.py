"""What alarms when nothing is wrong, and what is seen when something is: `python floor.py`, half a minute.

Evidently's defaults, every p-value below 0.05, and monitor.py, over quiet windows of this history and over three drifts.
"""

from compare import INPUTS, compare, compare_column
from monitor import alarms
from rich.progress import track
from study import DRIFTS, EVIDENTLY_WINDOWS, SIZES, Study

WINDOWS = 12


def uncorrected(window, reference):
    return [found.column for found in compare(window, reference) if found.p_value < 0.05]


def share(alarm, pairs):
    said = [bool(alarm(pair.window, pair.reference)) for pair in pairs]
    return f"{sum(said) / len(said):.0%} of {len(said)}"


def main():
    study = Study.here()
    print(f"\nWindows with any of {len(INPUTS)} columns in alarm, nothing being wrong\n")
    print(f"{'reference':>9} {'window':>7}   {'Evidently':>10} {'p < 0.05':>12} {'monitor.py':>12}")
    rows = []
    for size in track(SIZES, description="quiet windows"):
        theirs = f"{study.evidently(*size, EVIDENTLY_WINDOWS):.0%} of {EVIDENTLY_WINDOWS}"
        ours = [share(alarm, study.shuffled(*size, WINDOWS)) for alarm in (uncorrected, alarms)]
        rows.append(f"{size[0]:>9,} {size[1]:>7,}   {theirs:>10} {ours[0]:>12} {ours[1]:>12}")
    print("\n".join(rows), "\n\nThose were shuffled payments. As they came, against the 14 days before:\n")
    for name, pairs in (("single days", study.real(1, 2)), ("weeks", study.real(7, 4)), ("days served", study.unseen())):
        pairs = list(pairs)
        print(f"{name:>17}   {'':>10} {share(uncorrected, pairs):>12} {share(alarms, pairs):>12}")
    print("\nHow far those quiet days stray by themselves: the largest distance of each column, and change of its missing share\n")
    quiet = [found for pair in study.real(1, 2) for found in compare(pair.window, pair.reference)]
    for column in INPUTS:
        here = [found for found in quiet if found.column == column]
        missing = max(abs(one.missing - one.missing_before) for one in here)
        print(f"  {column:<25}{max(one.distance for one in here):>8.3f}   missing: {missing:.3f}")
    print("\nWith a drift (reference 20,000, window 10,000): the column that moves, how far, and who sees it\n")
    print(f"{'':>20}   {'':<19} {'distance':>8} {'missing':>8} {'Evidently':>10} {'monitor.py':>11}")
    for name, (drift, column) in DRIFTS.items():
        pairs = [(drift(pair.window), pair.reference) for pair in study.shuffled(20_000, 10_000, 5)]
        moved = compare_column(pairs[0][0][column], pairs[0][1][column])
        theirs, ours = study.evidently(20_000, 10_000, 5, drift), sum(column in alarms(*pair) for pair in pairs) / 5
        missing = abs(moved.missing - moved.missing_before)
        print(f"{name:>20}   {column:<19} {moved.distance:>8.3f} {missing:>8.3f} {theirs:>10.0%} {ours:>11.0%}")


if __name__ == "__main__":
    main()
