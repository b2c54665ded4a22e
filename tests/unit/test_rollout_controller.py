"""The controller on a virtual clock: every kind of challenger ends as it should, and being killed anywhere leaves one champion."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from data.costs import DecisionCosts
from data.errors import BadInput, LabError, RegistryUnavailable, RolloutRefused
from data.ledger import Entry, Ledger
from data.serving_plan import ServingPlan
from pipelines.rollout.actions import read_open
from pipelines.rollout.controller import RolloutOutcome, run_rollout
from pipelines.rollout.looks import Observer
from pipelines.rollout.orders import Kind, give
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.preflight import Preflight
from pipelines.rollout.turns import TimelineEntry, read_timeline
from tests.bench.rollout_kills import PLAN as SHORT
from tests.fakes import FakeRegistry
from tests.simulated_service import START, Faults, Model, SimulatedService

PLAN = RolloutPlan.load()
GOOD, SAME, WORSE = Model(recall=0.75), Model(), Model(recall=0.1)


def registry_with_two_versions(registry: FakeRegistry | None = None) -> FakeRegistry:
    registry = registry or FakeRegistry()
    registry.ensure()
    for number in ("1", "2"):
        registry.create_version(f"run-{number}", "nowhere", {})
    registry.set_alias("champion", "1")
    registry.set_alias("challenger", "2")
    return registry


class Lab:
    """One registry, one service, one ledger."""

    def __init__(self, folder: Path, challenger: Model = GOOD, *, registry: FakeRegistry | None = None, **how: Any) -> None:
        self.registry = registry_with_two_versions(registry)
        self.service = SimulatedService(self.registry, SAME, challenger, **how)
        self.ledger = Ledger(folder / "ledger.jsonl")

    def roll_out(self, plan: RolloutPlan = PLAN, **how: Any) -> RolloutOutcome:
        ports: dict[str, Any] = {"registry": self.registry, "ledger": self.ledger, "evidence": self.service}
        ports |= {"traffic": self.service.traffic, "notify": self.service.notify, "inspect": self.service.inspect, "at": self.service.now}
        return run_rollout(plan, **(ports | how))

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.ledger.entries()]


# --- how rollouts end


def test_a_better_challenger_is_promoted_through_shadow_and_growing_shares(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    outcome = lab.roll_out()
    assert (outcome.result, outcome.champion_before, outcome.champion_after) == ("promoted", "1", "2")
    assert lab.service.now - START < timedelta(days=21)
    assert {name: lab.registry.alias(name) for name in ("champion", "challenger", "previous_champion")} == {
        "champion": "2",
        "challenger": None,
        "previous_champion": "1",
    }
    served = [(plan.mode, plan.share, plan.champion) for plan in lab.service.plans]
    canaries = [("canary", share, "1") for share in (0.01, 0.05, 0.25, 0.5)]
    assert served == [("shadow", 0.0, "1"), *canaries, ("soak", 1.0, "1"), ("champion_only", 0.0, "2")]
    assert [plan.epoch for plan in lab.service.plans] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry.stage for entry in outcome.timeline] == ["preflight"] + ["shadow"] * 2 + ["canary"] * 8 + ["soak"] * 2 + ["promoted"]


def test_a_worse_challenger_is_rolled_back_before_many_cards_met_it(tmp_path: Path) -> None:
    lab = Lab(tmp_path, WORSE)
    outcome = lab.roll_out()
    assert (outcome.result, outcome.champion_after) == ("rolled_back", "1")
    assert "costs more" in outcome.reasons[0]
    assert max(plan.share for plan in lab.service.plans) == 0.05
    assert (lab.registry.alias("champion"), lab.registry.alias("challenger")) == ("1", None)


def test_an_equal_challenger_is_not_called_worse_and_keeps_its_name_for_another_try(tmp_path: Path) -> None:
    lab = Lab(tmp_path, SAME)
    outcome = lab.roll_out()
    assert (outcome.result, outcome.champion_after) == ("inconclusive", "1")
    assert lab.registry.alias("challenger") == "2"


def test_an_identical_challenger_is_promoted_once_enough_labels_are_in(tmp_path: Path) -> None:
    patient = replace(PLAN, steps=tuple(replace(step, max_days=40) for step in PLAN.steps), longest_look_hours=24)
    outcome = Lab(tmp_path, SAME, alike=1.0).roll_out(patient)
    assert outcome.result == "promoted"


ROLLED_BACK: list[tuple[Model, Faults, str, float]] = [
    (Model(fails=1.0), Faults(), "failures", 0.1),
    (Model(fails=0.05), Faults(), "failures", 1),
    (Model(infinite=1e-3), Faults(), "no probability", 1),
    (Model(slow=0.2), Faults(), "slow answers", 4),
    (Model(recall=0.7, false_alerts=0.04), Faults(), "too many alerts", 1),
    (Model(recall=0.0, false_alerts=0.0), Faults(), "hardly any alerts", 4),
    (GOOD, Faults(trouble="refused: signature"), "refused: signature", 0.1),
    (GOOD, Faults(no_payments_after=1), "no payment", 5),
    (GOOD, Faults(no_labels_after=1), "no label", 11),
    (GOOD, Faults(other_challenger="3"), "no payment scored by both", 4),
    (GOOD, Faults(breaks_after=4, broken=Model(fails=0.3)), "failures", 4.5),
]


@pytest.mark.parametrize(
    ("challenger", "faults", "reason", "days"), ROLLED_BACK, ids=lambda value: value if isinstance(value, str) else None
)
def test_a_challenger_that_harms_or_cannot_be_seen_is_rolled_back(
    tmp_path: Path, challenger: Model, faults: Faults, reason: str, days: float
) -> None:
    lab = Lab(tmp_path, challenger, faults=faults)
    outcome = lab.roll_out()
    assert outcome.result == "rolled_back"
    assert reason in "; ".join(outcome.reasons)
    assert lab.service.now - START <= timedelta(days=days)
    assert lab.registry.plan() == ServingPlan(lab.service.plans[-1].epoch, "1", rollout_id=outcome.rollout_id)


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(wrong_arm=0.01), "another model or arm"),
        (Faults(lost_cards_of_challenger=0.5), "sample-ratio mismatch"),
        (Faults(traffic_ends_after=2), "the traffic ended"),
    ],
)
def test_evidence_that_cannot_be_trusted_or_ends_leaves_the_champion_without_a_verdict(tmp_path: Path, faults: Faults, reason: str) -> None:
    lab = Lab(tmp_path, faults=faults)
    outcome = lab.roll_out()
    assert (outcome.result, outcome.champion_after) == ("inconclusive", "1")
    assert reason in "; ".join(outcome.reasons)


def test_a_crashing_challenger_never_answers_a_card(tmp_path: Path) -> None:
    lab = Lab(tmp_path, Model(fails=1.0))
    lab.roll_out()
    assert all(plan.mode in ("shadow", "champion_only") for plan in lab.service.plans)


# --- preflight


def test_a_challenger_that_the_preflight_refuses_is_aborted_and_met_by_nobody(tmp_path: Path) -> None:
    lab = Lab(tmp_path, faults=Faults(damaged="manifest.sig: expected this lab's signature, found another."))
    outcome = lab.roll_out()
    assert (outcome.result, outcome.champion_after) == ("aborted", "1")
    assert "manifest.sig" in outcome.reasons[0]
    assert [plan.challenger for plan in lab.service.plans] == [None]
    assert (lab.registry.alias("champion"), lab.registry.alias("challenger")) == ("1", None)
    assert [turn.verdict for turn in outcome.timeline] == ["refused", "aborted"]


def test_a_preflight_that_was_passed_is_not_repeated_by_a_resume(tmp_path: Path) -> None:
    lab, seen = Lab(tmp_path), list[str]()

    def inspect(version: str) -> Preflight:
        seen.append(version)
        return lab.service.inspect(version)

    with pytest.raises(KilledError):
        lab.roll_out(inspect=inspect, traffic=lambda _: dies())
    lab.roll_out(inspect=inspect)
    assert seen == ["2"]


def dies() -> datetime:
    raise KilledError


# --- pauses, and what an operator orders


def test_silence_pauses_and_the_rollout_goes_on_when_payments_come_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    silent = replace(lab.service.faults, no_payments_after=1)

    def traffic(until: datetime) -> datetime:
        days = (lab.service.now - START) / timedelta(days=1)
        lab.service.faults = silent if 1 <= days < 2.6 else Faults()
        return lab.service.traffic(until)

    outcome = lab.roll_out(traffic=traffic)
    assert outcome.result == "promoted"
    turns = [(turn.verdict, turn.stage) for turn in outcome.timeline]
    assert turns[:4] == [("passed", "preflight"), ("started", "shadow"), ("pause", "shadow"), ("resume", "shadow")]
    assert "no payment" in outcome.timeline[2].reason


def ordering(lab: Lab, *orders: tuple[float, Kind]) -> Callable[[datetime], datetime]:
    """The service's traffic; each order is given once so many days have passed."""
    left = list(orders)

    def traffic(until: datetime) -> datetime:
        reached = lab.service.traffic(until)
        while left and reached - START >= timedelta(days=left[0][0]):
            opened = read_open(lab.ledger)
            assert opened is not None
            give(lab.ledger, opened.rollout_id, left.pop(0)[1], reason="the team is away", by="night shift", at=reached)
        return reached

    return traffic


def test_an_operators_pause_holds_the_step_and_its_time_until_it_is_lifted(tmp_path: Path) -> None:
    lab, rests = Lab(tmp_path), list[datetime]()
    hurried = replace(PLAN, first_look_minutes=720)
    outcome = lab.roll_out(hurried, traffic=ordering(lab, (2, "pause"), (14, "resume")), rest=lambda: rests.append(lab.service.now))
    assert outcome.result == "promoted", "twelve days of pause use up no step"
    assert len(rests) > 10 and all(START + timedelta(days=2) <= at <= START + timedelta(days=15) for at in rests)
    pause, resume = (next(turn for turn in outcome.timeline if turn.verdict == verdict) for verdict in ("pause", "resume"))
    assert (pause.by, pause.reason, pause.stage) == ("night shift", "the team is away", "shadow")
    assert datetime.fromisoformat(resume.at) - datetime.fromisoformat(pause.at) >= timedelta(days=12)
    started = [turn for turn in outcome.timeline if turn.verdict == "started"]
    assert started[1].at >= resume.at


def test_a_paused_rollout_still_rolls_back_what_harms(tmp_path: Path) -> None:
    lab = Lab(tmp_path, faults=Faults(breaks_after=4, broken=Model(fails=0.3)))
    outcome = lab.roll_out(traffic=ordering(lab, (3, "pause")))
    assert outcome.result == "rolled_back"
    assert "failures" in outcome.reasons[0]


def test_a_paused_rollout_that_was_killed_is_still_paused(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    traffic = ordering(lab, (2, "pause"))

    def mortal(until: datetime) -> datetime:
        return traffic(until) if lab.service.now - START < timedelta(days=3) else dies()

    plan = replace(PLAN, first_look_minutes=720)
    with pytest.raises(KilledError):
        lab.roll_out(plan, traffic=mortal)
    outcome = lab.roll_out(plan, traffic=ordering(lab, (20, "abort")))
    assert (outcome.result, max(plan.share for plan in lab.service.plans)) == ("rolled_back", 0.0)


def test_an_abort_gives_the_champion_all_cards_at_the_next_look_and_names_who_said_so(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    outcome = lab.roll_out(traffic=ordering(lab, (2, "abort")))
    assert (outcome.result, outcome.champion_after) == ("rolled_back", "1")
    assert outcome.reasons[0] == "aborted by night shift: the team is away"
    assert outcome.timeline[-1].by == "night shift"
    assert lab.service.now - START < timedelta(days=2.5)


def test_an_override_promotes_against_the_judge_and_is_recorded_as_one(tmp_path: Path) -> None:
    lab = Lab(tmp_path, SAME)
    outcome = lab.roll_out(traffic=ordering(lab, (2, "promote")))
    assert (outcome.result, outcome.champion_after) == ("promoted", "2")
    assert outcome.reasons[0] == "override: promoted by night shift: the team is away"
    assert outcome.reasons[1].startswith("the judge said hold")
    assert lab.ledger.entries()[-1].facts["decided_by"] == "night shift"


def test_an_override_stops_no_rollback(tmp_path: Path) -> None:
    lab = Lab(tmp_path, Model(infinite=0.5))
    outcome = lab.roll_out(traffic=ordering(lab, (0, "promote")))
    assert outcome.result == "rolled_back"


@pytest.mark.parametrize("order", ["pause", "abort", "promote"])
def test_an_order_wants_a_reason(tmp_path: Path, order: Kind) -> None:
    with pytest.raises(BadInput, match="reason"):
        give(Ledger(tmp_path / "ledger.jsonl"), "rollout-1", order, reason=" ", by="night shift", at=START)


def test_an_abort_of_a_rollout_that_nobody_runs_needs_no_payments(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    with pytest.raises(KilledError):
        lab.roll_out(traffic=lambda _: dies())
    opened = read_open(lab.ledger)
    assert opened is not None
    give(lab.ledger, opened.rollout_id, "abort", reason="wrong model", by="night shift", at=START)
    outcome = lab.roll_out(traffic=lambda _: dies())
    assert (outcome.result, outcome.timeline[-1].by) == ("rolled_back", "night shift")


# --- without the registry


def test_a_rollback_waits_for_no_registry(tmp_path: Path) -> None:
    lab = Lab(tmp_path, faults=Faults(breaks_after=4, broken=Model(fails=0.5)))
    told: list[tuple[ServingPlan, bool]] = []

    def traffic(until: datetime) -> datetime:
        lab.registry.down = lab.service.now - START >= timedelta(days=4)
        return lab.service.traffic(until)

    def notify(plan: ServingPlan) -> None:
        told.append((plan, lab.registry.down))
        lab.service.notify(plan)

    def rest() -> None:
        lab.registry.down = len(told) < 9  # a while after it was told

    outcome = lab.roll_out(traffic=traffic, notify=notify, rest=rest)
    assert outcome.result == "rolled_back"
    withdrawn = [(plan.champion, plan.mode, down) for plan, down in told if plan.mode == "champion_only"]
    assert withdrawn[0] == ("1", "champion_only", True), "the service is told while the registry is away"
    assert lab.registry.plan() == told[-1][0]


def test_a_registry_that_is_away_for_a_while_only_delays_a_step(tmp_path: Path) -> None:
    lab, rests = Lab(tmp_path), list[int]()

    def traffic(until: datetime) -> datetime:
        if not rests:
            lab.registry.down = lab.service.now - START > timedelta(days=2)
        return lab.service.traffic(until)

    def rest() -> None:
        rests.append(1)
        lab.registry.down = len(rests) < 30

    assert lab.roll_out(traffic=traffic, rest=rest).result == "promoted"
    assert len(rests) == 30
    assert lab.kinds().count("rollout_started") == 1


def test_a_record_that_cannot_be_kept_stops_nothing_and_is_made_up_for(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    kept: dict[str, int] = {}
    down = True

    def record(entries: Sequence[Entry], rollout_id: str) -> None:
        if down:
            raise RegistryUnavailable("MLflow did not answer.", next_step="Start it.")
        kept[rollout_id] = len(entries)

    first = lab.roll_out(record=record)
    assert (first.result, first.unrecorded, kept) == ("promoted", "MLflow did not answer.", {})
    down = False
    lab.registry.set_alias("challenger", "1")
    second = lab.roll_out(record=record)
    assert second.unrecorded == ""
    assert list(kept) == [first.rollout_id, second.rollout_id]


# --- evidence


def test_no_label_is_used_before_its_time(tmp_path: Path) -> None:
    lab = Lab(tmp_path, WORSE)
    lab.roll_out()
    assert lab.service.asked
    assert all(known_by <= now for now, known_by in lab.service.asked)


def test_the_log_alone_gives_the_same_verdicts_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    first = lab.roll_out()
    again = run_rollout(
        PLAN,
        registry=registry_with_two_versions(),
        ledger=Ledger(tmp_path / "again.jsonl"),
        evidence=lab.service,
        traffic=lambda until: until,
        notify=lambda _: None,
        inspect=lab.service.inspect,
        at=START,
    )
    assert again == first


# --- the ledger


def test_the_ledger_tells_the_story_to_a_reader_who_was_not_there(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    outcome = lab.roll_out(by="night shift")
    lab.ledger.verify()
    step = ["intent", "done", "judgement"]
    assert lab.kinds() == ["rollout_started", "preflight", *step * 6, "intent", "done", "rollout_ended"]
    started, ended = lab.ledger.entries()[0], lab.ledger.entries()[-1]
    assert started.facts["plan"]["steps"][1]["share"] == 0.01
    assert (started.facts["champion"], started.facts["challenger"], started.facts["by"]) == ("1", "2", "night shift")
    assert (ended.facts["result"], ended.facts["champion"], ended.facts["by"]) == ("promoted", "2", "night shift")
    assert ended.facts["reasons"] == list(outcome.reasons)
    verdicts = [entry.facts["verdict"] for entry in lab.ledger.entries() if entry.kind == "judgement"]
    assert verdicts == ["advance"] * 5 + ["promote"]
    assert [entry.at for entry in lab.ledger.entries()] == sorted(entry.at for entry in lab.ledger.entries())


def test_each_turn_is_told_as_it_happens_and_the_ledger_tells_the_same(tmp_path: Path) -> None:
    lab, told = Lab(tmp_path), list[TimelineEntry]()
    outcome = lab.roll_out(tell=told.append)
    assert tuple(told) == outcome.timeline == read_timeline(lab.ledger.entries(), outcome.rollout_id)
    assert [turn.verdict for turn in told] == ["passed"] + ["started", "advance"] * 5 + ["started", "promote", "promoted"]


def test_whoever_looks_from_outside_sees_what_the_judge_saw_last(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    def traffic(until: datetime) -> datetime:
        if lab.service.now - START > timedelta(days=4):
            raise KilledError
        return lab.service.traffic(until)

    with pytest.raises(KilledError):
        lab.roll_out(traffic=traffic)
    opened = read_open(lab.ledger)
    assert opened is not None
    seen = Observer(RolloutPlan.from_json(opened.plan), lab.service, DecisionCosts()).standing(opened, lab.service.now)
    assert (seen.step, seen.verdict) == ("canary 5 %", "hold")
    assert lab.kinds()[-1] == "done"  # it changed nothing
    inside = lab.roll_out().judgements[0]
    assert inside.payments > seen.payments > 0
    assert inside.matured_payments >= seen.matured_payments


# --- refusals


def test_without_a_champion_or_a_challenger_nothing_starts(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.registry.delete_alias("challenger")
    with pytest.raises(RolloutRefused, match="no challenger"):
        lab.roll_out()
    lab.registry.set_alias("challenger", "1")
    with pytest.raises(RolloutRefused, match="no challenger"):
        lab.roll_out()
    lab.registry.delete_alias("champion")
    with pytest.raises(RolloutRefused, match="no champion"):
        lab.roll_out()
    assert lab.ledger.entries() == []


def test_a_second_rollout_at_once_is_refused(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    with lab.ledger.turn("rollout"), pytest.raises(RolloutRefused, match="Another rollout is running"):
        lab.roll_out()
    lab.registry.set_plan(ServingPlan(7, "1", "2", "canary", 0.05, "rollout-of-another-machine"))
    with pytest.raises(RolloutRefused, match="rollout-of-another-machine is under way"):
        lab.roll_out()


def test_a_rollout_that_finds_somebody_else_at_the_plan_stops(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    def traffic(until: datetime) -> datetime:
        if lab.service.now - START > timedelta(days=2):
            lab.registry.set_plan(ServingPlan(50, "1"))
        return lab.service.traffic(until)

    with pytest.raises(RolloutRefused, match="Somebody else changed who serves"):
        lab.roll_out(traffic=traffic)
    assert lab.registry.plan() == ServingPlan(50, "1")
    outcome = lab.roll_out()
    assert outcome.result == "rolled_back"
    assert "in doubt" in outcome.reasons[0]
    assert lab.registry.plan() == ServingPlan(51, "1", rollout_id=outcome.rollout_id)


def test_each_rollout_draws_its_own_cards(tmp_path: Path) -> None:
    lab = Lab(tmp_path, Model(fails=1.0))
    first = lab.roll_out()
    lab.registry.set_alias("challenger", "2")
    assert lab.roll_out().rollout_id != first.rollout_id


# --- killed and resumed


class KilledError(BaseException):
    """The process is gone; no handler runs."""


class Killer:
    """Dies at the n-th thing done to the world."""

    def __init__(self, at: int | None) -> None:
        self.left, self.count = at, 0

    def tick(self) -> None:
        self.count += 1
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise KilledError


class MortalRegistry(FakeRegistry):
    def __init__(self, tick: Callable[[], None]) -> None:
        super().__init__()
        self.tick: Callable[[], None] = lambda: None
        self.when_live = tick

    def _called(self, method: str) -> None:
        super()._called(method)
        self.tick()


class MortalLedger(Ledger):
    def __init__(self, path: Path, tick: Callable[[], None]) -> None:
        super().__init__(path)
        self.tick = tick

    def record_all(self, lines: Sequence[tuple[str, dict[str, Any]]], at: datetime) -> list[Entry]:
        self.tick()
        entries = super().record_all(lines, at)
        self.tick()
        return entries


def quick_run(folder: Path, dies_at: int | None) -> tuple[Lab, Killer]:
    """A short rollout of a much better challenger, killed once. `python -m tests.bench rollout` does this to 500, with SIGKILL."""
    killer = Killer(dies_at)
    registry = MortalRegistry(killer.tick)
    lab = Lab(folder, Model(recall=0.9, false_alerts=0.005), registry=registry, per_day=800, alike=0.2, label_delay_days=0.1)
    registry.tick = registry.when_live

    def notify(plan: ServingPlan) -> None:
        killer.tick()
        lab.service.notify(plan)
        killer.tick()

    def traffic(until: datetime) -> datetime:
        killer.tick()
        return lab.service.traffic(until)

    try:
        lab.roll_out(SHORT, ledger=MortalLedger(lab.ledger.path, killer.tick), notify=notify, traffic=traffic)
    except KilledError:
        registry.tick = lambda: None
    return lab, killer


def test_killed_anywhere_it_resumes_to_the_same_end_with_one_champion_and_a_whole_ledger(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    _, alive = quick_run(tmp_path / "0", None)
    assert alive.count > 60
    for dies_at in range(1, alive.count + 1, 3):
        folder = tmp_path / str(dies_at)
        folder.mkdir()
        lab, _ = quick_run(folder, dies_at)
        if "rollout_ended" not in lab.kinds():
            assert lab.registry.alias("champion") in ("1", "2")
            outcome = lab.roll_out(SHORT)
            assert (outcome.result, outcome.champion_after) == ("promoted", "2"), dies_at
            turns = [turn.verdict for turn in outcome.timeline]
            assert (turns[0], turns[-2:], turns.count("started")) == ("passed", ["promote", "promoted"], 4), dies_at
        assert (lab.registry.alias("champion"), lab.registry.alias("previous_champion")) == ("2", "1"), dies_at
        plan = lab.registry.plan()
        assert plan is not None
        assert (plan.champion, plan.mode) == ("2", "champion_only"), dies_at
        assert lab.service.serving == plan, dies_at
        kinds = lab.kinds()
        assert kinds.count("rollout_started") == kinds.count("rollout_ended") == 1, dies_at
        assert kinds.count("intent") == kinds.count("done"), dies_at
        lab.ledger.verify()


def test_a_rollout_resumed_under_another_plan_gives_all_cards_to_the_champion(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    def traffic(until: datetime) -> datetime:
        if lab.service.now - START > timedelta(days=4):
            raise KilledError
        return lab.service.traffic(until)

    with pytest.raises(KilledError):
        lab.roll_out(traffic=traffic)
    outcome = lab.roll_out(replace(PLAN, money_margin=0.5))
    assert outcome.result == "rolled_back"
    assert lab.registry.plan() == ServingPlan(4, "1", rollout_id=outcome.rollout_id)
    assert lab.registry.alias("champion") == "1"


def test_a_registry_that_is_down_for_a_while_stops_the_rollout_and_loses_nothing(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    def traffic(until: datetime) -> datetime:
        lab.registry.down = lab.service.now - START > timedelta(days=2)
        return lab.service.traffic(until)

    with pytest.raises(RegistryUnavailable):
        lab.roll_out(traffic=traffic)
    with pytest.raises(LabError):
        lab.roll_out()
    lab.registry.down = False
    assert lab.roll_out().result == "promoted"
    assert lab.kinds().count("rollout_started") == 1
