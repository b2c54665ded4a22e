"""What a classifier, anomaly.py and a team that shares its alerts between them catch: `python attack.py`."""

from anomaly import scores
from study import CAPACITY, Study, saved, shared_alerts

study = Study.here()
for name, attack in (("card testing, as new", study.card_testing), ("a quiet kind", study.quiet)):
    strange = scores(study.ordinary, attack.features)
    print(f"\n{name}: {attack.new.sum()} of it and {attack.old.sum()} other frauds among {len(strange):,} payments")
    print(f"{'alerts for anomalies':<24}{'new caught':>12}{'others caught':>16}{'saved per 1,000':>18}")
    for anomalies in (0, 2, 4, 6, 8, 10):
        alert = shared_alerts(attack.classifier, strange, anomalies)
        new, old = (alert[kind].mean() for kind in (attack.new, attack.old))
        print(f"{anomalies} of {CAPACITY:<19g}{new:>12.1%}{old:>16.1%}{saved(attack, alert):>14.0f} EUR")
