"""The contract of a payment: what is accepted, what is refused, and that nothing like a card number gets in."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from data.schema import LEVEL_PATTERN, TOKEN_PATTERN, TRANSACTION_COLUMNS, Label, Transaction, looks_like_card_number

GOOD: dict[str, Any] = {
    "transaction_id": "tx_20260105_000017",
    "event_time": "2026-01-05T09:30:00Z",
    "card_id": "card_004211",
    "terminal_id": "term_00317",
    "amount_minor": 1234,
    "channel": "chip",
    "category": "grocery",
    "latitude": 52.37,
    "longitude": 4.9,
}

LABEL: dict[str, Any] = {"transaction_id": "tx", "report_time": "2026-01-05T09:30:00Z", "is_fraud": True}

BAD: list[tuple[str, dict[str, Any]]] = [
    ("no offset in the time", {"event_time": "2026-01-05T09:30:00"}),
    ("amount of nothing", {"amount_minor": 0}),
    ("amount below nothing", {"amount_minor": -5}),
    ("amount in major units", {"amount_minor": 12.34}),
    ("amount that is not a number", {"amount_minor": "a lot"}),
    ("unknown currency", {"currency": "XAU"}),
    ("unknown channel", {"channel": "telepathy"}),
    ("place outside the earth", {"latitude": 91.0}),
    ("place that is not a number", {"latitude": float("nan")}),
    ("endless place", {"longitude": float("inf")}),
    ("empty id", {"transaction_id": ""}),
    ("id with a line break", {"card_id": "card\n1"}),
    ("id that is far too long", {"terminal_id": "t" * 65}),
    ("a field nobody knows", {"is_fraud": True}),
    ("a card number where a token belongs", {"card_id": "4111111111111111"}),
    ("a card number with separators", {"device_id": "4111-1111-1111-1111"}),
    ("a missing card", {"card_id": None}),
]


def test_a_good_transaction_is_accepted_and_cannot_be_changed() -> None:
    transaction = Transaction.model_validate(GOOD)
    assert transaction.currency == "EUR"
    with pytest.raises(ValidationError):
        transaction.amount_minor = 1  # type: ignore[misc]


@pytest.mark.parametrize(("why", "change"), BAD, ids=[why for why, _ in BAD])
def test_a_bad_transaction_is_refused_at_the_field_that_is_wrong(why: str, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        Transaction.model_validate(GOOD | change)
    assert {error["loc"][0] for error in refused.value.errors()} == set(change)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111111111111111", True),  # the networks' public test number
        ("5500 0000 0000 0004", True),
        ("378282246310005", True),  # 15 digits
        ("3782.822463.10005", True),
        ("20260105-4111111111111111", True),  # beside other digits, as ids are made
        ("20260105_4111_1111_1111_1111_01", True),
        ("4111.1111.1111.1111.2026", True),
        ("1-4111111111111111", True),
        ("4111111111111112", False),  # Luhn fails
        ("411111111111", False),  # 12 digits
        ("tx_20260105_000017", False),
    ],
)
def test_card_numbers_are_recognised_by_length_and_luhn_check(text: str, expected: bool) -> None:
    assert looks_like_card_number(text) is expected


SOUP = "0123456789" * 3 + "4111" + "_.:-" + "aZ" + "é\n"


@given(st.lists(st.sampled_from([*SOUP, "4111111111111111", "5500.0000.0000.0004", "3782-822463-10005"]), max_size=24).map("".join))
def test_a_token_is_what_its_pattern_says_and_no_card_number(text: str) -> None:
    """Most tokens are let through by another pattern, so that both ways must say the same."""
    is_token = re.fullmatch(TOKEN_PATTERN, text) is not None and not text.endswith("\n")
    for build in (
        lambda: Transaction.model_validate(GOOD | {"card_id": text}),
        lambda: Label.model_validate(LABEL | {"transaction_id": text}),
    ):
        if is_token and not looks_like_card_number(text):
            build()
        else:
            with pytest.raises(ValidationError):
                build()


def test_a_refused_token_is_told_what_was_expected_and_keeps_its_plain_schema() -> None:
    with pytest.raises(ValidationError) as refused:
        Transaction.model_validate(GOOD | {"card_id": "4111111111111111"})
    (error,) = refused.value.errors()
    assert error["loc"] == ("card_id",) and error["msg"].endswith("that holds no card number")
    said = Transaction.model_json_schema()["properties"]
    assert said["card_id"]["type"] == "string" and said["card_id"]["pattern"] == TOKEN_PATTERN
    assert said["category"]["pattern"] == LEVEL_PATTERN


def test_messages_and_tables_have_the_same_fields_in_the_same_order() -> None:
    assert list(Transaction.model_fields) == list(TRANSACTION_COLUMNS)


def test_a_field_may_be_null_in_a_message_exactly_when_its_column_may() -> None:
    for name, (_, nullable) in TRANSACTION_COLUMNS.items():
        accepts_null = type(None) in getattr(Transaction.model_fields[name].annotation, "__args__", ())
        assert accepts_null is nullable, name
