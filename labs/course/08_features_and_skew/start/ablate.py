"""Given: `python ablate.py` says what each group of features is worth, alone and among the others. Half a minute."""

from statistics import mean, stdev

from rich.progress import track
from selection import chosen
from study import GROUPS, SEEDS, Fits

from data.features import FEATURES

fits = Fits.here()
others = {group: names for group, names in GROUPS.items() if group != "purchase"}
wanted = {"all": list(FEATURES), "purchase": GROUPS["purchase"]}
wanted |= {f"without {group}": [name for name in FEATURES if name not in names] for group, names in others.items()}
wanted |= {f"purchase and {group}": GROUPS["purchase"] + names for group, names in others.items()}
if set(chosen()) != set(FEATURES):
    wanted["selection.py"] = chosen()
print(f"{'':<34}{'features':>9}{'avg. precision':>16}{'seeds':>9}")
for row, names in track(wanted.items(), description="fitting", transient=True):
    reached = [fits.ranks(names, seed) for seed in SEEDS]
    print(f"{row:<34}{len(names):>9}{mean(reached):>16.3f}{'±':>4}{stdev(reached):.3f}")
