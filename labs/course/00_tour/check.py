"""L00: the payment is found in the log by its id, its history by the card, its model by the version."""

import json
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, Field

from labs.engine import Incorrect, NotStarted, Passed, Workplace


class Answers(BaseModel):
    """answers.toml."""

    decision: Literal["approve", "review", "decline"]
    model_version: str
    run_id: str
    rows_in_log: int = Field(ge=0)


def answered(at: Workplace) -> Passed:
    row = _logged(at, _payment(at, "payment.json")["transaction_id"])
    if row is None:
        raise NotStarted("Send it: `lab score payment.json`.")
    served = at.served()
    mine = served[served["card_id"] == row["card_id"]]
    return Passed({"answer_ms": float(mine["latency_us"].median()) / 1000})


def remembered(at: Workplace) -> Passed:
    first, second = (_logged(at, _payment(at, name)["transaction_id"]) for name in ("payment.json", "second.json"))
    if first is None or second is None:
        raise NotStarted("Send both: `lab score payment.json`, then `lab score second.json`.")
    new_id = "An id is answered once: correct second.json, give it a new transaction_id, and send it."
    if first["card_id"] != second["card_id"]:
        raise Incorrect("The second payment was paid with another card, whose history is another one.", new_id)
    apart = (second["event_time"] - first["event_time"]).total_seconds()
    if not 0 < apart < 3600:
        side = "after" if apart > 0 else "before"
        raise Incorrect(f"The second payment lies {abs(apart) / 60:.0f} minutes {side} the first, outside the hour that counts.", new_id)
    served = at.served()
    ago = second["event_time"] - served.loc[served["card_id"] == first["card_id"], "event_time"]
    there = ((ago > pd.Timedelta(0)) & (ago < pd.Timedelta("1h"))).sum()  # more than one after an attempt that went wrong
    if second["card_count_1h"] != there:
        raise Incorrect(
            f"It saw {second['card_count_1h']:.0f} payments of the hour before, and there are {there}: it was sent before the first one.",
            new_id,
        )
    return Passed()


def traced(at: Workplace) -> Passed:
    told = at.answers("answers.toml", Answers)
    payment = _payment(at, "payment.json")["transaction_id"]
    row = _logged(at, payment)
    if row is None:
        raise NotStarted("Send the payment first: `lab score payment.json`.")
    if told.decision != row["decision"]:
        raise Incorrect("The log holds another decision for this payment.", "`python look.py`, column decision")
    if told.model_version != row["model_version"]:
        raise Incorrect("Another version answered this payment.", "`python look.py`, column model_version")
    if told.run_id != at.registry.version(told.model_version).run_id:
        raise Incorrect(f"That is not the run behind version {told.model_version}.", "`lab registry`, column run")
    served = at.served()
    if told.rows_in_log != (served["transaction_id"] == payment).sum():
        raise Incorrect(
            "The second time it was answered from the log, and nothing was added.", "`python look.py` prints one line for each row"
        )
    return Passed()


def _payment(at: Workplace, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(at.file(name).read_text()))
    except ValueError:
        raise Incorrect(f"{name} is not JSON any more.", f"Is a comma or a quote missing in {name}?") from None


def _logged(at: Workplace, transaction_id: str) -> "pd.Series[Any] | None":
    served = at.served()
    rows = served[served["transaction_id"] == transaction_id]
    return None if rows.empty else rows.iloc[0]
