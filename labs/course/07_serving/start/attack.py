"""Given. Starts service.py and sends what nobody should: `python attack.py`, or `python attack.py "a latitude NaN" "no id"` alone."""

import sys
import time
from collections import Counter
from pathlib import Path

from data.settings import Settings
from labs.endpoint.bodies import GOOD, send
from labs.endpoint.process import ServiceProcess, on_show
from labs.endpoint.trial import ONE, hostile_bodies, hostile_faults
from labs.endpoint.twin import Twin


def show(what: str, status: int, content: bytes) -> None:
    print(f"{what}\n  → {status or 'no answer'} {content[:300].decode(errors='replace')}")


def send_good(service: ServiceProcess, twin: Twin, what: str) -> None:
    reply = service.client.post(ONE, GOOD)
    while reply.status == 503:  # it is still fetching its model
        time.sleep(0.1)
        reply = service.client.post(ONE, GOOD)
    show(what, reply.status, reply.content)
    print(f"  right, if only good payments were remembered: {twin.model('1').score(twin.features(GOOD))}")


def send_all(service: ServiceProcess) -> None:
    faults = list(hostile_faults(service, bodies := hostile_bodies()))
    for fault in faults[:: max(1, len(faults) // 20)]:
        print(f"  {fault.body.name}: {fault.said}"[:80])
    print(f"{len(bodies)} hostile bodies, {len(faults)} of them not refused as they should be")
    for kind, count in Counter(fault.kind for fault in faults).most_common():
        print(f"  {count:4} {kind}")


def send_one(service: ServiceProcess, name: str) -> None:
    for path, body in hostile_bodies():
        if body.name == name:
            answer = send(service.port, path, body, limit_s=2)
            show(f"{name}: {body.content[:70].decode(errors='replace')} …", answer.status, answer.content)


settings = Settings.load()
with on_show(Path("service.py").absolute(), settings) as (service, gate):
    service.start()
    twin = Twin(settings, gate.url)
    send_good(service, twin, "a good payment")
    if len(sys.argv) == 1:
        send_all(service)
        send_good(service, twin, "the good payment again")
    for name in sys.argv[1:]:
        send_one(service, name)
    if len(sys.argv) > 1:
        print(f"What it printed, at its end:\n{service.said[-1200:]}")
