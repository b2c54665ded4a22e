"""What arrives at a running lab, and how far it has come: whoever sends payments goes on where the last sender stopped.

The prediction log says which payments were sent; `live.json` in the lab's folder says where they come from and which drifts
were ever in them, so that a process started later sends the same ones. Payments and labels may be sent twice: the service stores one.
"""

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from data.errors import BadInput, NoTrafficLeft
from data.log_database import LogPlace
from data.open_log import open_log
from data.prediction_frames import logged_days, logged_decisions
from data.scenarios import Injection, scenario
from data.settings import Settings
from labs.archive import readable_log
from labs.drifts import known_scenarios
from labs.injecting import arm
from labs.replay import LABELS_EVERY, Replay
from labs.stream import FileStream, Stream, midnight, open_stream

REPORTED_FOR_DAYS = 30  # the longest window of the features that count reports
BY_HAND = 100  # fewer payments than this in the log may all have been asked with `lab score`
_FILE = "live.json"


@dataclass(frozen=True)
class LiveDrift:
    """A drift that was injected, as it can be injected again."""

    scenario: str
    since: date  # its first day
    seed: int
    strength: float
    until: date | None = None  # first day without it
    file: Path | None = None  # the team's own scenarios, if it is one of them

    def injection(self) -> Injection:
        """Raises what `known_scenarios` and `scenario` raise when its file has changed."""
        chosen = scenario(self.scenario, known_scenarios(self.file))
        return chosen.inject(self.since, seed=self.seed, strength=self.strength, until=self.until)

    def is_over(self, day: date) -> bool:
        """Whether it was stopped by then."""
        return self.until is not None and self.until <= day

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "LiveDrift":
        since, until, file = date.fromisoformat(facts["since"]), facts["until"], facts["file"]
        return cls(**{**facts, "since": since, "until": until and date.fromisoformat(until), "file": file and Path(file)})


@dataclass(frozen=True)
class LiveSource:
    """Where a lab's payments come from: a file, or (None) the synthetic world; and every drift that was ever in them."""

    data: Path | None = None
    drifts: tuple[LiveDrift, ...] = ()

    @classmethod
    def of(cls, stream: Stream) -> "LiveSource":
        """What `open` would make this stream of, its drifts being of the catalogue."""
        data = stream.path if isinstance(stream, FileStream) else None
        drifts = (LiveDrift(one.scenario.name, one.start, one.seed, one.scenario.strength) for one in stream.drifts.injections)
        return cls(data, tuple(drifts))

    def open(self, settings: Settings) -> Stream:
        """The stream, its drifts under way. Raises what `open_stream`, `Stream.inject` and `LiveDrift.injection` raise."""
        stream = open_stream(settings, self.data, 0)
        for drift in self.drifts:
            stream.inject(drift.injection())
        return stream

    def save(self, home: Path) -> None:
        """Whole or not at all."""
        partial = home / f"{_FILE}.new"
        facts = {"data": self.data and self.data.resolve(), "drifts": [asdict(drift) for drift in self.drifts]}
        partial.write_text(json.dumps(facts, default=str) + "\n")
        partial.replace(home / _FILE)

    @classmethod
    def load(cls, home: Path) -> "LiveSource":
        """What was saved; the world without a drift where nothing was."""
        file = home / _FILE
        if not file.exists():
            return cls()
        facts = json.loads(file.read_text())
        data = facts["data"]
        return cls(data and Path(data), tuple(LiveDrift.from_json(drift) for drift in facts["drifts"]))


def take_up(settings: Settings, stream: Stream, stands: datetime, days: float) -> Replay:
    """The stream's traffic from `stands` (see `where_it_stands`), `days` of it to come; every label due by then is delivered.

    Raises what sending raises.
    """
    log = readable_log(settings)
    earlier, end = _last_delivery_before(stands, stream), stands + timedelta(days=days)
    late = earlier - stream.drifts.lag
    decisions = logged_decisions(log, late - timedelta(days=REPORTED_FOR_DAYS + 1), stands + timedelta(days=1))
    last = end if stream.end is None else min(end, midnight(stream.end))
    replay = Replay(settings.scoring_url, stream.day, earlier, last, stream.drifts.feed)
    replay.remember(decisions)
    arm(settings, stream.drifts, stands.date())
    replay.expect(hand_over(settings, stream, late))
    for sent in pd.date_range(_first_reported(stream.live, late), earlier.date(), inclusive="left"):
        labels = stream.day(sent.date()).labels
        replay.expect(labels[labels["transaction_id"].isin(decisions)])
    replay.run_until(stands)
    return replay


def hand_over(settings: Settings, stream: Stream, now: datetime) -> pd.DataFrame:
    """The labels of the history that were not known when the stream went live; its payments are made known to the log.

    Late labels of the history's last weeks reach the service too, and it must know which card paid where. Only those weeks
    count that a feature still looks at.
    """
    first = _first_reported(stream.first, now)
    if first >= stream.live:
        return stream.dataset.read("labels", stream.live - timedelta(days=1), stream.live).iloc[:0]
    payments = stream.dataset.read("transactions", first, stream.live)
    parties = payments[["transaction_id", "card_id", "terminal_id"]].astype(str)
    with closing(open_log(settings)) as log:
        log.add_earlier(parties.itertuples(index=False, name=None))
    labels = stream.dataset.read("labels", first, stream.live)
    return labels[labels["report_time"] >= pd.Timestamp(midnight(stream.live))]


def where_it_stands(stream: Stream, log: LogPlace) -> datetime:
    """When the first payment arrives that is not in the log. Raises BadInput when the log's payments are of another stream.

    Found by ids and not by times: a clock that is wrong, or a payment asked by hand, says nothing about the rest.
    """
    days = [day for day in logged_days(log) if stream.live <= day and (stream.end is None or day < stream.end)]
    for day in reversed(days):
        arriving = stream.day(day)
        logged = logged_decisions(log, midnight(day - timedelta(days=1)), midnight(day + timedelta(days=2)))
        sent = arriving.transactions["transaction_id"].isin(logged).to_numpy()
        if sent.any():
            missing = arriving.arrival[~sent]
            return missing.min().to_pydatetime() if len(missing) else midnight(day + timedelta(days=1))
    count = len(logged_decisions(log, midnight(days[0]), midnight(days[-1] + timedelta(days=1)))) if days else 0
    if count >= BY_HAND:
        raise BadInput(
            f"None of the {count:,} payments in the prediction log is of {stream.name}.",
            next_step="Name the file that they came from with --data, or set LAB_SEED and the others as they were.",
            where="prediction log",
        )
    return midnight(stream.live)


def require_traffic(stream: Stream, stands: datetime) -> None:
    """Raises NoTrafficLeft when every payment of a file has been sent."""
    if stream.end is not None and stands >= midnight(stream.end):
        raise NoTrafficLeft(
            f"Every payment of {stream.name} has been sent, up to {stream.end - timedelta(days=1)}.",
            next_step="Give a longer file with --data, or begin anew: `lab demo`.",
            where=stream.name,
        )


def _last_delivery_before(stands: datetime, stream: Stream) -> datetime:
    """The last delivery of labels before `stands`: from there on is sent again, as the next delivery may be missing."""
    day = datetime.combine(stands.date(), time(), UTC)
    last = day + LABELS_EVERY * ((stands - day) // LABELS_EVERY)
    if last == stands:
        last -= LABELS_EVERY
    return max(last, midnight(stream.live))


def _first_reported(first: date, now: datetime) -> date:
    return max(first, now.date() - timedelta(days=REPORTED_FOR_DAYS))
