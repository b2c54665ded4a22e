"""`lab score`: one payment, asked of the running service, with its reasons in words."""

import json
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from data.errors import BadInput, MissingFile
from data.reasons import REASONS
from data.schema import Prediction
from data.settings import Settings
from labs.service import call
from labs.terminal import COLOURS, console, print_json


def score(file: Path | None, amount: float | None, fields: dict[str, str | None], *, as_json: bool) -> None:
    """Score the payment of `file`, or the one that the options describe. Raises BadInput for both or neither."""
    if (file is None) == (amount is None):
        raise BadInput("A payment is wanted, once.", next_step="Give a JSON file ('-' for standard input) or --amount, not both.")
    settings = Settings.load()
    body = _read(file) if file is not None else _compose(settings, float(amount or 0), fields)
    prediction = ask(settings, body)
    if as_json:
        print_json(prediction.model_dump(mode="json"))
    else:
        _explain(prediction)


def ask(settings: Settings, body: dict[str, Any]) -> Prediction:
    """The service's answer to one transaction. Raises ServiceDown, or the failure that the service names."""
    return Prediction.model_validate_json(call(settings, "POST", "/v1/score", json=body))


def _read(file: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text()
    except OSError as error:
        raise MissingFile(f"{file} cannot be read ({error.strerror}).", next_step="Check its name.", where=str(file)) from None
    try:
        body = json.loads(text)
    except ValueError as error:
        raise BadInput("That is not JSON.", next_step="Give one transaction as a JSON object.", where=f"{file}: {error}") from None
    if not isinstance(body, dict):
        raise BadInput("One transaction is wanted.", next_step="Give a single JSON object.", where=str(file))
    return body


def _compose(settings: Settings, amount: float, fields: dict[str, str | None]) -> dict[str, Any]:
    """A transaction from options. Without a time it is noon on the day after the lab's history ends."""
    noon = datetime.combine(settings.world_start, time(12), UTC) + timedelta(days=settings.world_days)
    return {
        **fields,
        "transaction_id": f"cli_{uuid4().hex}",
        "event_time": fields["event_time"] or noon.isoformat(),
        "amount_minor": round(amount * 100),
    }


def _explain(prediction: Prediction) -> None:
    out = console()
    colour = COLOURS[prediction.decision]
    out.print(f"[bold {colour}]{prediction.decision}[/]  fraud probability {prediction.score:.2%}")
    for reason in prediction.reasons:
        out.print(f"  · {reason}" + (f": {REASONS[reason]}" if reason in REASONS else ""))
    out.print(f"[dim]model version {prediction.model_version} ({prediction.arm}), {prediction.transaction_id}[/]")
    out.print(f"why, feature by feature: [bold]lab explain {prediction.transaction_id}[/]")
