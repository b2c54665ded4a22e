"""What blind.py does to the monitors and to the champion: `python damage.py`."""

from blind import loud, silent
from compare import compare, compare_column
from monitor import alarms
from study import Study

study = Study.here()
rows = study.features
print(f"\n{len(rows):,} payments, {study.judged['is_fraud'].sum()} of them reported as fraud\n")
print(f"{'':<10}{'average':>9}{'alarms of':>12}{'largest':>10}{'score':>10}{'rows a replay':>17}")
print(f"{'':<10}{'precision':>9}{'monitor.py':>12}{'distance':>10}{'distance':>10}{'gives otherwise':>17}\n")
for name, drift in (("as it was", lambda same: same), ("loud", loud), ("silent", silent)):
    changed = drift(rows.copy())
    distance = max(found.distance for found in compare(changed, rows))
    score = compare_column(study.score(changed), study.score(rows)).distance
    said, precision = len(alarms(changed, rows)) or "quiet", study.average_precision(changed)
    print(f"{name:<10}{precision:>9.3f}{said:>12}{distance:>10.3f}{score:>10.3f}{study.not_replayed(changed):>17.0%}")
