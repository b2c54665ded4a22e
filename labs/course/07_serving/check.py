"""L07: the learner's service.py is started, asked, attacked and starved; what is right is said by a twin in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field

from data.costs import Policy
from data.reasons import model_reasons
from data.rules import apply_rules
from labs.endpoint.bodies import GOOD, made_up
from labs.endpoint.cards import card_numbers, digits_of, grouped
from labs.endpoint.cost import Cost, await_challenger, measure
from labs.endpoint.gate import DAMAGED, RegistryGate
from labs.endpoint.layers import as_message, day_of_attack, layer_counts
from labs.endpoint.process import LOG, REGISTRY_S, Client, Reply, ServiceProcess, on_trial
from labs.endpoint.trial import MANY, ONE, VERSION, Load, hostile_bodies, hostile_faults
from labs.endpoint.twin import Twin, digest
from labs.engine import Incorrect, Passed, Workplace

READY_S = 30.0  # a first start fetches, verifies and tries the model
STALL_S = 0.6 * REGISTRY_S  # whoever takes longer waited for the registry
REQUEST_ID = "x-request-id"
LOGGED = ("request_id", "transaction_id", "model_version", "score", "decision", "layer", "features_sha256", "latency_ms")
STERNNESS = ("approve", "review", "decline")
NO_TRACE = "What is refused must leave no trace in the history."
VERIFY = "verify_bundle, then try_bundle, then load."
LOOK_AGAIN = "Look at the registry again and again."
REFUSAL = {
    "accepted": "Validate before anything else: data/schema.py has Transaction, and pydantic has strict=True.",
    "silent": "Look at content-length before you wait for a body.",
    "failed": "Whatever the caller sends is the caller's fault: a 4xx, from one place.",
    "status": "Refuse with 413 by content-length, or as soon as too much has come.",
    "not_json": "One shape for every refusal: an object in JSON.",
    "echo": "FastAPI's own 422 quotes the input: answer with the place and the kind of fault. Unknown keys are input, too.",
}


class Layers(BaseModel):
    """layers.toml; what each number counts."""

    frauds_stopped: int = Field(ge=0, description="frauds that were reviewed or declined, by either layer")
    frauds_only_rules: int = Field(ge=0, description="frauds that the rules stopped and the model alone would have let pass")
    genuine_only_rules: int = Field(ge=0, description="genuine payments that only the rules stopped")
    declined_not_reviewed: int = Field(ge=0, description="frauds declined, where the model alone would have had them reviewed")


class CostTold(BaseModel):
    """cost.toml."""

    second_model_mb: float
    second_process_mb: float
    median_ms: float
    p99_beyond_noise: bool


def answers(at: Workplace) -> Passed:
    payments, ours = _answered_by_ours(at, 140)
    with _running(at) as (service, _, twin):
        ids = set()
        for payment, (score, decision) in zip(payments[:60], ours, strict=False):
            reply = service.client.post(ONE, payment)
            _require_answer(reply, score, {decision, twin.model("1").policy.decide(score)})
            ids.add(reply.headers.get(REQUEST_ID))
        _require(None not in ids and len(ids) == 60, "Answers lack an x-request-id, each its own.", "Make one where a request brings none.")
        back = service.client.post(ONE, payments[60], {REQUEST_ID: "till-7-42"}).headers.get(REQUEST_ID)
        _require(back == "till-7-42", "A caller's own x-request-id does not come back.", "Their log and yours are joined by it.")
        _require_batches_refused(service, payments[61:])
        said = service.client.post(MANY, {"transactions": payments[61:]}).json().get("predictions", [])
        same = [one.get("score") for one in said] == [score for score, _ in ours[61:]]
        _require(same, "A good batch after refused ones gets other scores than ours.", NO_TRACE)
    return Passed()


def hostile(at: Workplace) -> Passed:
    bodies = hostile_bodies()
    with _running(at) as (service, _, twin):
        for fault in hostile_faults(service, bodies):
            name = fault.body.name.removesuffix(", in a list")
            raise Incorrect(f"“{fault.body.name}” {fault.said}.", f'{REFUSAL[fault.kind]} `python attack.py "{name}"` shows it.')
        score = service.client.post(ONE, GOOD).json().get("score")
        _require(score == twin.model("1").score(twin.features(GOOD)), "After all that, a good payment gets another score.", NO_TRACE)
    return Passed({"hostile_bodies": len(bodies)})


def logged(at: Workplace) -> Passed:
    payments, ours = _answered_by_ours(at, 40)
    with _running(at) as (service, _, twin):
        for number, payment in enumerate(payments):
            service.client.post(ONE, payment, {REQUEST_ID: f"till-{number}"})
        lines = _log_lines(service)
        for number, (payment, (score, _)) in enumerate(zip(payments, ours, strict=True)):
            facts = {"request_id": f"till-{number}", "score": score, "features_sha256": digest(twin.features(payment))}
            _require_line(lines.get(payment["transaction_id"], {}), facts)
        cards = [grouped(card, " " if number % 3 else "") for number, card in enumerate(card_numbers(24))]
        for number, card in enumerate(cards):
            _send_card(service, card, number)
        resting = {file.name: file.read_bytes() for file in service.folder.rglob("*") if file.is_file()}
        for name, content in {**resting, "what it prints": service.said.encode()}.items():
            found = any(digits_of(card.encode()) in digits_of(content) for card in cards)
            where = "Refuse them in ids, replace them in x-request-id (looks_like_card_number), and uvicorn's access log prints URLs."
            _require(not found, f"A card number rests in {name}.", where)
    return Passed({"latency_ms": sorted(float(line["latency_ms"]) for line in lines.values())[len(lines) // 2]})


def registry_away(at: Workplace) -> Passed:
    at.registry.version("2")  # its absence is no fault of the answer
    with on_trial(at.file("service.py"), at.settings) as (service, gate):
        gate.state = "down"
        _start(service, "without a registry and without any model")
        _require_honesty_without_model(service)
        gate.state = "open"
        came = service.ready_within(READY_S) is not None
        _require(came, f"The registry came back, and after {READY_S:.0f} s it is not ready.", LOOK_AGAIN)
        for state, seconds in (("down", 0.4), ("silent", 1.2 * REGISTRY_S)):
            gate.state = state
            _require_calm(service, seconds, f"While the registry is {state}")
        service.stop()
        took = _start(service, "while the registry is silent")
        ready = service.ready_within(REGISTRY_S)
        why = "Started again while the registry is silent, it has no model: the one that it served a moment ago is forgotten."
        _require(ready is not None, why, "Keep the last good version under FOLDER, and start with it.")
        by = service.client.post(ONE, GOOD).headers.get(VERSION)
        _require(by == "1", "Started without the registry it is ready, and does not answer.", "/ready means that /predict works.")
    return Passed({"start_without_registry_s": took + ready})


def swapped(at: Workplace) -> Passed:
    lists = [[made_up(f"load_{client}", number) for number in range(4_000)] for client in range(3)]
    with _running(at) as (service, gate, twin):
        by = service.client.post(ONE, GOOD).headers.get(VERSION)
        _require(by == "1", "An answer does not say which version gave it.", "x-model-version in its headers.")
        with Load(service.port, lists) as load:
            load.go_on(0.3)
            gate.aliases["champion"] = DAMAGED
            load.go_on(1.2)
            gate.aliases["champion"] = "2"
            took = load.saw("2", READY_S)
            gate.aliases["champion"] = "1"
            back = load.saw("1", READY_S)
        for payments, replies in zip(lists, load.replies, strict=True):
            for reply, row in zip(replies, twin.features_of_many(payments[: len(replies)]), strict=True):
                _require_one_model(reply, row, twin)
    followed = took is not None and back is not None
    _require(followed, f"The alias champion moved, and {READY_S:.0f} s later nobody had followed.", LOOK_AGAIN)
    return Passed({"swap_s": took, "swap_back_s": back, "answered_meanwhile": sum(map(len, load.replies))})


def layered(at: Workplace) -> Passed:
    told = at.answers("layers.toml", Layers)
    payments, kinds = day_of_attack(at.stream)
    said: list[dict[str, Any]] = []
    with _running(at) as (service, _, twin):
        for start in range(0, len(payments), 1000):
            said += service.client.post(MANY, {"transactions": payments[start : start + 1000]}).json().get("predictions", [])
        answered = len(said) == len(payments)
        _require(answered, f"A day of {len(payments)} payments, in batches of 1,000, got {len(said)} answers.", "python replay.py")
        policy = twin.model("1").policy
        for one, row in zip(said, twin.features_of_many(payments).tolist(), strict=True):
            _require_layer(one, row, policy)
    counts = layer_counts(said, kinds, policy)
    for name, field in Layers.model_fields.items():
        same = getattr(told, name) == counts[name]
        _require(same, f"{name} is another number: count {field.description}.", "`python replay.py` has the table; layers.toml")
    return Passed({name: float(count) for name, count in counts.items()})


def two_models(at: Workplace) -> Passed:
    told = at.answers("cost.toml", CostTold)
    with _running(at, challenger="2") as (service, gate, twin):
        twin.features_of_many(await_challenger(service, "2"))
        _require_shadow(service, twin, [made_up("shadow", number) for number in range(40)], "2")
        gate.aliases["challenger"] = DAMAGED
        _require_calm(service, 0.8, "While the challenger's files are damaged")
        scored = any(line.get("challenger_version") == DAMAGED for line in service.logged())
        _require(not scored, "A challenger whose files are not what was signed has scored payments.", VERIFY)
        with _running(at) as (alone, _, _):
            cost = measure(alone, service, rounds=4, each=100)
    _require_cost(told, cost)
    return Passed({name: getattr(cost, name) for name in ("second_model_mb", "second_process_mb", "median_ms", "p99_ms", "p99_noise_ms")})


@contextmanager
def _running(at: Workplace, **aliases: str) -> Iterator[tuple[ServiceProcess, RegistryGate, Twin]]:
    """The learner's service, ready; the gate to the registry; and the twin."""
    at.registry.version("2")  # its absence is no fault of the answer
    with on_trial(at.file("service.py"), at.settings, **aliases) as (service, gate):
        _start(service, "on a good day")
        ready = service.ready_within(READY_S) is not None
        _require(ready, "On a good day, GET /ready is not answered with 200.", "Add the route: 200 once a model can answer, 503 before.")
        status = service.client.ask("GET", "/health").status
        _require(status == 200, f"On a good day, GET /health is answered with {status}.", "200 as long as the process lives.")
        yield service, gate, Twin(at.settings, gate.url)


def _start(service: ServiceProcess, when: str) -> float:
    try:
        return service.start()
    except Incorrect as fault:
        raise Incorrect(f"Started {when}: {fault.why}", fault.look) from None


def _answered_by_ours(at: Workplace, count: int) -> tuple[list[dict[str, Any]], list[tuple[float, str]]]:
    """The first payments after the history's end, and score and decision that our own service gave to each."""
    live = datetime.combine(at.stream.live, time(), UTC)
    frame = at.served(live, live + timedelta(hours=4)).head(count)
    return [as_message(row) for row in frame[list(GOOD)].to_dict("records")], list(zip(frame["score"], frame["decision"], strict=True))


def _log_lines(service: ServiceProcess) -> dict[str, dict[str, Any]]:
    """The prediction log's lines by transaction_id, the last one of each."""
    return {str(line.get("transaction_id")): line for line in service.logged()}


def _require(holds: bool, why: str, look: str) -> None:
    if not holds:
        raise Incorrect(why, look)


def _require_answer(reply: Reply, score: float, decisions: set[str]) -> None:
    said, other = reply.json(), "than our own service gave it."
    _require(reply.status == 200, f"A good payment is answered with {reply.status}.", "`python attack.py` begins with one.")
    _require(said.get("score") == score, f"A good payment gets another score {other}", "Is each payment in the history once, in order?")
    _require(said.get("decision") in decisions, f"A good payment gets another decision {other}", "model.policy.decide(score)")
    named = reply.headers.get(VERSION) == said.get("model_version") == "1"
    _require(named, "An answer does not say which version gave it.", "x-model-version in the headers, model_version in the body.")


def _require_batches_refused(service: ServiceProcess, payments: list[dict[str, Any]]) -> None:
    many = [payments[0] | {"transaction_id": f"many_{number}"} for number in range(1001)]
    bad = {"of 1,001": many, "with one bad payment": [payments[0], payments[1] | {"amount_minor": -5}], "of nothing": []}
    for name, batch in bad.items():
        status = service.client.post(MANY, {"transactions": batch}).status
        why = f"A batch {name} is answered with {status}."
        _require(400 <= status < 500, why, "1 to 1,000 payments, and all of a batch or nothing; else a 4xx.")


def _require_line(line: dict[str, Any], facts: dict[str, Any]) -> None:
    missing = ", ".join(name for name in LOGGED if line.get(name) is None)
    _require(not missing, f"{LOG} does not say of an answer: {missing}.", "One JSON object a line, with the names of step 3.")
    for name, value in facts.items():
        look = "features_sha256 is that of features.tobytes(), as the model saw them."
        _require(line[name] == value, f"{LOG} has another {name} than it should.", look)


def _send_card(service: ServiceProcess, card: str, number: int) -> None:
    """A card number in one of four places; where it is none of the payment, the payment is answered."""
    good = made_up("cards", number)
    place = ("card_id", "transaction_id", "header", "url")[number % 4]
    in_id = place in good
    path = f"{ONE}?card={quote(card)}" if place == "url" else ONE
    with Client(service.port) as client:
        reply = client.post(path, good | ({place: card} if in_id else {}), {REQUEST_ID: card} if place == "header" else None)
    why = f"A payment with a card number in its {place} is answered with {reply.status}."
    _require((reply.status == 200) != in_id, why, "Refuse it in ids, ignore it elsewhere.")
    echoed = digits_of(card.encode()) in digits_of(reply.content + repr(reply.headers).encode())
    look = "Say nothing of what was sent, and make a new x-request-id where the caller's holds one."
    _require(not echoed, f"A card number in the {place} comes back in the answer.", look)


def _require_calm(service: ServiceProcess, seconds: float, when: str) -> None:
    """For so long, every payment is answered at once; then the service calls itself alive and ready."""
    with Load(service.port, [[made_up("calm", number) for number in range(4_000)]]) as load:
        load.go_on(seconds)
    for reply in load.replies[0]:
        why = f"{when}, a payment is answered with {reply.status or 'silence'}."
        _require(reply.status == 200, why, "An answer needs a loaded model, and nothing of the registry.")
        why = f"{when}, an answer took {reply.seconds:.1f} s."
        _require(reply.seconds <= STALL_S, why, "Somebody waits for the registry on the event loop: use a thread.")
    for path in ("/health", "/ready"):
        status = service.client.ask("GET", path).status
        why = f"{when}, {path} is answered with {status}."
        _require(status == 200, why, "It still answers payments: nobody should restart it or pass it by.")


def _require_honesty_without_model(service: ServiceProcess) -> None:
    status = service.client.ask("GET", "/health").status
    why = f"Without any model, /health is answered with {status}."
    _require(status == 200, why, "A restart brings no model; only /ready should say no.")
    for path, reply in (("/ready", service.client.ask("GET", "/ready")), (ONE, service.client.post(ONE, GOOD))):
        honest = reply.status == 503 and reply.seconds <= STALL_S
        said = f"{reply.status or 'silence'}, after {reply.seconds:.1f} s"
        _require(honest, f"Without any model, {path} is answered with {said}.", "503, and at once.")


def _require_one_model(reply: Reply, row: Any, twin: Twin) -> None:
    version = reply.headers.get(VERSION)
    _require(version != DAMAGED, f"Version {DAMAGED}, whose files are not what was signed, has answered payments.", VERIFY)
    why = f"While the alias champion moved, a payment was answered with {reply.status or 'silence'}."
    _require(reply.status == 200 and version in {"1", "2"}, why, "Keep the old one until the new one is loaded.")
    same = reply.json().get("score") == twin.model(version).score(row)
    _require(same, f"An answer names version {version} and has another one's score.", "Read who serves once for each answer.")


def _require_layer(one: dict[str, Any], row: list[float], policy: Policy) -> None:
    rules, score = apply_rules(row), one.get("score")
    _require(score is not None, "Where a rule acts there is no score.", "Monitoring and the next training need it: score every payment.")
    alone, ruled = policy.decide(score), rules.action or "approve"
    by_rules = rules.action is not None and STERNNESS.index(ruled) >= STERNNESS.index(alone)
    layer, decision = ("rules", ruled) if by_rules else ("model", alone)
    why = f"A payment that the {layer} decided names another layer."
    _require(one.get("layer") == layer, why, "The sterner one decides; of equals, the rules.")
    why = f"Rules say {ruled}, the model {alone}, the answer {one.get('decision')}."
    _require(one.get("decision") == decision, why, "The sterner one decides.")
    reasons = tuple(one.get("reasons") or ())
    if by_rules:
        _require(set(reasons) >= set(rules.reasons), "A payment that a rule stopped does not name the rule.", "apply_rules(…).reasons")
    elif decision == "approve":
        _require(not reasons, "A payment that is approved has reasons.", "Reasons are for those that are stopped.")
    else:
        known = reasons == model_reasons(row)
        _require(known, "A payment that the model stopped has other reasons.", "model_reasons(features.tolist()) of data/reasons.py")


def _require_shadow(service: ServiceProcess, twin: Twin, payments: list[dict[str, Any]], challenger: str) -> None:
    replies = [service.client.post(ONE, payment) for payment in payments]
    lines = _log_lines(service)
    for payment, reply, row in zip(payments, replies, twin.features_of_many(payments), strict=True):
        same = reply.json().get("score") == twin.model("1").score(row) and reply.headers.get(VERSION) == "1"
        _require(same, "With a challenger beside it, the champion's answers are others.", "A shadow is logged, and answers nobody.")
        same = lines.get(payment["transaction_id"], {}).get("challenger_score") == twin.model(challenger).score(row)
        why = f"{LOG} has another challenger_score than version {challenger} gives."
        _require(same, why, "The same features, the other model.")


def _require_cost(told: CostTold, cost: Cost) -> None:
    within = {
        "second_model_mb": 1.0 + 0.3 * cost.second_model_mb,
        "second_process_mb": 0.15 * cost.second_process_mb,
        "median_ms": 0.06 + 0.5 * abs(cost.median_ms),
    }
    for name, most in within.items():
        said, here = getattr(told, name), getattr(cost, name)
        why = f"{name} is told as {said:g}, and here it is {here:.3f} ± {most:.3f}."
        _require(abs(said - here) <= most, why, "What is asked is what the second one adds: `python measure.py`, its last lines.")
    found = f"Measured again, the second model adds {cost.p99_ms:+.2f} ± {cost.p99_noise_ms:.2f} ms to p99"
    if told.p99_beyond_noise:
        look = "Run `python measure.py` three times, and compare its last ± lines."
        _require(cost.p99_ms >= 4 * cost.p99_noise_ms, f"{found}: that is its noise.", look)
    else:
        small = cost.p99_ms <= 0.3 + 6 * cost.p99_noise_ms
        _require(small, f"{found}: that is more than its noise.", "Does the caller wait for the challenger?")
