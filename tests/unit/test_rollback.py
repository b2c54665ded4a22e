"""An earlier version put back by hand: it answers, the ledger says why, and being killed on the way changes nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.errors import BadInput, BundleRefused, LabError, PlanRefused, RegistryUnavailable, RolloutRefused, UnknownRun
from data.ledger import Ledger
from data.serving_plan import ServingPlan
from pipelines.rollout.rollback import Rollback, roll_back
from tests.fakes import FakeRegistry

NOON = datetime(2026, 3, 6, 12, tzinfo=UTC)
PROMOTED = ServingPlan(5, "2", rollout_id="rollout-1-seed-7")
ALIASES = ("champion", "previous_champion", "challenger")


class Lab:
    """Version 2 was promoted over version 1; version 3 is registered only."""

    def __init__(self, folder: Path, registry: FakeRegistry | None = None, plan: ServingPlan | None = PROMOTED) -> None:
        self.registry = registry or FakeRegistry()
        self.ledger = Ledger(folder / "ledger.jsonl")
        self.notified = 0
        self.registry.ensure()
        for number in ("1", "2", "3"):
            self.registry.create_version(f"run-{number}", "nowhere", {})
        self.registry.set_alias("champion", "2")
        self.registry.set_alias("previous_champion", "1")
        if plan is not None:
            self.registry.set_plan(plan)

    def notify(self) -> None:
        self.notified += 1

    def roll_back(self, to: str | None = None, reason: str = "its scores moved") -> Rollback:
        return roll_back(self.registry, self.ledger, self.notify, to=to, reason=reason, at=NOON)

    def aliases(self) -> list[str | None]:
        return [self.registry.alias(alias) for alias in ALIASES]


def test_the_previous_champion_gets_all_cards_again_and_the_service_is_told(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    assert lab.roll_back() == Rollback("1", "2", 6)
    assert lab.registry.plan() == ServingPlan(6, "1", rollout_id="rollback-6")
    assert lab.aliases() == ["1", "2", None]
    assert lab.notified == 1


def test_a_rollback_can_be_rolled_back(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.roll_back()
    assert lab.roll_back(reason="it was the sender") == Rollback("2", "1", 7)
    assert lab.aliases() == ["2", "1", None]


class ForgedRegistry(FakeRegistry):
    """Somebody may write a plan that nobody of the lab signed over the one in force."""

    forged = False

    def plan(self) -> ServingPlan | None:
        if self.forged:
            raise PlanRefused("The plan is not signed.", next_step="Look who wrote it.")
        return super().plan()

    def set_plan(self, plan: ServingPlan) -> None:
        self.forged = False
        super().set_plan(plan)


def test_a_forged_plan_is_replaced_by_one_that_follows_what_the_ledger_put_in_force(tmp_path: Path) -> None:
    lab = Lab(tmp_path, registry := ForgedRegistry())
    lab.roll_back()
    registry.forged = True
    assert lab.roll_back(reason="it was the sender") == Rollback("2", "1", 7)
    assert registry.plan() == ServingPlan(7, "2", rollout_id="rollback-7")


def test_any_registered_version_can_be_named(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    assert lab.roll_back(to="3").champion == "3"
    assert lab.aliases() == ["3", "2", None]


def test_the_first_champion_serves_without_a_plan_and_can_be_replaced_all_the_same(tmp_path: Path) -> None:
    lab = Lab(tmp_path, plan=None)
    assert lab.roll_back() == Rollback("1", "2", 1)


def test_the_ledger_says_who_what_and_why_and_stays_whole(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.roll_back()
    assert lab.ledger.verify() == 3
    assert [entry.kind for entry in lab.ledger.entries()] == ["rollback", "intent", "done"]
    facts = lab.ledger.entries()[0].facts
    assert (facts["champion"], facts["instead_of"], facts["reason"], facts["by"]) == ("1", "2", "its scores moved", "lab rollback")


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_no_reason_no_rollback(tmp_path: Path, reason: str) -> None:
    lab = Lab(tmp_path)
    with pytest.raises(BadInput, match="--reason"):
        lab.roll_back(reason=reason)
    assert lab.aliases()[0] == "2"


def test_without_a_previous_champion_it_asks_for_a_version(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.registry.delete_alias("previous_champion")
    with pytest.raises(RolloutRefused, match=r"no previous champion.*--to"):
        lab.roll_back()


@pytest.mark.parametrize(("to", "error"), [("2", RolloutRefused), ("9", UnknownRun)])
def test_the_champion_itself_and_unknown_versions_are_refused_and_change_nothing(tmp_path: Path, to: str, error: type[Exception]) -> None:
    lab = Lab(tmp_path)
    with pytest.raises(error):
        lab.roll_back(to=to)
    assert (lab.aliases()[0], lab.ledger.entries()) == ("2", [])


def test_without_a_champion_there_is_nothing_to_replace(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.registry.delete_alias("champion")
    with pytest.raises(RolloutRefused, match="lab train"):
        lab.roll_back()


def test_an_open_rollout_is_not_cut_across(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    facts = {"rollout_id": "rollout-2-seed-7", "champion": "2", "challenger": "3", "plan_digest": "d", "plan": {}}
    lab.ledger.record("rollout_started", facts, NOON)
    with pytest.raises(RolloutRefused, match="rollout-2-seed-7 is open"):
        lab.roll_back()
    assert lab.aliases()[0] == "2"


def test_a_canary_that_the_ledger_knows_nothing_of_is_not_cut_across_either(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.registry.set_plan(ServingPlan(6, "2", "3", "canary", 0.05, "rollout-9"))
    with pytest.raises(RolloutRefused, match="rollout-9 is open"):
        lab.roll_back()


@pytest.mark.parametrize("why", [BundleRefused, UnknownRun])
def test_a_version_that_the_service_refuses_or_cannot_fetch_leaves_everything_as_it_was(tmp_path: Path, why: type[LabError]) -> None:
    lab = Lab(tmp_path)

    def refuse_the_third() -> None:
        if lab.registry.alias("champion") == "3":
            raise why("manifest.sig: signed by somebody else.", next_step="Train anew.")

    lab.notify = refuse_the_third  # type: ignore[method-assign]
    with pytest.raises(why, match="somebody else"):
        lab.roll_back(to="3")
    assert lab.aliases() == ["2", "1", None]
    assert lab.registry.plan() == ServingPlan(7, "2", rollout_id="rollout-1-seed-7")
    assert lab.ledger.entries()[2].facts["action"]["reasons"] == ["manifest.sig: signed by somebody else."]
    assert lab.roll_back() == Rollback("1", "2", 8)


class DyingRegistry(FakeRegistry):
    """Fails at the n-th change after `arm`."""

    left = 10**6

    def _called(self, method: str) -> None:
        if method.startswith("set_"):
            if self.left == 0:
                raise RegistryUnavailable("Killed.", next_step="Again.")
            self.left -= 1
        super()._called(method)


@pytest.mark.parametrize("changes", [0, 1, 2])
def test_killed_after_any_change_the_next_call_completes_the_same_rollback(tmp_path: Path, changes: int) -> None:
    lab = Lab(tmp_path, registry := DyingRegistry())
    registry.left = changes
    with pytest.raises(RegistryUnavailable):
        lab.roll_back()
    registry.left = 10**6
    assert lab.roll_back(reason="again") == Rollback("1", "2", 6, resumed=True)
    assert lab.aliases() == ["1", "2", None]
    assert lab.registry.plan() == ServingPlan(6, "1", rollout_id="rollback-6")
    assert lab.ledger.verify() == 3
