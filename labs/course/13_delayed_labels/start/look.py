"""Given: the live weeks as dashboards show them, inputs and average precision side by side: `python look.py`."""

import record
from trend import judged

found = record.read()
weeks = found.weeks()
print("Population stability of each week against quiet weeks of history\n")
tests = [found.inputs(*week) for week in weeks]
print(f"{'week from':<26}" + "".join(f"{start:%m-%d}".rjust(11) for start, _ in weeks))
for column in zip(*tests, strict=True):
    print(f"{column[0].column:<26}" + "".join(f"{test.population_stability:>10.4f}{'!' if test.drifted else ' '}" for test in column))
print("! moved, by the tests of `lab drift check`\n")
print("Average precision of each week, by trend.py (-: nothing may judge yet), on")
for _, today in weeks:
    shown = [found.precision_of(week, today, judged) for week in weeks if week[1] <= today]
    print(f"{today:%Y-%m-%d}".ljust(26) + "".join(f"{value:>10.3f} " if value == value else f"{'-':>10} " for value in shown))
