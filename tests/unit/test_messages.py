"""Bodies become messages; of two equal keys neither is kept silently."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import BadInput
from data.schema import Transaction
from services.scoring.messages import FaultList, LabelBatch, TransactionBatch, decode

PAYMENT: dict[str, Any] = {
    "transaction_id": "tx_1",
    "event_time": "2026-01-05T09:30:00Z",
    "card_id": "card_1",
    "terminal_id": "term:1",
    "amount_minor": 1234,
}
MORE: dict[str, Any] = {"channel": "chip", "category": "grocery", "latitude": 52.37, "longitude": None, "device_id": "dev_1"}
payments = st.sets(st.sampled_from(sorted(MORE))).map(lambda names: PAYMENT | {name: MORE[name] for name in names})
SPACES = st.sampled_from(["", " ", "\n\t"])


@st.composite
def written(draw: st.DrawFn, repeats: bool) -> str:
    """One payment as JSON, spaced somehow, its keys escaped here and there; one of them twice when it `repeats`."""
    pairs = list(draw(payments).items())
    if repeats:
        pairs.insert(draw(st.integers(0, len(pairs))), draw(st.sampled_from(pairs)))
    space, escaped = draw(SPACES), draw(st.integers(-1, len(pairs) - 1))
    keys = [f"\\u{ord(key[0]):04x}{key[1:]}" if place == escaped else key for place, (key, _) in enumerate(pairs)]
    parts = [f'"{key}"{space}:{space}{json.dumps(value)}' for key, (_, value) in zip(keys, pairs, strict=True)]
    return "{" + f"{space},".join(parts) + "}"


@given(written(repeats=False))
def test_a_body_without_repeats_is_taken_however_it_is_written(body: str) -> None:
    assert decode(Transaction, body.encode()).transaction_id == "tx_1"


@given(written(repeats=True))
def test_a_repeated_key_is_refused_however_it_is_written(body: str) -> None:
    with pytest.raises(BadInput, match="repeats a key"):
        decode(Transaction, body.encode())


@given(st.lists(written(repeats=False), min_size=1, max_size=4), st.data())
def test_in_a_batch_one_repeated_key_is_enough(bodies: list[str], data: st.DataObject) -> None:
    """Also where another payment leaves the same key out."""
    whole = f'{{"transactions": [{",".join(bodies)}]}}'
    assert len(decode(TransactionBatch, whole.encode()).transactions) == len(bodies)
    place = data.draw(st.integers(0, len(bodies) - 1))
    bodies[place] = data.draw(written(repeats=True))
    with pytest.raises(BadInput, match="repeats a key"):
        decode(TransactionBatch, f'{{"transactions": [{",".join(bodies)}]}}'.encode())


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (LabelBatch, '{"labels": [{"transaction_id": "t", "report_time": "2026-01-05T09:30:00Z", "is_fraud": true%s}]}'),
        (FaultList, '{"faults": [{"mechanism": "mis_join", "strength": 1, "seed": 1, "start": "2026-01-05"%s}]}'),
        (FaultList, '{"challenger": {"fails": 0.5, "poison": 0.1%s}}'),
    ],
)
def test_the_same_goes_for_every_message(kind: Any, body: str) -> None:
    decode(kind, (body % "").encode())
    first = body.partition("{")[2].partition("{")[2].partition(",")[0]
    with pytest.raises(BadInput, match="repeats a key"):
        decode(kind, (body % f", {first}").encode())


def test_a_list_of_no_faults_is_none() -> None:
    assert decode(FaultList, b'{"faults": []}').faults == decode(FaultList, b"{}").faults == ()
