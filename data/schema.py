"""The messages and tables of the lab, said once: API models, table columns and batch checks come from here.

Conventions, everywhere:
- time is **event time** in UTC; tables hold `datetime64[ms, UTC]`, messages ISO 8601 with an offset;
- an amount is an integer in the **minor unit** of its currency (`amount_minor`, 1234 = 12.34 EUR), as in ISO 8583
  and the card networks' APIs; features and money reports are in major units (EUR);
- ids are opaque tokens, never card numbers; anything that looks like one is refused before it can be stored.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function, str_schema, union_schema

CURRENCY: Final = "EUR"  # the lab settles in one currency; conversion belongs upstream
CHANNELS: Final = ("chip", "contactless", "online", "unknown")
# The levels that models know. Transactions may carry others: an unseen level is a lesson, not an error.
CATEGORIES: Final = (
    "grocery", "fuel", "restaurant", "fashion", "electronics", "pharmacy", "travel", "hotel", "entertainment",
    "home", "digital_goods", "gift_cards", "jewellery", "transport", "services", "cash", "unknown",
)  # fmt: skip
LABEL_SOURCES: Final = ("chargeback", "alert", "dispute", "investigation")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FEWEST_DIGITS: Final = 13
MAYBE_CARD_NUMBER: Final = r"\d(?:(?:[ -]?\d){12}|\d{3}[._:]\d{4}(?:\d\d)?[._:]\d{4})"  # all card numbers match, and few other texts
_MAYBE = re.compile(r"(?<!\d)" + MAYBE_CARD_NUMBER)
_SHAPES = tuple(
    re.compile(shape)
    for shape in (
        r"((?:\d[ -]?){13,19})",  # digits, however they are split
        r"(?<!\d)(\d{13,19})(?!\d)",  # in a row, between others: 20260105-4111..., 4111...-01
        r"(?<!\d)(?=(\d{4}([ ._:-])\d{4}\2\d{4}\2\d{1,4})(?!\d))",  # in groups as printed on cards, between others,
        r"(?<!\d)(?=(\d{4}([ ._:-])(?:\d{4}\2){3}\d{1,3})(?!\d))",
        r"(?<!\d)(?=(\d{4}([ ._:-])\d{6}\2\d{4,5})(?!\d))",  # and as American Express and Diners Club print them
    )
)


def looks_like_card_number(text: str) -> bool:
    """Whether `text` holds 13 to 19 digits, in a row or in groups, that pass the Luhn check (ISO/IEC 7812-1).

    One in ten of other numbers of that length does too, so only those are tried that stand apart from other digits.
    """
    if _MAYBE.search(text) is None:  # as nearly always; the shapes take five times as long
        return False
    return any(_passes_luhn(match[1]) for shape in _SHAPES for match in shape.finditer(text))


def _passes_luhn(text: str) -> bool:
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def _refuse_card_number(text: str) -> str:
    if looks_like_card_number(text):
        raise ValueError("looks like a card number")
    return text


class _Text:
    """Of these letters, digits and marks, and no card number. A mark for the schema of a `str`.

    What holds fewer digits in a row than any card number, whatever marks stand between them, is let through by a pattern in the
    validator's own code; of ids that is nearly each. Asking Python of every one costs a message half of its validation.
    """

    def __init__(self, letters: str, marks: str, most: int, told: str) -> None:
        few = rf"(?:[{marks}]*[0-9]){{0,{_FEWEST_DIGITS - 1}}}[{marks}]*"
        self.pattern = rf"^[{letters}0-9{marks}]{{1,{most}}}$"
        self._at_once = str_schema(pattern=rf"^(?:{few}[{letters}])*{few}$", min_length=1, max_length=most)
        self._told = told

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        looked_at = no_info_after_validator_function(_refuse_card_number, str_schema(pattern=self.pattern))
        return union_schema([self._at_once, looked_at], mode="left_to_right", custom_error_type="text", custom_error_message=self._told)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(str_schema(pattern=self.pattern))


# What the features' state can hold: whole seconds since 1970 in 32 bits. Beyond it lies a broken clock.
MOMENT_END: Final = datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC)
Moment = Annotated[AwareDatetime, Field(ge=_EPOCH, lt=MOMENT_END)]
_TOKEN: Final = _Text("A-Za-z", "_.:-", 64, "Expected a token of 1 to 64 letters, digits and _ . : - that holds no card number")
_LEVEL: Final = _Text("a-z", "_", 32, "Expected a word of 1 to 32 lower-case letters, digits and _ that holds no card number")
TOKEN_PATTERN: Final = _TOKEN.pattern
LEVEL_PATTERN: Final = _LEVEL.pattern
Token = Annotated[str, _TOKEN]
Level = Annotated[str, _LEVEL]


class Message(BaseModel):
    """Base of all messages: immutable, no unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Transaction(Message):
    """One card payment as the authorisation message carries it."""

    transaction_id: Token = Field(description="unique and idempotent: the same id is the same payment", examples=["tx_20260105_000017"])
    event_time: Moment = Field(description="when the payment was made", examples=["2026-01-05T09:30:00Z"])
    card_id: Token = Field(description="card token", examples=["card_004211"])
    terminal_id: Token = Field(description="terminal token (a shop's till, or an online shop)", examples=["term_00317"])
    amount_minor: int = Field(ge=1, le=1_000_000_000, description="amount in minor units: 1234 is 12.34 EUR", examples=[1234])
    currency: Literal["EUR"] = Field("EUR", description="ISO 4217 code; the lab settles in EUR")
    channel: Literal["chip", "contactless", "online", "unknown"] = Field("unknown", description="how the card was read")
    category: Level = Field("unknown", description="merchant category", examples=["grocery"])
    latitude: float | None = Field(None, ge=-90, le=90, description="degrees; null online")
    longitude: float | None = Field(None, ge=-180, le=180, description="degrees; null online")
    device_id: Token | None = Field(None, description="device token; null when no device is involved")


class Label(Message):
    """What became known of a payment, and when. Labels are late, partial and sometimes wrong."""

    transaction_id: Token
    report_time: Moment = Field(description="when the label became known")
    is_fraud: bool
    source: Literal["chargeback", "alert", "dispute", "investigation"] = "chargeback"


Decision = Literal["approve", "review", "decline"]
Arm = Literal["champion", "challenger"]


class Prediction(Message):
    """The answer to one transaction."""

    transaction_id: str
    score: float = Field(ge=0, le=1, description="calibrated probability of fraud")
    decision: Decision
    reasons: tuple[str, ...] = Field(description="reason codes, the strongest first")
    model_version: str = Field(description="the registered version that decided")
    arm: Arm


# Table columns: name -> (pandas dtype, nullable). `category` dtype keeps a million rows small.
TRANSACTION_COLUMNS: Final[dict[str, tuple[str, bool]]] = {
    "transaction_id": ("str", False),
    "event_time": ("datetime64[ms, UTC]", False),
    "card_id": ("category", False),
    "terminal_id": ("category", False),
    "amount_minor": ("int64", False),
    "currency": ("category", False),
    "channel": ("category", False),
    "category": ("category", False),
    "latitude": ("float64", True),
    "longitude": ("float64", True),
    "device_id": ("category", True),
}
# Observed labels: one row per report. `event_time` is the payment's, repeated for convenience.
LABEL_COLUMNS: Final[dict[str, tuple[str, bool]]] = {
    "transaction_id": ("str", False),
    "event_time": ("datetime64[ms, UTC]", False),
    "report_time": ("datetime64[ms, UTC]", False),
    "is_fraud": ("bool", False),
    "source": ("category", False),
}
# Answers. Kept in files of their own; no training, monitoring or serving code may open them.
TRUTH_COLUMNS: Final[dict[str, tuple[str, bool]]] = {
    "transaction_id": ("str", False),
    "is_fraud": ("bool", False),
    "campaign_id": ("category", True),
    "campaign_kind": ("category", True),
}


def event_seconds(moment: datetime) -> int:
    """Whole seconds since 1970, the resolution of the feature kernel."""
    return int(moment.timestamp())


def event_milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970, the resolution of the tables; exact, where a float of seconds would round some down."""
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000


def moment_of(milliseconds: int) -> datetime:
    """The time that many milliseconds after 1970 began, exact, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
