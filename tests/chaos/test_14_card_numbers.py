"""Promise 14: wherever a card number is sent, it rests nowhere: no log, no store, no metric, no answer holds it."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import pytest

from data.errors import BadInput
from data.schema import looks_like_card_number
from data.settings import REPOSITORY, Settings
from labs.endpoint.bodies import GOOD, Answer, Body, send
from labs.endpoint.cards import card_numbers, digits_of, grouped
from labs.engine.levels import level_of
from labs.engine.live_state import put_back
from labs.engine.prepare import Preparation
from labs.service import serving_once_ready
from services.supervisor import Supervisor
from tests.chaos.load import payment
from tests.chaos.registry import free_port
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab
from tests.observe.stack import environment
from tests.payments import transactions

CANARIES = 200
RESTS = {  # what a lab leaves: the pattern of its files
    "MLflow's database": "mlflow.db",
    "models": "MLmodel",
    "Evidently's pages": "reports/drift_*.html",
    "its snapshots": "snapshots/*.json",
    "logs": "*.log",
}
JSON = "Content-Type: application/json"
GROUPS = ("", " ", "-", ".", "_", ":")  # as people and programs write them: 4929 0000 0000 0006


def test_no_card_number_rests_anywhere(lab: Lab, scoreboard: Scoreboard, tier: Callable[[int, int], int], tmp_path: Path) -> None:
    lab.start()
    canaries = list(card_numbers(CANARIES))
    assert len(set(canaries)) == CANARIES and all(looks_like_card_number(canary) for canary in canaries)
    answers: Counter[int] = Counter()
    echoes = []
    sent = 0
    turns = tier(3, 1)  # each number goes to every third place, and every place sees every third number
    for i, canary in enumerate(canaries):
        for place, request in list(PLACES.items())[i % turns :: turns]:
            separator = GROUPS[i % len(GROUPS)] if place.startswith("body: a field") else ""
            answer = request(lab.port, grouped(canary, separator), i)
            sent += 1
            answers[answer.status] += 1
            if digits(canary) in digits_of(answer.content + repr(answer.headers).encode()):
                echoes.append(f"the answer to {place} {separator!r}")
    assert min(answers[200], answers[422]) >= CANARIES, f"not refused where it must be and served where it may: {answers}"
    metrics = tmp_path / "metrics.txt"
    metrics.write_bytes(lab.http.get("/metrics").content + lab.http.get("/v1/serving").content)
    while_running = hits(canaries, lab.home, metrics)
    lab.terminate()
    after = hits(canaries, lab.home, metrics)
    planted = lab.home / "planted.log"
    planted.write_text(f"paid with {grouped(canaries[17], ' ')} today")
    assert hits(canaries, lab.home, metrics).keys() - after.keys() == {"planted.log"}, "the scan sees nothing"
    found = while_running | after
    scoreboard.record(
        promise=14,
        name="no card number rests anywhere",
        n=sent,
        failures=len(echoes) + sum(found.values()),
        figure=f"{CANARIES} numbers in {len(PLACES)} places; hits in files: {found or 'none'}; {len(echoes)} echoes {echoes[:1] or ''}",
        passed=not found and not echoes,
    )


@pytest.mark.nightly
def test_no_card_number_rests_in_a_lab_that_monitors_and_trains(scoreboard: Scoreboard, tmp_path: Path) -> None:
    """Sent to the service of a whole lab and offered to it in files; then a drift is told, Evidently keeps its page, a model is trained."""
    scoring, mlflow, prefect, work = (free_port() for _ in range(4))
    settings = Settings(
        home=tmp_path / "lab", scoring_port=scoring, mlflow_port=mlflow, prefect_port=prefect, work_port=work, start_timeout_s=600
    )
    canaries = list(card_numbers(CANARIES))
    Preparation(settings, lambda *_: None).make("traffic")
    put_back(settings.home, level_of(settings, "traffic"))
    echoes = 0
    with Supervisor(settings).owning() as supervisor:
        supervisor.start(("mlflow", "scoring"))
        serving_once_ready(settings)
        for i, canary in enumerate(canaries):
            for place in list(PLACES.values())[i % 3 :: 3]:
                echoes += canary.encode() in digits_of(place(scoring, canary, i).content)
        files = offered(canaries, tmp_path)
        commands = ("drift inject D3 --days 1", "drift stop", "traffic --days 0.1", "work --once", "train")
        with (settings.home / "said.log").open("wb") as said:
            taken = sum(ends(settings, said, "train", "--data", str(file)) != BadInput.exit_status for file in files)
            ended = {command: ends(settings, said, *command.split()) for command in commands}
    assert max(ended.values()) <= 1, f"{ended}"
    found = hits(canaries, settings.home)
    seen = {kind: len(list(settings.home.rglob(pattern))) for kind, pattern in RESTS.items()}
    assert all(seen.values()), f"not everything was there to be looked at: {seen}"
    scoreboard.record(
        promise=14,
        name="no card number rests in a lab that monitors and trains",
        n=CANARIES * len(PLACES) // 3 + len(files),
        failures=taken + echoes + sum(found.values()),
        figure=f"{taken} files taken; {echoes} echoes; hits: {found or 'none'}; among the files {', '.join(seen)}",
        passed=not taken and not echoes and not found,
    )


def ends(settings: Settings, said: BinaryIO, *arguments: str) -> int:
    """The exit status of `lab ...`; what it says goes into `said`."""
    command = [sys.executable, "-c", "from labs.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment(settings), stdout=said, stderr=said, check=False).returncode


def offered(canaries: list[str], folder: Path) -> list[Path]:
    """Payments as CSV, with card numbers in one column each."""
    files = []
    for column in ("transaction_id", "card_id", "terminal_id", "category", "device_id"):
        frame = transactions(3, len(canaries)).astype(object).assign(is_fraud=0)
        frame.loc[: len(canaries) - 1, column] = canaries
        files.append(folder / f"{column}.csv")
        frame.to_csv(files[-1], index=False)
    return files


def digits(text: str) -> bytes:
    return re.sub(r"\D", "", text).encode()


def hits(canaries: list[str], *roots: Path) -> Counter[str]:
    """How many of the numbers each file under `roots` holds, written with any separator, in bytes or UTF-16."""
    found: Counter[str] = Counter()
    files = [file for root in roots for file in (root.rglob("*") if root.is_dir() else [root]) if file.is_file()]
    assert any(file.name == "predictions.db" for file in files) and any(file.name == "scoring.log" for file in files)
    for file in files:
        content = file.read_bytes()
        text = digits_of(content) + b"\n" + digits_of(content.replace(b"\x00", b""))
        if many := sum(canary.encode() in text for canary in canaries):
            found[file.name] = many
    return found


def _post(port: int, path: str, content: bytes, *headers: str) -> Answer:
    usual = (JSON, f"Content-Length: {len(content)}")
    return send(port, path, Body("", (*usual, *headers), content, content, 0, in_list=False))


def _field(name: str) -> Callable[[int, str, int], Answer]:
    return lambda port, canary, i: _post(port, "/v1/score", json.dumps(GOOD | {name: canary}).encode())


def _header(name: str) -> Callable[[int, str, int], Answer]:
    """A good payment, with the number in a header."""
    return lambda port, canary, i: _post(port, "/v1/score", payment(i).body, f"{name}: {canary}")


def _label(canary: str) -> bytes:
    return json.dumps({"labels": [{"transaction_id": canary, "report_time": "2026-03-09T00:00:00Z", "is_fraud": True}]}).encode()


PLACES: dict[str, Callable[[int, str, int], Answer]] = {
    **{f"body: a field, {name}": _field(name) for name in ("transaction_id", "card_id", "terminal_id", "device_id")},
    **{f"body: {name}": _field(name) for name in ("category", "channel", "currency", "event_time", "latitude", "amount_minor")},
    "body: a number": lambda port, canary, i: _post(port, "/v1/score", json.dumps(GOOD | {"amount_minor": int(canary)}).encode()),
    "body: a key": lambda port, canary, i: _post(port, "/v1/score", json.dumps(GOOD | {canary: 1}).encode()),
    "body: cut off": lambda port, canary, i: _post(port, "/v1/score", f'{{"card_id": "{canary}'.encode()),
    "body: no JSON": lambda port, canary, i: _post(port, "/v1/score", f"pan={canary}".encode()),
    "body: in a list": lambda port, canary, i: _post(
        port, "/v1/score/batch", json.dumps({"transactions": [GOOD | {"card_id": canary}]}).encode()
    ),
    "body: a label": lambda port, canary, i: _post(port, "/v1/labels", _label(canary)),
    **{f"header: {name}": _header(name) for name in ("X-Request-Id", "User-Agent", "Cookie", "Referer", "X-Forwarded-For", "X-Lab-Key")},
    "header: its name": lambda port, canary, i: _post(port, "/v1/score", payment(i).body, f"X-{canary}: 1"),
    "header: the type": lambda port, canary, i: _post(port, "/v1/score", payment(i).body, f"Content-Encoding: {canary}"),
    "header: the origin": lambda port, canary, i: _post(port, "/v1/score", payment(i).body, f"Origin: https://{canary}.example"),
    "the reload key": lambda port, canary, i: _post(port, "/v1/reload", b"", f"X-Lab-Key: {canary}"),
    "a query": lambda port, canary, i: _post(port, f"/v1/score?card={canary}", payment(i).body),
    "a path": lambda port, canary, i: _post(port, f"/v1/score/{quote(canary)}", payment(i).body),
    "no HTTP at all": lambda port, canary, i: send(port, f"/ {canary} \x01", Body("", (canary,), b"", b"", 0, in_list=False)),
}
