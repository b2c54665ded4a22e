"""How payments, answers and events are written in Valkey: JSON where the script looks inside, bytes for the features.

Only `data/valkey_log.py` uses it. The writing is canonical: the same payment gives the same bytes, so that the script can
tell another body by comparing them.

    payment     ["tx", event_time_ms, "card", "terminal", amount_minor, currency, channel, category, latitude, longitude, device]
    report      ["tx", report_time_ms, "card", "terminal"]      the first label that says fraud
    label       ["tx"]                                          any other: it takes a place, the features do not see it
    answer      the answer's JSON, newline, the rest of the record as a JSON array, newline, float64 features, little-endian
"""

from collections.abc import Iterable

import numpy as np
from pydantic_core import from_json, to_json

from data.prediction_store import Answer, FraudReport, PaymentFacts, PredictionRecord
from data.schema import Label, event_milliseconds, moment_of
from data.shared_log import Arrival, Outcome

_PAYMENT_LENGTH, _REPORT_LENGTH = 11, 4


def write_payment(payment: PaymentFacts) -> bytes:
    """What is compared when the id comes again."""
    return to_json(payment)


def write_answer(record: PredictionRecord) -> bytes:
    """The answer, and all else that the log keeps of it."""
    r = record
    rest = (
        r.champion_version, r.champion_score, r.challenger_version, r.challenger_score, r.rollout_id, r.epoch, r.latency_us, r.request_id,
    )  # fmt: skip
    return b"%b\n%b\n%b" % (r.answer.json().encode(), to_json(rest), r.features.astype("<f8", copy=False).tobytes())


def write_arrivals(arriving: Iterable[PaymentFacts | Label]) -> bytes:
    """Payments and labels for the script, a line each."""
    return b"\n".join(write_payment(each) if isinstance(each, PaymentFacts) else _write_label(each) for each in arriving)


def _write_label(label: Label) -> bytes:
    fraud = int(label.is_fraud)
    return f"{label.transaction_id}|{event_milliseconds(label.report_time)}|{fraud}|{label.source}".encode()


def read_label(line: bytes) -> Label:
    """What the script noted of a label, again."""
    key, report_ms, fraud, source = line.decode().split("|")
    known = moment_of(int(report_ms))
    return Label.model_validate({"transaction_id": key, "report_time": known, "is_fraud": fraud == "1", "source": source})


def read_id(event: bytes) -> str:
    """The transaction id of any event."""
    return str(from_json(event)[0])


def read_outcomes(lines: bytes, count: int) -> list[Outcome]:
    """What became of so many entries."""
    return [_read_outcome(line) for line in lines.split(b"\n")] if count else []


def _read_outcome(line: bytes) -> Outcome:
    if line == b"":
        return Outcome("new")
    if line == b"!":
        return Outcome("refused")
    if line.startswith(b"?"):
        return Outcome("open", sequence=int(line[1:]))
    return Outcome("answered", answer=read_answer(line))


def read_answer(text: bytes) -> Answer:
    """The first line of what `write_answer` wrote."""
    facts = from_json(text)
    return Answer(facts["transaction_id"], facts["score"], facts["decision"], tuple(facts["reasons"]), facts["model_version"], facts["arm"])


def read_payment(payment: bytes) -> PaymentFacts:
    """What `write_payment` wrote."""
    return PaymentFacts(*from_json(payment))


def read_record(payment: bytes, answer: bytes) -> PredictionRecord:
    """The whole record again."""
    first, rest, features = answer.split(b"\n", 2)
    given, (champion, champion_score, challenger, challenger_score, rollout, epoch, latency, request) = read_answer(first), from_json(rest)
    return PredictionRecord(
        payment=read_payment(payment),
        features=np.frombuffer(features, "<f8").astype(np.float64),
        score=given.score,
        decision=given.decision,
        reasons=given.reasons,
        arm=given.arm,
        model_version=given.model_version,
        champion_version=champion,
        champion_score=champion_score,
        challenger_version=challenger,
        challenger_score=challenger_score,
        rollout_id=rollout,
        epoch=epoch,
        latency_us=latency,
        request_id=request,
    )


def read_arrivals(events: bytes, position: int) -> tuple[list[Arrival], int]:
    """The events of one JSON array that begins after place `position`, and the place of the last.

    Every process reads the payments of all: plain tuples, at half the cost of named ones.
    """
    arrivals: list[Arrival] = []
    sequence = position
    for sequence, event in enumerate(from_json(events), start=position + 1):
        if len(event) == _PAYMENT_LENGTH:
            key, moment, card, terminal, amount, _, channel, category, latitude, longitude, device = event
            arrivals.append((key, sequence, (card, terminal, moment // 1000, amount, channel, category, latitude, longitude, device)))
        elif len(event) == _REPORT_LENGTH:
            key, moment, card, terminal = event
            arrivals.append((key, sequence, FraudReport(sequence, card, terminal, moment // 1000)))
    return arrivals, sequence


def write_parties(card_id: str, terminal_id: str) -> bytes:
    """Who took part in a payment before the log."""
    return to_json((card_id, terminal_id))


def read_parties(parties: bytes) -> tuple[str, str]:
    """What `write_parties` wrote."""
    card_id, terminal_id = from_json(parties)
    return card_id, terminal_id
