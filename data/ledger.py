"""The ledger: who promoted or rolled back what, when, why and on which evidence. Lines are only ever added.

One JSON object a line, each carrying the hash of the line before it, so that a line changed, removed or put in
afterwards breaks the chain at a place that `verify` names. (Lines cut from the end leave a shorter, sound chain:
quote `head()` in whatever must notice that, as the evidence report does.) Rollouts and registrations write; anyone reads.

A line is on disk before `record` returns, and a line without its end was never acknowledged: a crash while writing
leaves such a torn line, which the next `record` moves to `<name>.torn`, and says so in an entry of its own.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

from data.errors import DiskFull, LedgerBroken, RolloutRefused

GENESIS = "0" * 64  # what the first line names as its predecessor


@dataclass(frozen=True)
class Entry:
    """One line. `at` is event time, ISO 8601 in UTC; `hash` covers every other field."""

    sequence: int
    at: str
    kind: str
    facts: dict[str, Any]
    previous: str
    hash: str


class Ledger:
    """One file of entries, safe to use from several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, kind: str, facts: dict[str, Any], at: datetime) -> Entry:
        """Add one entry; it is on disk when this returns.

        `facts` is JSON with finite numbers (ValueError otherwise), `at` an aware event time. Raises LedgerBroken when the
        last line is not sound (the chain would grow on sand), DiskFull when the line could not be written.
        """
        return self.record_all([(kind, facts)], at)[0]

    def record_all(self, lines: Sequence[tuple[str, dict[str, Any]]], at: datetime) -> list[Entry]:
        """Add entries, (kind, facts) each, with one wait for the disk. After a crash the first of them may be there alone."""
        created = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b", buffering=0) as file, _locked(file):
            torn = self._set_torn_line_aside(file)
            if torn:
                self._append(file, [("torn_line", {"bytes": torn, "kept_in": self._torn_path.name})], at)
            entries = self._append(file, lines, at)
        if created:
            _sync_folder(self.path.parent)
        return entries

    def entries(self) -> list[Entry]:
        """Every whole line, oldest first, unverified; a torn last line is left out. Raises LedgerBroken for a line that is no entry."""
        if not self.path.exists():
            return []
        whole, _, _ = self.path.read_bytes().rpartition(b"\n")
        return [self._parse(line, number) for number, line in enumerate(whole.split(b"\n"), 1)] if whole else []

    def verify(self) -> int:
        """Check the whole chain; returns the number of entries. Raises LedgerBroken naming the first line at fault."""
        previous = GENESIS
        entries = self.entries()
        for number, entry in enumerate(entries, 1):
            if entry.hash != _digest(entry):
                raise self._broken(number, "its content does not match its own hash: it was changed after it was written")
            if entry.previous != previous or entry.sequence != number - 1:
                raise self._broken(number, "it does not follow the line before it: a line was removed, put in or moved")
            previous = entry.hash
        return len(entries)

    def head(self) -> str:
        """Hash of the newest entry: quote it elsewhere, and a shortened ledger is noticed too."""
        entries = self.entries()
        return entries[-1].hash if entries else GENESIS

    @contextmanager
    def turn(self, what: str) -> Iterator[None]:
        """Hold the right to act in the ledger's name, one process at a time; a killed holder loses it with its life.

        Raises RolloutRefused when another process holds it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(f".{what}.lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RolloutRefused(
                    f"Another {what} is running.", next_step=f"Wait until it ends; `lab {what} status` shows it.", where=str(self.path)
                ) from None
            yield

    def is_taken(self, what: str) -> bool:
        """Whether a living process holds `turn(what)`."""
        file = self.path.with_suffix(f".{what}.lock")
        if not file.exists():
            return False
        with file.open("rb") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @property
    def _torn_path(self) -> Path:
        return self.path.with_name(self.path.name + ".torn")

    def _set_torn_line_aside(self, file: FileIO) -> int:
        """Move bytes after the last line end to the torn file; returns how many there were."""
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        torn = content[whole:]
        if torn:
            with self._torn_path.open("ab") as aside:
                aside.write(torn + b"\n")
                aside.flush()
                os.fsync(aside.fileno())
            file.truncate(whole)
        return len(torn)

    def _append(self, file: FileIO, lines: Sequence[tuple[str, dict[str, Any]]], at: datetime) -> list[Entry]:
        file.seek(0)
        content = file.read()
        number = content.count(b"\n")
        last = self._parse(content.rstrip(b"\n").rpartition(b"\n")[2], number) if content else None
        if last is not None and (last.hash != _digest(last) or last.sequence != number - 1):
            raise self._broken(number, "it is not sound, so nothing can be added after it")
        previous, entries = last.hash if last else GENESIS, list[Entry]()
        for sequence, (kind, facts) in enumerate(lines, number):
            unsealed = Entry(sequence, at.astimezone(UTC).isoformat(), kind, facts, previous, "")
            entries.append(Entry(**{**asdict(unsealed), "hash": _digest(unsealed)}))
            previous = entries[-1].hash
        self._write(file, b"".join(_canonical(asdict(entry)) + b"\n" for entry in entries))
        return entries

    def _write(self, file: FileIO, content: bytes) -> None:
        try:
            while content:  # an unbuffered write may take a part only
                content = content[file.write(content) :]
            os.fsync(file.fileno())
        except OSError as error:
            raise DiskFull(
                f"{self.path} could not take another entry ({error.strerror}).",
                next_step="Free some space, then run the same command again.",
                where=str(self.path),
            ) from error

    def _parse(self, line: bytes, number: int) -> Entry:
        try:
            return Entry(**json.loads(line))
        except (ValueError, TypeError):
            raise self._broken(number, "it is not an entry") from None

    def _broken(self, number: int, fault: str) -> LedgerBroken:
        return LedgerBroken(
            f"Line {number} of {self.path.name} is the first at fault: {fault}.",
            next_step="Compare it with a backup; the lines before it are sound.",
            where=f"{self.path}:{number}",
        )


def _digest(entry: Entry) -> str:
    body = {name: value for name, value in asdict(entry).items() if name != "hash"}
    return hashlib.sha256(_canonical(body)).hexdigest()


def _canonical(body: dict[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


@contextmanager
def _locked(file: FileIO) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
