"""The ledger only grows, shows any later change, and loses nothing that was acknowledged."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.errors import LedgerBroken, RolloutRefused
from data.ledger import GENESIS, Ledger

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger" / "ledger.jsonl")


def filled(ledger: Ledger, lines: int = 4) -> list[bytes]:
    for number in range(lines):
        ledger.record("promoted", {"version": str(number)}, AT)
    return ledger.path.read_bytes().splitlines(keepends=True)


def test_entries_come_back_in_order_each_naming_the_hash_of_the_one_before(ledger: Ledger) -> None:
    filled(ledger)
    entries = ledger.entries()
    assert [entry.facts["version"] for entry in entries] == ["0", "1", "2", "3"]
    assert [entry.sequence for entry in entries] == [0, 1, 2, 3]
    assert [entry.previous for entry in entries] == [GENESIS, *(entry.hash for entry in entries[:-1])]
    assert entries[0].at == "2026-03-02T12:00:00+00:00"
    assert ledger.verify() == 4
    assert ledger.head() == entries[-1].hash


def test_an_empty_ledger_is_sound_and_its_head_is_the_beginning(ledger: Ledger) -> None:
    assert (ledger.entries(), ledger.verify(), ledger.head()) == ([], 0, GENESIS)


def test_a_changed_line_is_named(ledger: Ledger) -> None:
    lines = filled(ledger)
    lines[2] = lines[2].replace(b'"version":"2"', b'"version":"9"')
    ledger.path.write_bytes(b"".join(lines))
    with pytest.raises(LedgerBroken, match=r"Line 3 .* changed after it was written"):
        ledger.verify()


def test_a_changed_line_that_was_given_a_new_hash_breaks_the_next_one(ledger: Ledger) -> None:
    lines = filled(ledger)
    forged = Ledger(ledger.path.with_name("forged.jsonl"))
    filled(forged, 1)
    forged.record("promoted", {"version": "9"}, AT)  # a sound second line with other facts
    lines[1] = forged.path.read_bytes().splitlines(keepends=True)[1]
    ledger.path.write_bytes(b"".join(lines))
    with pytest.raises(LedgerBroken, match=r"Line 3 .* does not follow"):
        ledger.verify()


@pytest.mark.parametrize(("order", "line"), [([0, 2, 3], 2), ([1, 2, 3], 1), ([0, 2, 1, 3], 2), ([0, 1, 1, 2, 3], 3)])
def test_a_line_removed_moved_or_repeated_is_named(ledger: Ledger, order: list[int], line: int) -> None:
    lines = filled(ledger)
    ledger.path.write_bytes(b"".join(lines[i] for i in order))
    with pytest.raises(LedgerBroken, match=f"Line {line} "):
        ledger.verify()


@pytest.mark.parametrize("junk", [b"not json\n", b"[]\n", b'{"sequence": 0}\n', b"\n"])
def test_a_line_that_is_no_entry_is_named_and_nothing_is_added_after_it(ledger: Ledger, junk: bytes) -> None:
    lines = filled(ledger)
    ledger.path.write_bytes(b"".join([*lines, junk]))
    with pytest.raises(LedgerBroken, match="Line 5 "):
        ledger.entries()
    if junk.strip():
        with pytest.raises(LedgerBroken, match="Line 5 "):
            ledger.record("promoted", {}, AT)


def test_nothing_is_added_after_a_last_line_that_was_changed(ledger: Ledger) -> None:
    lines = filled(ledger)
    ledger.path.write_bytes(b"".join(lines).replace(b'"version":"3"', b'"version":"4"'))
    with pytest.raises(LedgerBroken, match="Line 4 "):
        ledger.record("promoted", {}, AT)


def test_a_ledger_cut_at_its_end_is_noticed_by_its_head(ledger: Ledger) -> None:
    lines = filled(ledger)
    head = ledger.head()
    ledger.path.write_bytes(b"".join(lines[:-1]))
    assert ledger.verify() == 3
    assert ledger.head() != head


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_torn_last_line_is_kept_aside_and_said_so(ledger: Ledger, cut: int) -> None:
    lines = filled(ledger)
    torn = lines[3][:-1][:cut]
    ledger.path.write_bytes(b"".join(lines[:3]) + torn)
    assert ledger.verify() == 3
    ledger.record("rolled_back", {"version": "1"}, AT)
    kinds = [entry.kind for entry in ledger.entries()]
    assert kinds == ["promoted"] * 3 + ["torn_line", "rolled_back"]
    assert ledger.entries()[3].facts == {"bytes": len(torn), "kept_in": "ledger.jsonl.torn"}
    assert ledger.path.with_name("ledger.jsonl.torn").read_bytes() == torn + b"\n"
    assert ledger.verify() == 5


def test_a_number_that_is_not_finite_is_refused_and_leaves_no_line(ledger: Ledger) -> None:
    filled(ledger)
    with pytest.raises(ValueError, match="JSON"):
        ledger.record("judgement", {"e": float("nan")}, AT)
    assert ledger.verify() == 4


def test_lines_are_plain_json_that_any_tool_can_read(ledger: Ledger) -> None:
    filled(ledger, 1)
    ledger.record("rolled_back", {"why": "Fehlerrate übertroffen"}, AT)
    lines = [json.loads(line) for line in ledger.path.read_text().splitlines()]
    assert lines[1]["facts"] == {"why": "Fehlerrate übertroffen"}


def test_two_processes_write_one_chain(ledger: Ledger) -> None:
    program = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path; from data.ledger import Ledger\n"
        "for n in range(40): Ledger(Path(sys.argv[1])).record(sys.argv[2], {'n': n}, datetime(2026, 3, 2, tzinfo=UTC))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(ledger.path), name]) for name in ("one", "two")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert ledger.verify() == 80
    for name in ("one", "two"):
        assert [entry.facts["n"] for entry in ledger.entries() if entry.kind == name] == list(range(40))


def test_only_one_at_a_time_may_act_in_the_ledgers_name(ledger: Ledger) -> None:
    with ledger.turn("rollout"):
        with pytest.raises(RolloutRefused, match="Another rollout is running"), Ledger(ledger.path).turn("rollout"):
            raise AssertionError
        with ledger.turn("registration"):
            ledger.record("registered", {}, AT)
    with ledger.turn("rollout"):
        assert ledger.verify() == 1


def test_whether_somebody_holds_the_turn_can_be_asked_without_taking_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert not ledger.is_taken("rollout")
    with ledger.turn("rollout"):
        assert ledger.is_taken("rollout")
    assert not ledger.is_taken("rollout")
    with ledger.turn("rollout"):
        pass


def test_lines_written_together_are_lines_like_all_others(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record("first", {}, AT)
    entries = ledger.record_all([("judgement", {"verdict": "roll_back"}), ("intent", {})], AT)
    assert [entry.sequence for entry in entries] == [1, 2]
    assert entries[1].previous == entries[0].hash
    assert ledger.entries()[1:] == entries
    assert ledger.verify() == 3
