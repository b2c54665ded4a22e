from datetime import UTC, datetime, timedelta
from pathlib import Path

from data.ledger import Ledger
from pipelines.monitoring.change_log import deployments, promoted_at

START = datetime(2026, 3, 1, tzinfo=UTC)


def test_deployments_of_the_span_are_told_oldest_first_and_other_entries_are_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")

    def intent(kind: str, champion: str) -> dict[str, object]:
        return {"rollout_id": "r", "action": {"kind": kind, "serving": {"champion": champion}}}

    ledger.record("champion_registered", {"version": "1"}, START)
    ledger.record("intent", intent("serve", "1"), START + timedelta(days=3))
    ledger.record("intent", intent("promote", "2"), START + timedelta(days=4))
    ledger.record("fault_window", {"column": "amount"}, START + timedelta(days=4))
    ledger.record("intent", intent("restore", "1"), START + timedelta(days=5))
    ledger.record("intent", intent("promote", "3"), START + timedelta(days=9))
    found = deployments(ledger.entries(), START, START + timedelta(days=7))
    assert [d.what for d in found] == ["version 2 promoted", "version 1 put back"]
    assert [d.at for d in found] == [START + timedelta(days=4), START + timedelta(days=5)]
    came = {version: promoted_at(ledger.entries(), version) for version in "1234"}
    assert came == {"1": None, "2": START + timedelta(days=4), "3": START + timedelta(days=9), "4": None}
