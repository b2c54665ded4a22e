"""Importances of models that were retrained, with and without a drift: `python retrains.py`, the first time a quarter of a minute."""

import numpy as np
from importance import moved
from rich.console import Console
from study import FEATURES, Study

with Console(stderr=True).status("retraining"):
    study = Study.here()
    quiet, drifted, seeds, champion = (study.importances(kind) for kind in ("quiet", "new_tactic", "seeds", "champion"))

print(f"\nShare of all importance (SHAP): {len(quiet)} retrainings on quiet fortnights, one on a")
print("new tactic, and the champion on the first and the last of them\n")
print(f"{'':<28}{'quiet retrainings':>21}{'seeds':>7}{'tactic':>8}{'champion':>15}")
for place in np.argsort(-quiet.mean(axis=0))[:12]:
    one, spread = quiet[:, place], seeds[:, place].std(ddof=1) / seeds[:, place].mean()
    strays = f"{one.mean():.3f} ({one.min():.3f}-{one.max():.3f})"
    explained = f"{champion[0, place]:.3f} {champion[1, place]:.3f}"
    print(f"{FEATURES[place]:<28}{strays:>21}{spread:>7.0%}{drifted[0, place]:>8.3f}{explained:>15}")
print("\nimportance.py names\n")
for number in range(len(quiet)):
    named = [FEATURES[place] for place in moved(np.delete(quiet, number, axis=0), quiet[number])]
    print(f"  quiet fortnight {number + 1}: {', '.join(named[:4]) or 'nothing'}{f' and {len(named) - 4} more' if len(named) > 4 else ''}")
named = [FEATURES[place] for place in moved(quiet, drifted[0])]
print(f"  new tactic:        {', '.join(named[:4]) or 'nothing'}{f' and {len(named) - 4} more' if len(named) > 4 else ''}")
