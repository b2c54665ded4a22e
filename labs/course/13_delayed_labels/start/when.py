"""Given: who could have known of the drift, and when: `python when.py`."""

import record
from hear import hear

found = record.read()
if found.onset is None:
    raise SystemExit("No drift is in the live payments yet: lab drift inject new_pattern --days 14")
print(f"the fraudsters changed on    {found.onset:%Y-%m-%d}, and today is {found.today:%Y-%m-%d}")
alarm = found.heard(hear)
if alarm is None:
    print("hear.py                      has not raised an alarm yet")
else:
    when, needed = alarm
    number, lost = found.missed(found.onset, when)
    print(f"hear.py raises its alarm on  {when:%Y-%m-%d %H:%M}, with report number {needed} since the change")
    print(f"frauds let through by then   {number}, known today; they cost {lost:,.0f} EUR")
    instant = found.heard(hear, at_once=True)
    print(f"had each been told at once   {f'{instant[0]:%Y-%m-%d %H:%M}' if instant else 'no alarm'}")
settles = found.onset + 2 * record.WEEK
print(f"its first week settles on    {settles:%Y-%m-%d}, if a report may take seven days")
number, lost = found.missed(found.onset, min(settles, found.today))
print(f"frauds let through by then   {number}; they cost {lost:,.0f} EUR")
