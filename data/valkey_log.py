"""The prediction log in Valkey (or Redis 6.2 and later): what several scoring processes share, on one machine or on many.

`data/shared_log.py` says how they share it. Whatever changes the log is one call of `valkey_exchange.lua`, which the server
runs alone and writes to its append-only file as one unit. With `appendfsync always`, which is required, it answers
when the bytes are on disk, after one sync for all clients that wait: group commit, done by the server.

    {fraudlab}:arrivals   stream; entry n-0 is the n-th to arrive: a payment, a fraud report or another label
    {fraudlab}:accepted   hash, transaction id -> its place
    {fraudlab}:answers    hash, transaction id -> answer, record and features
    {fraudlab}:labels     set of all labels
    {fraudlab}:reported   hash, transaction id -> place of the report that called it fraud
    {fraudlab}:earlier    hash, transaction id -> card and terminal of a payment before this log
    {fraudlab}:state      hash: feature schema, name and origin of the log, its last place

The braces keep all keys on one shard of a cluster. All of it is held in memory, 0.9 KB a payment (of 50,000), and nothing is dropped.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import redis
from redis import asyncio as redis_asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from data.errors import BadSetting, LogUnavailable, StoreAway
from data.features import FEATURE_SCHEMA_HASH
from data.log_archive import Portion, Reported, Waiting
from data.prediction_store import FraudReport, Payment, PaymentFacts, PredictionRecord, Stored, conflict
from data.schema import Label
from data.shared_log import Exchange, LogIdentity, OtherLog
from data.valkey_codec import (
    read_answer,
    read_arrivals,
    read_id,
    read_label,
    read_outcomes,
    read_parties,
    read_payment,
    read_record,
    write_answer,
    write_arrivals,
    write_parties,
)

MOST_ARRIVALS: Final = 1_000  # in one exchange: what a process that fell behind takes in at a time, some 10 ms
_TOGETHER: Final = 1_000  # entries read or written in one call outside exchanges
_ANY: Final = -1  # a position that asks for no arrivals
_SCRIPT: Final = Path(__file__).with_name("valkey_exchange.lua")
_KEYS: Final = ("state", "arrivals", "accepted", "answers", "labels", "reported", "earlier")
_STATE, _ARRIVALS, _ACCEPTED, _ANSWERS, _LABELS, _REPORTED, _EARLIER = _NAMES = [f"{{fraudlab}}:{key}" for key in _KEYS]


class ValkeyLog:
    """One log on one server. Any thread may use it, but `exchange` and `aclose` belong to one event loop."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        """Connect. Raises LogUnavailable for a server that does not answer, BadSetting for one that may lose what it acknowledged."""
        self._where = url.rpartition("@")[2]  # without a password
        url = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
        # Once more at once, as a server that was restarted has closed our connections. What is sent twice is taken once.
        options: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "protocol": 2}
        # Any: for the package's own types every reply may be bytes, text or still to come.
        self._client: Any = redis.Redis.from_url(url, **options, retry=Retry(NoBackoff(), 1))
        self._line: Any = redis_asyncio.Redis.from_url(url, **options, retry=AsyncRetry(NoBackoff(), 1))
        script = _SCRIPT.read_text()
        self._call, self._call_on_line = self._client.register_script(script), self._line.register_script(script)
        with self._reaching():
            _require_durable(self._client)
            self._name = self._prepare()

    def identity(self) -> LogIdentity:
        """Which log this is now. Raises LogUnavailable."""
        with self._reaching():
            self._name = self._prepare()
            origin = self._client.hget(_STATE, "origin")
        return LogIdentity(self._name, origin.decode() if origin is not None else None)

    async def exchange(
        self, identity: LogIdentity, position: int, arriving: Sequence[PaymentFacts | Label], answers: Sequence[PredictionRecord]
    ) -> Exchange:
        """See `SharedLog`."""
        caller = (identity.name, identity.origin or "", position, MOST_ARRIVALS)
        words: list[Any] = [*caller, write_arrivals(arriving), *map(write_answer, answers)]
        with self._reaching():
            taken, events, outcomes, stored = await self._call_on_line(keys=_NAMES, args=words)
        arrivals, last = read_arrivals(events, position)
        if not taken:
            return Exchange(None, [], arrivals, last)
        return Exchange(read_outcomes(outcomes, len(arriving)), read_outcomes(stored, len(answers)), arrivals, last)

    def submit(self, entries: Sequence[PredictionRecord | Label]) -> "Future[frozenset[str]]":
        """Store entries, in order, in one step. The future has ended; see `PredictionLog.submit` for what it holds."""
        arriving = [entry if isinstance(entry, Label) else entry.payment for entry in entries]
        answers = [write_answer(entry) for entry in entries if not isinstance(entry, Label)]
        future: Future[frozenset[str]] = Future()
        try:
            with self._reaching():
                _, _, outcomes, _ = self._call(keys=_NAMES, args=[self._name, "", _ANY, 0, write_arrivals(arriving), *answers])
        except LogUnavailable as error:
            future.set_exception(error)
            return future
        paired = zip(arriving, read_outcomes(outcomes, len(arriving)), strict=True)
        refused = (each.transaction_id for each, outcome in paired if outcome.kind == "refused" and isinstance(each, PaymentFacts))
        future.set_result(frozenset(refused))
        return future

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Store and wait. Raises IdempotencyConflict, LogUnavailable."""
        if self.submit(records).result():
            raise conflict()

    def add_labels(self, labels: Sequence[Label]) -> None:
        """Store labels of logged payments and wait. Raises LogUnavailable."""
        self.submit(labels).result()

    def add_earlier(self, payments: Iterable[tuple[str, str, str]]) -> None:
        """See `PredictionLog.add_earlier`."""
        rest = iter(payments)
        while some := list(islice(rest, _TOGETHER)):
            with self._reaching(), self._client.pipeline(transaction=False) as pipeline:
                for key, card, terminal in some:
                    pipeline.hsetnx(_EARLIER, key, write_parties(card, terminal))
                pipeline.execute()

    def find(self, transaction_ids: Sequence[str]) -> dict[str, Stored]:
        """The stored answers among some transactions, by id. Raises LogUnavailable."""
        found = self._stored(transaction_ids)
        return {key: Stored(read_payment(payment), read_answer(answer.partition(b"\n")[0])) for key, (payment, answer) in found.items()}

    def logged(self, transaction_id: str) -> PredictionRecord | None:
        """Everything the log holds of one answered payment, or None. Raises LogUnavailable."""
        found = self._stored([transaction_id]).get(transaction_id)
        return read_record(*found) if found else None

    def parties(self, transaction_id: str) -> tuple[str, str] | None:
        """(card_id, terminal_id) of an accepted or an earlier payment, or None."""
        with self._reaching():
            place = self._client.hget(_ACCEPTED, transaction_id)
            if place is not None:
                payment = read_payment(self._client.xrange(_ARRIVALS, place + b"-0", place + b"-0")[0][1][b"event"])
                return payment.card_id, payment.terminal_id
            earlier = self._client.hget(_EARLIER, transaction_id)
        return read_parties(earlier) if earlier is not None else None

    def is_reported(self, transaction_id: str) -> bool:
        """Whether a label already says that this payment was fraud."""
        with self._reaching():
            return bool(self._client.hexists(_REPORTED, transaction_id))

    def events_since(self, sequence: int) -> Iterator[Payment | FraudReport]:
        """See `PredictionLog.events_since`; accepted payments count, answered or not."""
        while True:
            with self._reaching():
                entries = self._client.xrange(_ARRIVALS, f"{sequence + 1}-0", "+", _TOGETHER)
            arrivals, sequence = read_arrivals(b"[%b]" % b",".join(entry[b"event"] for _, entry in entries), sequence)
            for _, place, event in arrivals:
                yield event if isinstance(event, FraudReport) else Payment(place, *event)
            if not entries:
                return

    def portion_after(self, position: int, count: int) -> Portion:
        """The next entries, for an archive. Raises LogUnavailable."""
        with self._reaching():
            found = self._client.xrange(_ARRIVALS, f"{position + 1}-0", "+", count)
            entries = [(int(place.partition(b"-")[0]), entry[b"event"], entry[b"label"]) for place, entry in found]
            labels = [(place, read_label(line)) for place, _, line in entries if line]
            at = self._client.hmget(_ACCEPTED, [label.transaction_id for _, label in labels]) if labels else []
        return Portion(
            position=entries[-1][0] if entries else position,
            waiting=[Waiting(place, read_id(event)) for place, event, line in entries if not line],
            labels=[Reported(place, label, None if of is None else int(of)) for (place, label), of in zip(labels, at, strict=True)],
        )

    def answers_to(self, payments: Sequence[Waiting]) -> dict[int, PredictionRecord]:
        """The records of those that are answered, by place. Raises LogUnavailable."""
        found = self._stored([payment.transaction_id for payment in payments])
        return {at: read_record(*found[key]) for at, key in payments if key in found}

    def last_sequence(self) -> int:
        """The place of the last entry; 0 when the log is empty."""
        with self._reaching():
            return int(self._client.hget(_STATE, "last") or 0)

    def check_writable(self) -> None:
        """Write a mark. Raises LogUnavailable while the server is gone or its disk full."""
        with self._reaching():
            self._client.hincrby(_STATE, "checks", 1)

    def drain(self) -> None:
        """Nothing waits here: `submit` returns when all is stored."""

    def close(self) -> None:
        """Let go of the server; an event loop that exchanged calls `aclose` first."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the connection of `exchange`."""
        await self._line.aclose()

    def _stored(self, transaction_ids: Sequence[str]) -> dict[str, tuple[bytes, bytes]]:
        """Payment and answer, as they were written, of those that are answered."""
        if not transaction_ids:
            return {}
        with self._reaching():
            answers = dict(zip(transaction_ids, self._client.hmget(_ANSWERS, transaction_ids), strict=True))
            keys = [key for key, answer in answers.items() if answer is not None]
            places = self._client.hmget(_ACCEPTED, keys) if keys else []
            with self._client.pipeline(transaction=False) as pipeline:
                for place in places:
                    pipeline.xrange(_ARRIVALS, place + b"-0", place + b"-0")
                entries = pipeline.execute()
        return {key: (entry[0][1][b"event"], answers[key]) for key, entry in zip(keys, entries, strict=True)}

    def _prepare(self) -> str:
        """Make the log if there is none; returns its name. Raises LogUnavailable for one of other features."""
        self._client.hsetnx(_STATE, "feature_schema", FEATURE_SCHEMA_HASH)
        self._client.hsetnx(_STATE, "name", uuid4().hex)
        schema, name = self._client.hmget(_STATE, ["feature_schema", "name"])
        if schema.decode() != FEATURE_SCHEMA_HASH:
            raise LogUnavailable(
                f"The log at {self._where} was written with another feature schema.",
                next_step="Name an empty database in LAB_STORE_URL.",
                where="LAB_STORE_URL",
            )
        return str(name.decode())

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Whatever goes wrong between us and the server, in our words."""
        try:
            yield
        except (redis.RedisError, OSError) as error:
            if str(error).startswith("OTHERLOG"):
                raise OtherLog(
                    f"The log at {self._where} is not the one that this process has followed.",
                    next_step="Send the same request again; if this stays, restart the process and read what it says.",
                    where="LAB_STORE_URL",
                ) from error
            kind = StoreAway if isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError) else LogUnavailable
            raise kind(
                f"The store at {self._where} did not take or give what it was asked ({type(error).__name__}).",
                next_step="Start or mend the server; send the same request again, it is safe to repeat.",
                where="LAB_STORE_URL",
            ) from error


def _require_durable(client: Any) -> None:
    """Raises BadSetting for a server that could lose an answer that was given."""
    found = client.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
    wanted = {"appendonly": "yes", "appendfsync": "always"}
    if int(found.get("maxmemory", 0)):
        wanted["maxmemory-policy"] = "noeviction"
    for name, value in wanted.items():
        if found.get(name) != value:
            raise BadSetting(
                f"The store has {name} {found.get(name)}; an answer is only given when it is durable, which needs {name} {value}.",
                next_step=f"Start the server with --{name} {value}.",
                where="LAB_STORE_URL",
            )
