"""Given. Sends one day of payments, an attack in it, through service.py and counts which layer stopped what: `python replay.py`."""

import sys
from pathlib import Path

from data.settings import Settings
from labs.endpoint.layers import GENUINE, day_of_attack, stopped_by
from labs.endpoint.process import START_S, on_show
from labs.endpoint.trial import MANY
from labs.endpoint.twin import Twin
from labs.stream import open_stream

settings = Settings.load()
payments, kinds = day_of_attack(open_stream(settings, None, 0))
with on_show(Path("service.py").absolute(), settings) as (service, gate):
    service.start()
    service.ready_within(START_S)
    said = []
    for start in range(0, len(payments), 1000):
        reply = service.client.post(MANY, {"transactions": payments[start : start + 1000]})
        if reply.status != 200:
            sys.exit(f"A batch is answered with {reply.status or 'silence'}: {reply.content[:300].decode(errors='replace')}")
        said += reply.json()["predictions"]
    policy = Twin(settings, gate.url).model("1").policy

by = stopped_by(said, kinds, policy)
print(f"{len(payments):,} payments; the model alone reviews from {policy.review_at:.3f} and declines from {policy.decline_at:.2f}\n")
print(f"{'stopped by':24}{'rules only':>12}{'both':>8}{'model only':>12}{'nobody':>9}")
for kind in (*sorted(set(kinds) - {GENUINE}), GENUINE):
    counts = [by[layer][kind] for layer in ("rules only", "both", "model only")]
    print(f"{kind:24}{counts[0]:12}{counts[1]:8}{counts[2]:12}{kinds.count(kind) - sum(counts):9}")
print("\nFrauds, what the model alone says → what is answered, by which layer")
turns = [(policy.decide(one["score"]), one["decision"], one["layer"]) for one, kind in zip(said, kinds, strict=True) if kind != GENUINE]
for turn in sorted(set(turns)):
    print(f"{turn[0]:>10} → {turn[1]:8} {turn[2]:6} {turns.count(turn):5}")
