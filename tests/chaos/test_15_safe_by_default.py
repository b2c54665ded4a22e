"""Promise 15: as it is started, nothing listens beyond this machine, no web page of another site gets in, and no key is a default."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from data.environment import DEFAULTS
from data.keys import lab_key
from data.serving_plan import ServingPlan, seal
from data.settings import REPOSITORY, Settings
from services.programs import Program, programs
from tests.chaos.registry import MODEL, free_port
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab, wait_until

LOOPBACK = {"127.0.0.1", "::1"}
START_LIMIT_S = 240.0
# A request that changes something, and one that reads, of each program; /health and /live are for probes, which name any host.
CHANGES = {
    "scoring": ("/v1/labels", {"labels": []}),
    "mlflow": ("/api/2.0/mlflow/experiments/create", {"name": "from another site"}),
    "prefect": ("/api/flows/", {"name": "from another site"}),
}
READS = {
    "scoring": ("GET", "/v1/serving", None),
    "mlflow": ("POST", "/api/2.0/mlflow/experiments/search", {"max_results": 1}),
    "prefect": ("POST", "/api/flows/filter", {"limit": 1}),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Program, psutil.Process]]]:
    """The three servers, each started with the supervisor's own command, on free ports."""
    home = tmp_path_factory.mktemp("stack")
    settings = Settings(home=home, scoring_port=free_port(), mlflow_port=free_port(), prefect_port=free_port())
    for name in ("mlflow", "prefect"):
        (home / name).mkdir()
    with _running(home, settings) as found:
        yield found


@contextmanager
def _running(home: Path, settings: Settings) -> Iterator[dict[str, tuple[Program, psutil.Process]]]:
    every = programs(settings)
    found: dict[str, tuple[Program, psutil.Process]] = {}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for program in every.values():
            environment = os.environ | DEFAULTS | settings.as_environment() | program.environment
            with (home / f"{program.name}.log").open("wb") as said:
                command = subprocess.Popen(
                    program.command,
                    cwd=home,
                    env=environment | {"PYTHONPATH": str(REPOSITORY)},
                    stdout=said,
                    stderr=said,
                    start_new_session=True,
                )
            started.append(command)
            found[program.name] = (program, psutil.Process(command.pid))
        for program, process in found.values():
            wait_until(
                lambda p=program, q=process: _healthy(p) or not q.is_running(),
                f"{program.name} is healthy",
                limit_s=START_LIMIT_S,
                poll_s=0.1,
            )  # type: ignore[misc]
            assert process.is_running(), (home / f"{program.name}.log").read_text()[-2000:]
        yield found
    finally:
        for process in started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _healthy(program: Program) -> bool:
    try:
        return httpx.get(program.health, timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def test_only_loopback_is_bound(stack: dict[str, tuple[Program, psutil.Process]], scoreboard: Scoreboard) -> None:
    beyond, listeners = [], 0
    for name, (program, process) in stack.items():
        sockets = [
            c
            for member in (process, *process.children(recursive=True))
            for c in member.net_connections("inet")
            if c.status == psutil.CONN_LISTEN
        ]
        assert program.port in {c.laddr.port for c in sockets}, f"{name} does not listen where it should"
        listeners += len(sockets)
        beyond += [f"{name} on {c.laddr.ip}:{c.laddr.port}" for c in sockets if c.laddr.ip not in LOOPBACK]
        for address in _addresses_of_this_machine():
            with suppress(OSError), socket.create_connection((address, program.port), timeout=2):
                beyond.append(f"{name} answers on {address}")
    with socket.create_server(("", 0)) as open_to_all:  # the look itself: a listener on every address is seen
        assert any(
            c.laddr.ip not in LOOPBACK for c in psutil.Process().net_connections("inet") if c.laddr.port == open_to_all.getsockname()[1]
        )
    scoreboard.record(
        promise=15,
        name="only loopback is bound",
        n=listeners,
        failures=len(beyond),
        figure=", ".join(beyond) or "every listener on 127.0.0.1",
        passed=not beyond,
    )


def _addresses_of_this_machine() -> set[str]:
    every = (address.address for addresses in psutil.net_if_addrs().values() for address in addresses if address.family == socket.AF_INET)
    return set(every) - LOOPBACK


def test_another_host_and_another_site_are_refused(stack: dict[str, tuple[Program, psutil.Process]], scoreboard: Scoreboard) -> None:
    let_in, asked = [], 0
    for name, (program, _) in stack.items():
        url = f"http://127.0.0.1:{program.port}"
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            method, path, content = READS[name]
            assert client.request(method, path, json=content).is_success, f"{name} refuses everybody"
            for host in ("evil.example", f"evil.example:{program.port}", "127.0.0.1.evil.example", "169.254.169.254"):
                asked += 1
                if client.request(method, path, json=content, headers={"host": host}).status_code < 400:
                    let_in.append(f"{name}: Host {host}")
            path, content = CHANGES[name]
            for origin in ("https://evil.example", "null", f"http://evil.example:{program.port}"):
                for kind in ("application/json", "text/plain"):
                    asked += 1
                    answer = client.post(path, content=json.dumps(content), headers={"origin": origin, "content-type": kind})
                    if answer.status_code not in (400, 401, 403, 415):
                        let_in.append(f"{name}: {kind} from {origin} got {answer.status_code}")
                asked += 1
                wish = {"origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
                allowed = client.options(path, headers=wish).headers.get("access-control-allow-origin")
                if allowed in ("*", origin):
                    let_in.append(f"{name}: a browser would let {origin} in")
    scoreboard.record(
        promise=15,
        name="another host, another site are refused",
        n=asked,
        failures=len(let_in),
        figure=f"{len(stack)} ports; " + ("; ".join(let_in[:3]) or "all refused"),
        passed=not let_in,
    )


def test_looking_at_the_registry_needs_the_labs_key(lab: Lab, scoreboard: Scoreboard, tmp_path: Path) -> None:
    lab.settings |= {"LAB_REGISTRY_POLL_S": "60"}
    lab.start()
    lab.registry.set_plan(ServingPlan(epoch=1, champion="2"))
    key, another = lab_key(lab.home / "keys"), lab_key(tmp_path / "another")
    guesses = ["", "changeme", "lab", "null", key[:-1], key + "x", key.swapcase(), another, f"Bearer {key}", "*"]
    attempts = [{}, {"Authorization": f"Bearer {key}"}, {"Cookie": f"X-Lab-Key={key}"}, *({"X-Lab-Key": guess} for guess in guesses)]
    plan = seal(ServingPlan(epoch=1, champion="2"), MODEL, lab.home / "keys")  # signed: the key alone is missing
    changes = (("POST", "/v1/reload", ""), ("PUT", "/v1/plan", plan), ("PUT", "/v1/faults", '{"challenger": null}'))
    queries = ("", f"?x-lab-key={key}")
    answers = [
        lab.http.request(method, f"{path}{query}", content=content, headers=headers | {"Content-Type": "application/json"})
        for headers in attempts
        for query in queries
        for method, path, content in changes
    ]
    let_in = [answer for answer in answers if answer.status_code != 403]
    moved = lab.serving()["champion"] != "1"
    told = [answer for answer in answers if key in answer.text]
    assert lab.http.post("/v1/reload", headers={"X-Lab-Key": key}).json()["champion"] == "2", "nobody gets in at all"
    readable = [file.name for file in (lab.home / "keys").iterdir() if file.stat().st_mode & 0o077]
    scoreboard.record(
        promise=15,
        name="changing who serves needs the lab's key",
        n=len(answers),
        failures=len(let_in) + len(told) + moved + len(readable),
        figure=f"key files that others may read: {readable or 'none'}",
        passed=not (let_in or told or moved or readable),
    )


def test_a_key_that_anybody_could_guess_ends_the_start(lab: Lab, scoreboard: Scoreboard) -> None:
    keys = (lab.home / "keys").resolve()
    (lab.home / "keys").unlink()
    shutil.copytree(keys, lab.home / "keys")
    started = []
    weak = ("", "\n", "changeme", "secret")
    for key in weak:
        (lab.home / "keys" / "lab.key").write_text(key)
        lab.launch()
        with suppress(subprocess.TimeoutExpired):
            lab.end(limit_s=30)
        started += [key] if lab.is_running() else []
        lab.kill()
    told = lab.said.read_text().count("too short to be a key")
    scoreboard.record(
        promise=15,
        name="no start on a key that is empty or short",
        n=len(weak),
        failures=len(started) + (told < len(weak)),
        figure=f"started with: {started or 'none'}; told {told} times",
        passed=not started and told == len(weak),
    )


def test_a_plan_that_the_lab_did_not_sign_or_that_is_over_changes_nobody(lab: Lab, scoreboard: Scoreboard, tmp_path: Path) -> None:
    keys, plan = lab.home / "keys", ServingPlan(epoch=9, champion="3")
    over = seal(ServingPlan(epoch=1, champion="2"), MODEL, keys)
    lab.start()
    for epoch in (1, 2):
        lab.registry.set_plan(ServingPlan(epoch, champion=str(3 - epoch)))
        wait_until(lambda epoch=epoch: lab.follows(epoch), "the plan is followed")  # type: ignore[misc]
    forgeries = [
        json.dumps(plan.to_json()), seal(plan, MODEL, tmp_path / "another"), seal(plan, "another", keys), over,
        over.replace('"epoch": 1', '"epoch": 9'), "{}", "no JSON",
    ]  # fmt: skip
    followed = unsaid = 0
    for forgery in forgeries:
        lab.registry.forge_plan(forgery)
        wait_until(lambda: lab.serving()["registry_problem"] is not None, "the plan was looked at")
        followed += lab.serving()["champion"] != "1"
        unsaid += "serving plan" not in str(lab.serving()["registry_problem"])
        lab.registry.set_plan(ServingPlan(2, champion="1"))
        wait_until(lambda: lab.serving()["registry_problem"] is None, "the plan in force is well again")
    scoreboard.record(
        promise=15,
        name="a forged or replayed plan in the registry changes nobody",
        n=len(forgeries),
        failures=followed + unsaid,
        figure="unsigned, another lab's, another model's, altered, over",
        passed=not (followed or unsaid),
    )
