"""Given. The registry's bad day, as your service lives through it: `python drill.py`."""

import time
from pathlib import Path

from data.settings import Settings
from labs.endpoint.bodies import GOOD
from labs.endpoint.gate import DAMAGED
from labs.endpoint.process import START_S, ServiceProcess, on_trial
from labs.endpoint.trial import ONE, VERSION
from labs.engine import Incorrect

FILE, SETTINGS = Path("service.py").absolute(), Settings.load()


def look(what: str, service: ServiceProcess, seconds: float = 0.0) -> None:
    """What the three routes say; where it is to go on for a while, the slowest payment of that while."""
    end = time.monotonic() + seconds
    slowest = reply = service.client.post(ONE, GOOD)
    while time.monotonic() < end:
        reply = service.client.post(ONE, GOOD)
        slowest = max(slowest, reply, key=lambda one: one.seconds)
        time.sleep(0.02)
    health, ready = (service.client.ask("GET", path).status or "-" for path in ("/health", "/ready"))
    version = reply.headers.get(VERSION, "-")
    print(f"{what:31} /health {health}  /ready {ready}  /predict {reply.status or '-'}  v{version:3} {slowest.seconds:7.3f} s")


def start(service: ServiceProcess, ready_s: float = START_S) -> None:
    try:
        service.start()
        service.ready_within(ready_s)
    except Incorrect as fault:
        print(fault.why)


def wait_for(service: ServiceProcess, version: str) -> None:
    end = time.monotonic() + START_S
    while service.client.post(ONE, GOOD).headers.get(VERSION, version) != version and time.monotonic() < end:
        time.sleep(0.1)


with on_trial(FILE, SETTINGS) as (service, gate):
    start(service)
    look("registry open", service)
    gate.state = "down"
    look("registry down", service, 0.5)
    gate.state = "silent"
    look("registry silent", service, 2.5)
    service.stop()
    start(service, 2)
    look("started again, registry silent", service)
    gate.state = "open"
    gate.aliases["champion"] = DAMAGED
    look(f"champion moved to damaged v{DAMAGED}", service, 3)
    gate.aliases["champion"] = "2"
    wait_for(service, "2")
    look("champion moved to v2", service)

with on_trial(FILE, SETTINGS) as (service, gate):
    gate.state = "down"
    start(service, 0.5)
    look("no registry, and never a model", service)
    gate.state = "open"
    service.ready_within(START_S)
    look("registry back", service)
