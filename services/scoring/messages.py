"""The HTTP messages that only the scoring API knows, and how a body becomes a message."""

import json
from datetime import date
from functools import cache
from operator import attrgetter
from typing import Any, Literal, TypeVar, get_origin

from pydantic import Field, ValidationError

from data.errors import BadInput
from data.schema import Label, Message, Prediction, Transaction

MOST_PER_BATCH = 1_000  # about 400 KB of JSON, 100 ms of work


class TransactionBatch(Message):
    """Payments in order of arrival."""

    transactions: tuple[Transaction, ...] = Field(min_length=1, max_length=MOST_PER_BATCH)


class PredictionBatch(Message):
    """One answer per payment, in the order of the request."""

    predictions: tuple[Prediction, ...]


class LabelBatch(Message):
    """Labels, as they became known."""

    labels: tuple[Label, ...] = Field(min_length=1, max_length=MOST_PER_BATCH)


class LabelReceipt(Message):
    """What became of the labels."""

    accepted: int
    unknown: tuple[str, ...] = Field(description="transaction ids that were never scored here")


class AskedFault(Message):
    """A fault that is to be done to the features that the models see."""

    mechanism: Literal["mis_join", "stretch_window", "hide_last_hour"] = Field(description="see data/faults/features.py")
    strength: float = Field(gt=0, description="in the unit of the mechanism")
    seed: int = Field(ge=0, description="of the rows that it touches")
    start: date = Field(description="first day, by event time")
    ramp_days: int = Field(0, ge=0)
    days: int | None = Field(None, ge=1)
    every_days: int | None = Field(None, ge=1)
    until: date | None = Field(None, description="first day without it")


class AskedChallengerFault(Message):
    """What is to be wrong with the challenger alone. Shares are of payments."""

    fails: float = Field(0.0, ge=0, le=1, description="share on which it raises")
    poison: float = Field(0.0, ge=0, le=1, description="share of scores that are not a number")
    columns_off: int = Field(0, ge=0, le=10, description="columns by which its features are off")
    score_factor: float = Field(1.0, gt=0, le=100, description="times its scores, 1 at most")
    slow: float = Field(0.0, ge=0, le=1, description="share of its answers that are slow")
    slow_ms: float = Field(60.0, gt=0, le=1_000, description="how long each of those takes")
    slow_above_per_s: float = Field(0.0, ge=0, description="only beyond so many answers of its own in a second")
    in_canary: bool = Field(False, description="well while in its shadow, and faulty from its first answer on")


class FaultList(Message):
    """The faults at work; a part that is left out stays as it is."""

    faults: tuple[AskedFault, ...] = Field((), max_length=10, description="of features, as both models see them; none: no fault")
    challenger: AskedChallengerFault | None = Field(None, description="of the challenger alone; null: none")


class StatedPlan(Message):
    """Who is to serve, as `data.serving_plan.ServingPlan` has it."""

    epoch: int = Field(ge=0)
    champion: str = Field(max_length=20)
    challenger: str | None = Field(max_length=20)
    mode: Literal["champion_only", "shadow", "canary", "soak"]
    share: float = Field(ge=0, le=1, description="of cards that the challenger answers")
    rollout_id: str = Field(max_length=100)


class SealedPlan(Message):
    """A serving plan and the lab's signature over it."""

    plan: StatedPlan
    signature: str = Field(pattern="^[0-9a-f]{128}$", description="Ed25519, in hexadecimal digits")


class Problem(Message):
    """The one shape of every failure."""

    code: str
    message: str = Field(description="what happened and what was expected; never a value that was sent")
    next_step: str
    where: str | None
    request_id: str


class ErrorEnvelope(Message):
    """What a failed request gets."""

    error: Problem


M = TypeVar("M", bound=Message)


def decode(kind: type[M], body: bytes) -> M:
    """One JSON body as a message, strictly: no coercion, no repeated keys. Raises BadInput, which never repeats the input."""
    try:
        message = kind.model_validate_json(body, strict=True)
        # JSON parsers silently keep one of two equal keys. Each key but the first of its object brings a comma; one more of them,
        # and the slow way has a look, now that the body is known to be shallow.
        if body.count(b",") != _commas(message):
            json.loads(body, object_pairs_hook=_refuse_repeated_keys)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(_known_place(part) for part in first["loc"]) or "body"
        # An error of JSON itself may quote the text; its kind and our words do not.
        raise bad_input(where, "is not valid JSON" if first["type"] == "json_invalid" else first["msg"]) from None
    except UnicodeDecodeError:
        raise bad_input("body", "is not UTF-8") from None
    return message


def _commas(message: Message) -> int:
    """How many commas the JSON of this message has, each of its keys given once; too few when one of its texts holds any."""
    count = len(message.model_fields_set) - 1
    for name in _lists(type(message)):
        if items := getattr(message, name):
            count += sum(map(len, map(_GIVEN, items))) - 1  # one less than keys in each item, and one less than items between them
    return count


@cache
def _lists(kind: type[Message]) -> tuple[str, ...]:
    """The fields that hold several messages."""
    return tuple(name for name, field in kind.model_fields.items() if get_origin(field.annotation) is tuple)


_GIVEN = attrgetter("model_fields_set")
_PLACES = {
    name
    for kind in (Transaction, Label, TransactionBatch, LabelBatch, AskedFault, AskedChallengerFault, FaultList, StatedPlan, SealedPlan)
    for name in kind.model_fields
}


def _known_place(part: int | str) -> str:
    """A position or a field of ours; a key that the caller made up is not repeated."""
    return str(part) if isinstance(part, int) or part in _PLACES else "unknown field"


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise bad_input("body", "an object repeats a key")
    return found


def bad_input(where: str, what: str) -> BadInput:
    """The refusal of a field or parameter, in our words."""
    return BadInput(f"{where}: {what[:1].lower()}{what[1:]}.", next_step="See /docs for the schema and an example.", where=where)
