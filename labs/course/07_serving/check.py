"""L07: the learner's service.py is started, asked, attacked and starved; what is right is said by a twin in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field

from data.costs import Policy
from data.rules import fired_rules
from labs.endpoint.bodies import GOOD
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
STERNNESS = {"approve": 0, "review": 1, "decline": 2}
LOOK = {
    "accepted": "Validate before anything else: data/schema.py has Transaction, and pydantic has strict=True.",
    "silent": "Look at content-length before you wait for a body.",
    "failed": "Whatever the caller sends is the caller's fault: a 4xx, from one place.",
    "status": "Refuse with 413 by content-length, or as soon as too much has come.",
    "not_json": "One shape for every refusal: an object in JSON.",
    "echo": "FastAPI's own 422 quotes the input: answer with the place and the kind of fault. Unknown keys are input, too.",
}
COUNTED = {
    "frauds_stopped": "count frauds that were reviewed or declined, by either layer",
    "frauds_only_rules": "count frauds that the rules stopped and the model alone would have let pass",
    "genuine_only_rules": "count genuine payments that only the rules stopped",
    "declined_not_reviewed": "count frauds that were declined, where the model alone would have had them reviewed",
}


class Layers(BaseModel):
    """layers.toml."""

    frauds_stopped: int = Field(ge=0)
    frauds_only_rules: int = Field(ge=0)
    genuine_only_rules: int = Field(ge=0)
    declined_not_reviewed: int = Field(ge=0)


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
        if None in ids or len(ids) < 60:
            raise Incorrect("Answers lack an x-request-id, each its own.", "Make one for every request that brings none.")
        if service.client.post(ONE, payments[60], {REQUEST_ID: "till-7-42"}).headers.get(REQUEST_ID) != "till-7-42":
            raise Incorrect("A caller's own x-request-id does not come back.", "Their log and yours are joined by it.")
        _require_batches_refused(service, payments[61:])
        said = _dict(service.client.post(MANY, {"transactions": payments[61:]})).get("predictions")
        if not said or [one.get("score") for one in said] != [score for score, _ in ours[61:]]:
            raise Incorrect(
                "A good batch after refused ones gets other scores than ours.", "What is refused must leave no trace in the history."
            )
    return Passed()


def hostile(at: Workplace) -> Passed:
    bodies = hostile_bodies()
    with _running(at) as (service, _, twin):
        for fault in hostile_faults(service, bodies):
            name = fault.body.name.removesuffix(", in a list")
            raise Incorrect(f"“{fault.body.name}” {fault.said}.", f'{LOOK[fault.kind]} `python attack.py "{name}"` shows it.')
        if _dict(service.client.post(ONE, GOOD)).get("score") != twin.model("1").score(twin.features(GOOD)):
            raise Incorrect("After all that, a good payment gets another score.", "What is refused must leave no trace in the history.")
    return Passed({"hostile_bodies": len(bodies)})


def logged(at: Workplace) -> Passed:
    payments, ours = _answered_by_ours(at, 40)
    with _running(at) as (service, _, twin):
        for number, payment in enumerate(payments):
            service.client.post(ONE, payment, {REQUEST_ID: f"till-{number}"})
        lines = {str(line.get("transaction_id")): line for line in service.logged()}
        for number, (payment, (score, _)) in enumerate(zip(payments, ours, strict=True)):
            facts = {"request_id": f"till-{number}", "score": score, "features_sha256": digest(twin.features(payment))}
            _require_line(lines.get(payment["transaction_id"], {}), facts)
        cards = [grouped(card, " " if number % 3 else "") for number, card in enumerate(card_numbers(24))]
        for number, card in enumerate(cards):
            _send_card(service, card, number)
        resting = {file.name: file.read_bytes() for file in service.folder.rglob("*") if file.is_file()}
        for name, content in {**resting, "what it prints": service.said.encode()}.items():
            if any(digits_of(card.encode()) in digits_of(content) for card in cards):
                where = "Refuse them in ids, replace them in x-request-id (looks_like_card_number), and uvicorn's access log prints URLs."
                raise Incorrect(f"A card number rests in {name}.", where)
    return Passed({"latency_ms": sorted(float(line["latency_ms"]) for line in lines.values())[len(lines) // 2]})


def registry_away(at: Workplace) -> Passed:
    at.registry.version("2")  # its absence is no fault of the answer
    with on_trial(at.file("service.py"), at.settings) as (service, gate):
        gate.state = "down"
        _start(service, "without a registry and without any model")
        _require_honesty_without_model(service)
        gate.state = "open"
        if service.ready_within(READY_S) is None:
            raise Incorrect(f"The registry came back, and after {READY_S:.0f} s it is not ready.", "Look at the registry again and again.")
        for state, seconds in (("down", 0.4), ("silent", 1.2 * REGISTRY_S)):
            gate.state = state
            _require_calm(service, seconds, f"While the registry is {state}")
        service.stop()
        took = _start(service, "while the registry is silent")
        if (ready := service.ready_within(REGISTRY_S)) is None:
            raise Incorrect(
                "Started again while the registry is silent, it has no model: the one that it served a moment ago is forgotten.",
                "Keep the last good version under FOLDER, and start with it.",
            )
        if service.client.post(ONE, GOOD).headers.get(VERSION) != "1":
            raise Incorrect("Started without the registry it is ready, and does not answer.", "/ready means that /predict works.")
    return Passed({"start_without_registry_s": took + ready})


def swapped(at: Workplace) -> Passed:
    lists = [[_payment(client, number) for number in range(4_000)] for client in range(3)]
    with _running(at) as (service, gate, twin):
        if service.client.post(ONE, GOOD).headers.get(VERSION) != "1":
            raise Incorrect("An answer does not say which version gave it.", "x-model-version in its headers.")
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
    if took is None or back is None:
        raise Incorrect(
            f"The alias champion moved, and {READY_S:.0f} s later nobody had followed.", "Look at the registry again and again."
        )
    return Passed({"swap_s": took, "swap_back_s": back, "answered_meanwhile": sum(map(len, load.replies))})


def layered(at: Workplace) -> Passed:
    told = at.answers("layers.toml", Layers)
    payments, kinds = day_of_attack(at.stream)
    said: list[dict[str, Any]] = []
    with _running(at) as (service, _, twin):
        for start in range(0, len(payments), 1000):
            said += _dict(service.client.post(MANY, {"transactions": payments[start : start + 1000]})).get("predictions", [])
        if len(said) != len(payments):
            raise Incorrect(f"A day of {len(payments)} payments, in batches of 1,000, got {len(said)} answers.", "python replay.py")
        policy = twin.model("1").policy
        for one, row in zip(said, twin.features_of_many(payments).tolist(), strict=True):
            _require_layer(one, row, policy)
    counts = layer_counts(said, kinds, policy)
    for name, how in COUNTED.items():
        if getattr(told, name) != counts[name]:
            raise Incorrect(f"{name} is another number: {how}.", "`python replay.py` has the table; layers.toml")
    return Passed({name: float(count) for name, count in counts.items()})


def two_models(at: Workplace) -> Passed:
    told = at.answers("cost.toml", CostTold)
    with _running(at, challenger="2") as (service, gate, twin):
        twin.features_of_many(await_challenger(service, "2"))
        _require_shadow(service, twin, [_payment(0, number) for number in range(40)], "2")
        gate.aliases["challenger"] = DAMAGED
        _require_calm(service, 0.8, "While the challenger's files are damaged")
        if any(line.get("challenger_version") == DAMAGED for line in service.logged()):
            raise Incorrect(
                "A challenger whose files are not what was signed has scored payments.", "verify_bundle, then try_bundle, then load."
            )
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
        twin = Twin(at.settings, gate.url)
        if service.ready_within(READY_S) is None:
            raise Incorrect(
                "On a good day, GET /ready is not answered with 200.", "Add the route: 200 once a model can answer, 503 before."
            )
        if (status := service.client.ask("GET", "/health").status) != 200:
            raise Incorrect(f"On a good day, GET /health is answered with {status}.", "200 as long as the process lives.")
        yield service, gate, twin


def _start(service: ServiceProcess, when: str) -> float:
    try:
        return service.start()
    except Incorrect as fault:
        raise Incorrect(f"Started {when}: {fault.why}", fault.look) from None


def _answered_by_ours(at: Workplace, count: int) -> tuple[list[dict[str, Any]], list[tuple[float, str]]]:
    """The first payments after the history's end, and score and decision that our own service gave to each."""
    live = datetime.combine(at.stream.live, time(), UTC)
    frame = at.served(live, live + timedelta(hours=4)).head(count)
    names = list(GOOD)
    return [as_message(row) for row in frame[names].to_dict("records")], list(zip(frame["score"], frame["decision"], strict=True))


def _payment(client: int, number: int) -> dict[str, Any]:
    """Of cards and at a terminal of this client's own, so that only its own order counts."""
    moment = datetime(2026, 3, 6, tzinfo=UTC) + timedelta(seconds=number)
    return GOOD | {"transaction_id": f"load_{client}_{number}", "card_id": f"card_load_{client}_{number % 40}",
                   "terminal_id": f"term_load_{client}", "event_time": moment.isoformat()}  # fmt: skip


def _dict(reply: Reply) -> dict[str, Any]:
    content = reply.json()
    return content if isinstance(content, dict) else {}


def _require_answer(reply: Reply, score: float, decisions: set[str]) -> None:
    said = _dict(reply)
    if reply.status != 200:
        raise Incorrect(f"A good payment is answered with {reply.status}.", "`python attack.py` begins with one.")
    if said.get("score") != score:
        raise Incorrect("A good payment gets another score than our own service gave it.", "Is each payment in the history once, in order?")
    if said.get("decision") not in decisions:
        raise Incorrect("A good payment gets another decision than our own service gave it.", "model.policy.decide(score)")
    if reply.headers.get(VERSION) != "1" or said.get("model_version") != "1":
        raise Incorrect("An answer does not say which version gave it.", "x-model-version in the headers, model_version in the body.")


def _require_batches_refused(service: ServiceProcess, payments: list[dict[str, Any]]) -> None:
    many = [payments[0] | {"transaction_id": f"many_{number}"} for number in range(1001)]
    bad = {"of 1,001": many, "with one bad payment": [payments[0], payments[1] | {"amount_minor": -5}], "of nothing": []}
    for name, batch in bad.items():
        status = service.client.post(MANY, {"transactions": batch}).status
        if not 400 <= status < 500:
            raise Incorrect(f"A batch {name} is answered with {status}.", "A limit of 1,000, and all of a batch or nothing: a 4xx.")


def _require_line(line: dict[str, Any], facts: dict[str, Any]) -> None:
    if missing := [name for name in LOGGED if line.get(name) is None]:
        raise Incorrect(f"{LOG} does not say of an answer: {', '.join(missing)}.", "One JSON object a line, with the names of step 3.")
    for name, value in facts.items():
        if line[name] != value:
            raise Incorrect(
                f"{LOG} has another {name} than it should.", "features_sha256 is that of features.tobytes(), as the model saw them."
            )


def _send_card(service: ServiceProcess, card: str, number: int) -> None:
    """A card number in one of four places; where it is none of the payment, the payment is answered."""
    good = _payment(9, number)
    place = ("card_id", "transaction_id", "header", "url")[number % 4]
    with Client(service.port) as client:
        if place == "header":
            reply = client.post(ONE, good, {REQUEST_ID: card})
        else:
            reply = client.post(f"{ONE}?card={quote(card)}" if place == "url" else ONE, good | ({place: card} if place in good else {}))
    if (reply.status == 200) != (place not in good):
        raise Incorrect(
            f"A payment with a card number in its {place} is answered with {reply.status}.", "Refuse it in ids, ignore it elsewhere."
        )
    if digits_of(card.encode()) in digits_of(reply.content + repr(reply.headers).encode()):
        raise Incorrect(f"A card number in the {place} comes back in the answer.", "Take over an x-request-id that holds one for none.")


def _require_calm(service: ServiceProcess, seconds: float, when: str) -> None:
    """For so long, every payment is answered at once."""
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    number = 0
    while datetime.now(UTC) < end:
        number += 1
        reply = service.client.post(ONE, _payment(8, number))
        if reply.status != 200:
            raise Incorrect(
                f"{when}, a payment is answered with {reply.status or 'silence'}.",
                "An answer needs a loaded model, and nothing of the registry.",
            )
        if reply.seconds > STALL_S:
            raise Incorrect(
                f"{when}, an answer took {reply.seconds:.1f} s.", "Somebody waits for the registry on the event loop: use a thread."
            )
    for path in ("/health", "/ready"):
        if (status := service.client.ask("GET", path).status) != 200:
            raise Incorrect(
                f"{when}, {path} is answered with {status}.", "It still answers payments: nobody should restart it or pass it by."
            )


def _require_honesty_without_model(service: ServiceProcess) -> None:
    if (status := service.client.ask("GET", "/health").status) != 200:
        raise Incorrect(f"Without any model, /health is answered with {status}.", "A restart brings no model; only /ready should say no.")
    for path, reply in (("/ready", service.client.ask("GET", "/ready")), (ONE, service.client.post(ONE, GOOD))):
        if reply.status != 503 or reply.seconds > STALL_S:
            raise Incorrect(f"Without any model, {path} is answered with {reply.status or 'silence'}.", "503, and at once.")


def _require_one_model(reply: Reply, row: Any, twin: Twin) -> None:
    version = reply.headers.get(VERSION)
    if version == DAMAGED:
        raise Incorrect(
            f"Version {DAMAGED}, whose files are not what was signed, has answered payments.", "verify_bundle, then try_bundle, then load."
        )
    if reply.status != 200 or version not in {"1", "2"}:
        raise Incorrect(
            f"While the alias champion moved, a payment was answered with {reply.status or 'silence'}.",
            "Keep the old one until the new one is loaded.",
        )
    if _dict(reply).get("score") != twin.model(version).score(row):
        raise Incorrect(f"An answer names version {version} and has another one's score.", "Read who serves once for each answer.")


def _require_layer(one: dict[str, Any], row: list[float], policy: Policy) -> None:
    acting = [rule for rule in fired_rules(row) if rule.action is not None]
    if one.get("score") is None:
        raise Incorrect("Where a rule acts there is no score.", "Monitoring and the next training need it: score every payment.")
    alone = policy.decide(one["score"])
    ruled = max((str(rule.action) for rule in acting), key=STERNNESS.__getitem__, default="approve")
    by_rules = bool(acting) and STERNNESS[ruled] >= STERNNESS[alone]
    if one.get("layer") != ("rules" if by_rules else "model"):
        raise Incorrect(
            f"A payment that the {'rules' if by_rules else 'model'} decided names another layer.",
            "The sterner one decides; of equals, the rules.",
        )
    if one.get("decision") != (ruled if by_rules else alone):
        raise Incorrect(f"Rules say {ruled}, the model {alone}, the answer {one.get('decision')}.", "The sterner one decides.")
    if by_rules and not {rule.code for rule in acting} <= set(one.get("reasons") or ()):
        raise Incorrect("A payment that a rule stopped does not name the rule.", "apply_rules(…).reasons are its codes.")


def _require_shadow(service: ServiceProcess, twin: Twin, payments: list[dict[str, Any]], challenger: str) -> None:
    replies = [service.client.post(ONE, payment) for payment in payments]
    lines = {line.get("transaction_id"): line for line in service.logged()}
    for payment, reply, row in zip(payments, replies, twin.features_of_many(payments), strict=True):
        if _dict(reply).get("score") != twin.model("1").score(row) or reply.headers.get(VERSION) != "1":
            raise Incorrect("With a challenger beside it, the champion's answers are others.", "A shadow is logged, and answers nobody.")
        line = lines.get(payment["transaction_id"], {})
        if line.get("challenger_score") != twin.model(challenger).score(row):
            raise Incorrect(f"{LOG} has another challenger_score than version {challenger} gives.", "The same features, the other model.")


def _require_cost(told: CostTold, cost: Cost) -> None:
    within = {
        "second_model_mb": 1.0 + 0.3 * cost.second_model_mb,
        "second_process_mb": 0.15 * cost.second_process_mb,
        "median_ms": 0.06 + 0.5 * abs(cost.median_ms),
    }
    for name, most in within.items():
        if abs(getattr(told, name) - getattr(cost, name)) > most:
            raise Incorrect(
                f"{name} is told as {getattr(told, name):g}, and here it is {getattr(cost, name):.3f} ± {most:.3f}.",
                "What is asked is what the second one adds: `python measure.py`, its last lines.",
            )
    found = f"Measured again, the second model adds {cost.p99_ms:+.2f} ± {cost.p99_noise_ms:.2f} ms to p99"
    if told.p99_beyond_noise and cost.p99_ms < 4 * cost.p99_noise_ms:
        raise Incorrect(f"{found}: that is its noise.", "Run `python measure.py` three times, and compare its last ± lines.")
    if not told.p99_beyond_noise and cost.p99_ms > 0.3 + 6 * cost.p99_noise_ms:
        raise Incorrect(f"{found}: that is more than its noise.", "Does the caller wait for the challenger?")
