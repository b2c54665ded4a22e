"""Which layer stops which payment: one live day of the world with a burst of card testing in it, and a count of what was answered."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from data.costs import Policy
from data.dataset import to_frame
from data.world import World
from labs.stream import WorldStream

_DAY: Final = 2  # of the live ones, counted from 0: the first with a burst at a shop that the history knows
GENUINE: Final = "genuine"


def day_of_attack(stream: WorldStream) -> tuple[list[dict[str, Any]], list[str]]:
    """That day's payments as messages, in order of arrival, and of each what it was: a kind of fraud, or GENUINE."""
    tables = World(stream.config).day(stream.live + timedelta(days=_DAY))
    truth = to_frame(tables["truth"], "truth")
    kinds = truth["campaign_kind"].astype("str").where(truth["is_fraud"], GENUINE)
    rows: list[dict[str, Any]] = to_frame(tables["transactions"], "transactions").to_dict("records")  # type: ignore[assignment]
    return [as_message(row) for row in rows], kinds.tolist()


def as_message(row: dict[str, Any]) -> dict[str, Any]:
    """A row of TRANSACTION_COLUMNS as the JSON of one payment."""
    known = {name: value for name, value in row.items() if value == value and value is not None}  # NaN is not equal to itself
    return known | {"event_time": row["event_time"].isoformat()}


def stopped_by(said: Sequence[dict[str, Any]], kinds: Sequence[str], policy: Policy) -> dict[str, Counter[str]]:
    """By what was stopped, rules only, model only or both, how many payments of each kind."""
    found: dict[str, Counter[str]] = {"rules only": Counter(), "both": Counter(), "model only": Counter()}
    for one, kind in zip(said, kinds, strict=True):
        by_model = policy.decide(one["score"]) != "approve"
        if one["layer"] == "rules":
            found["both" if by_model else "rules only"][kind] += 1
        elif by_model:
            found["model only"][kind] += 1
    return found


def layer_counts(said: Sequence[dict[str, Any]], kinds: Sequence[str], policy: Policy) -> dict[str, int]:
    """What the rules are worth beside the model, in payments of that day."""
    by = stopped_by(said, kinds, policy)
    sooner = [one for one, kind in zip(said, kinds, strict=True) if kind != GENUINE and policy.decide(one["score"]) == "review"]
    return {
        "frauds_stopped": sum(counts.total() - counts[GENUINE] for counts in by.values()),
        "frauds_only_rules": by["rules only"].total() - by["rules only"][GENUINE],
        "genuine_only_rules": by["rules only"][GENUINE],
        "declined_not_reviewed": sum(one["decision"] == "decline" for one in sooner),
    }
