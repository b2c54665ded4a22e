"""Given. Starts service.py, and sends it what nobody should: `python attack.py`, or one of them: `python attack.py "a latitude NaN"`."""

import sys
from collections import Counter
from pathlib import Path

from data.settings import Settings
from labs.endpoint.bodies import GOOD, send
from labs.endpoint.process import on_trial
from labs.endpoint.trial import ONE, hostile_bodies, hostile_faults

asked = sys.argv[1] if len(sys.argv) > 1 else None
bodies = [(path, body) for path, body in hostile_bodies() if asked in (None, body.name)]
with on_trial(Path("service.py").absolute(), Settings.load()) as (service, _):
    service.start()
    before = service.client.post(ONE, GOOD)
    print(f"a good payment: {before.status} {before.content.decode()[:200]}")
    if asked is None:
        faults = list(hostile_faults(service, bodies))
        for fault in faults[:: max(1, len(faults) // 20)]:
            print(f"{fault.body.name}: {fault.said}"[:80])
        counts = ", ".join(f"{count} {kind}" for kind, count in Counter(fault.kind for fault in faults).items())
        print(f"\n{len(bodies)} hostile bodies, {len(faults)} not refused as they should be{': ' if faults else ''}{counts}")
        after = service.client.post(ONE, GOOD | {"transaction_id": "tx_000002"})
        print(f"a good payment afterwards: {after.status} {after.content.decode()[:200]}")
    elif asked != "good":
        for path, body in bodies:
            answer = send(service.port, path, body, limit_s=2)
            print(f"{body.name}: {body.content[:200]!r}\n→ {answer.status or 'no answer'} {answer.content[:400].decode(errors='replace')}")
    if asked is not None and service.said:
        print(f"\nIt printed:\n{service.said[-1500:]}")
