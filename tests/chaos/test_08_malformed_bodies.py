"""Promise 8: whatever a body holds, the answer is a 4xx in the one envelope, and nothing of the body comes back in it."""

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation

from data.keys import lab_key
from labs.endpoint.bodies import Answer, corpus, in_batch, send
from tests.chaos.load import payment
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab

Operation = APIOperation[Any, Any, Any, Any]

_WORD = re.compile(r"[A-Za-z0-9_.:-]{6,}")
MOST_GROWTH = 20 * 2**20  # bytes of memory that all of it together may leave behind


def test_a_hand_kept_body_is_refused_without_an_echo(lab: Lab, scoreboard: Scoreboard) -> None:
    lab.start()
    known, key = vocabulary(lab), lab_key(lab.home / "keys")  # with the key, or bodies would not be looked at where it is asked for
    methods = {path: operation.method.upper() for path, operation in routes_with_bodies(lab)}
    bodies = corpus()
    assert len(bodies) >= 60
    sent = [(path, body) for path in methods for body in bodies]
    sent += [("/v1/score/batch", in_batch(body)) for body in bodies if body.in_list]
    wrong, before = [], psutil.Process(lab.pid).memory_info().rss
    for path, body in sent:
        answer = send(lab.port, path, body, method=methods[path], key=key)
        complaint = complaint_about(answer, body.content, known)
        if not complaint and answer.status != body.status:
            complaint = f"status {answer.status}, not {body.status}"
        if complaint:
            wrong.append(f"{path} with {body.name}: {complaint}")
    grown = psutil.Process(lab.pid).memory_info().rss - before
    seen = answered(lab)
    assert sum(seen.values()) >= 0.9 * len(sent), "most never reached the service"  # the framework stops what is not HTTP before it counts
    assert works(lab), "a service that refuses everything proves nothing"
    wrong += [f"stored {lab.serving()['log_sequence']} payments, of which 1 is good"] if lab.serving()["log_sequence"] != 1 else []
    scoreboard.record(
        promise=8,
        name="a hostile body gets a 4xx without an echo",
        n=len(sent),
        failures=len(wrong),
        figure=f"{len(bodies)} bodies on {len(methods)} routes; memory +{grown / 2**20:.0f} MB; {first_of(wrong)}",
        passed=not wrong and grown <= MOST_GROWTH,
    )


def test_a_generated_body_is_refused_without_an_echo(lab: Lab, scoreboard: Scoreboard, tier: Callable[[int, int], int]) -> None:
    lab.start()
    known, operations = vocabulary(lab), routes_with_bodies(lab)
    wrong: list[str] = []
    different: set[bytes] = set()
    statuses: Counter[int] = Counter()
    each = -(-tier(500, 10_000) // len(operations))
    for path, operation in operations:
        for content, answer in generated(lab, operation, each):
            different.add(content)
            statuses[answer.status] += 1
            if complaint := complaint_about(answer, content, known):
                wrong.append(f"{path} with {content[:200]!r}: {complaint}")
    n = statuses.total()
    assert n >= tier(500, 10_000) and len(different) > n / 2, "the generator repeats itself"
    assert sum(answered(lab).values()) >= n and works(lab)
    scoreboard.record(
        promise=8,
        name="a generated body gets a 4xx without an echo",
        n=n,
        failures=len(wrong),
        figure=f"{len(different)} different ones by Schemathesis; status {dict(statuses)}; {first_of(wrong)}",
        passed=not wrong,
    )


def generated(lab: Lab, operation: Operation, n: int) -> list[tuple[bytes, Answer]]:
    """`n` bodies that break the operation's schema, each sent; what was sent and what came back."""
    exchanges: list[tuple[bytes, Answer]] = []
    with requests.Session() as session:
        session.trust_env = False

        def exchange(case: Any) -> None:
            answer = case.call(base_url=str(lab.http.base_url), session=session, headers={"X-Lab-Key": lab_key(lab.home / "keys")})
            content = answer.request.body or b""
            headers = {name.lower(): values[0] for name, values in answer.headers.items()}
            sent = content.encode() if isinstance(content, str) else content
            exchanges.append((sent, Answer(answer.status_code, headers, answer.content)))

        # The same bodies every time: a surprise belongs into the corpus, not into somebody else's change.
        quiet = settings(derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        cases = given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        run = settings(quiet, max_examples=n)(cases(exchange))
        while len(exchanges) < n:  # Hypothesis ends early when it has seen all there is to a schema
            before = len(exchanges)
            run()
            assert len(exchanges) > before
    return exchanges


def routes_with_bodies(lab: Lab) -> list[tuple[str, Operation]]:
    """The operations of the OpenAPI page that take a body, as Schemathesis sees them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Schemathesis's own making
        schema = schemathesis.openapi.from_dict(lab.http.get("/openapi.json").json())
        every = [result.ok() for result in schema.get_all_operations()]
    found = [(operation.path, operation) for operation in every if operation.body]
    assert {"/v1/score", "/v1/score/batch", "/v1/labels"} <= {path for path, _ in found}
    return found


def complaint_about(answer: Answer, content: bytes, known: set[str]) -> str:
    """What is wrong with the answer to a hostile body; empty when nothing is."""
    if not 400 <= answer.status < 500:
        return f"status {answer.status}"
    if answer.headers.get("content-type") != "application/json":
        return f"not the envelope: {answer.content[:60]!r}"
    problem = json.loads(answer.content)
    if list(problem) != ["error"] or set(problem["error"]) != {"code", "message", "next_step", "where", "request_id"}:
        return "not the envelope"
    if problem["error"]["request_id"] != answer.headers.get("x-request-id"):
        return "its request id is not that of the header"
    said = " ".join(str(value) for key, value in problem["error"].items() if key != "request_id")
    echoed = (words(content) & words(said.encode())) - known
    if echoed or not said.isascii():
        return f"echoes {sorted(echoed)}"
    return "" if len(answer.content) < 1_000 else f"an answer of {len(answer.content)} bytes"


def words(content: bytes) -> set[str]:
    """Runs of six and more characters that a token, a number or a name is made of."""
    return set(_WORD.findall(content[: 2**16].decode("utf-8", "replace")))


def vocabulary(lab: Lab) -> set[str]:
    """The words that the service itself publishes: its fields, levels and sentences."""
    return words(lab.http.get("/openapi.json").content)


def answered(lab: Lab) -> Counter[str]:
    """Requests by status, as the service counted them on the routes that take bodies."""
    counts: Counter[str] = Counter()
    for status, count in re.findall(r'fraud_requests_total\{route="/v1/[a-z/]+",status="(\d+)"\} (\S+)', lab.http.get("/metrics").text):
        counts[status] += int(float(count))
    return counts


def works(lab: Lab) -> bool:
    answer = lab.http.post("/v1/score", content=payment(1).body, headers={"content-type": "application/json"})
    return answer.status_code == 200


def first_of(wrong: list[str]) -> str:
    return f"first: {wrong[0]}" if wrong else "0 echoes"
