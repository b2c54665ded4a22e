"""What every command that sends payments asks first: that a model answers, that nobody else sends, and where the payments stand."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from data.errors import NoModel, RolloutOpen
from data.ledger import Ledger
from data.settings import Settings
from labs.archive import readable_log
from labs.live import LiveSource, require_traffic, where_it_stands
from labs.service import ask_serving
from labs.stream import Stream


@dataclass(frozen=True)
class Sender:
    """A running lab that may be sent payments to."""

    champion: str
    source: LiveSource
    stream: Stream
    stands: datetime  # when the first payment arrives that was not sent


def ready_to_send(settings: Settings, ledger: Ledger, data: Path | None) -> Sender:
    """`data`: where the payments come from, if not from where they came before.

    Raises RolloutOpen while a rollout sends the payments, ServiceDown, NoModel, NoTrafficLeft, and BadInput for another stream.
    """
    require_nobody_sends(ledger)
    champion = ask_serving(settings)["champion"]
    if champion is None:
        raise NoModel("No model serves yet.", next_step="Train one: `lab train`.", where="champion")
    source = LiveSource.load(settings.home)
    source = replace(source, data=data) if data else source
    stream = source.open(settings)
    stands = where_it_stands(stream, readable_log(settings))
    require_traffic(stream, stands)
    return Sender(str(champion), source, stream, stands)


def require_nobody_sends(ledger: Ledger) -> None:
    """Raises RolloutOpen while a rollout sends the payments."""
    if ledger.is_taken("rollout"):
        raise RolloutOpen(
            "A rollout is under way and sends the payments.",
            next_step="Wait until it ends; `lab rollout status` shows it.",
            where="rollout",
        )
