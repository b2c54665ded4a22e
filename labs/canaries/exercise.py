"""One canary exercise: a rollout of the product's own judge and controller over what `played.py` plays, and what came of it.

outcome = run_canary(CANARIES["errors_5"], stage_of(7, home), seed=7)
"""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from data.errors import RolloutRefused
from data.ledger import Ledger
from data.registry import CHALLENGER, CHAMPION
from labs.canaries.interruptions import Killed, KillingLedger
from labs.canaries.outcome import Check, LookOutcome, Outcome, StepOutcome
from labs.canaries.played import PlayedService
from labs.canaries.registry import PlayedRegistry
from labs.canaries.scenario import Canary, Expectation
from labs.canaries.sealed import inspect_challenger
from labs.canaries.stage import Stage
from labs.canaries.truth import truth_of
from pipelines.rollout.actions import read_open
from pipelines.rollout.controller import RolloutOutcome, run_rollout
from pipelines.rollout.orders import give
from pipelines.rollout.plan import RolloutPlan

VERSIONS: Final = ("1", "2")  # champion and challenger
MEANWHILE: Final = timedelta(seconds=10)  # until somebody starts an interrupted rollout again
THIRD_DAY: Final = timedelta(days=2)
OBJECTIONS: Final = ("pause", "roll_back")
OPERATOR: Final = "an operator"


def run_canary(canary: Canary, stage: Stage, *, seed: int, expected: Expectation | None = None, plan: RolloutPlan | None = None) -> Outcome:
    """Roll the challenger out under its fault, and judge how it ended.

    `expected` and `plan` are the scenario's and the product's own when absent.
    """
    plan = plan or RolloutPlan.load()
    with TemporaryDirectory() as folder:
        run = _Run(canary, stage, seed, plan, Path(folder) / "ledger.jsonl")
        ended = run.to_its_end()
        return Outcome(
            scenario=canary.name,
            catalogue_id=canary.catalogue_id,
            seed=seed,
            source=stage.source.name,
            plan_digest=plan.digest,
            truth=truth_of(stage, run.service.live, canary, plan),
            ended=ended.result,
            ended_at=ended.timeline[-1].at,
            reasons_given=ended.reasons,
            pauses=run.pauses(),
            steps=run.steps(),
            looks=run.looks(ended),
            exposed=run.service.exposed(),
            seen=run.service.seen(),
            noticed=run.noticed(),
            checks=run.checks(ended),
            expected=expected or canary.expected,
        )


class _Run:
    """One rollout, started again as often as it is interrupted."""

    def __init__(self, canary: Canary, stage: Stage, seed: int, plan: RolloutPlan, ledger: Path) -> None:
        self.canary, self.stage, self.plan, self.path = canary, stage, plan, ledger
        self.service = PlayedService(stage, canary, seed, VERSIONS)
        aliases = {CHAMPION: VERSIONS[0], CHALLENGER: VERSIONS[1]}
        self.registry = PlayedRegistry(aliases, canary.fault.registry_down_s)
        self.ledger = KillingLedger(ledger) if canary.fault.kills else Ledger(ledger)
        self.meddled = False  # somebody did on the third day what the scenario says
        self.refused = ""  # what a second rollout was told

    def to_its_end(self) -> RolloutOutcome:
        """Start, and start again as often as it is killed."""
        while True:
            try:
                return self._roll_out(self.ledger)
            except Killed:
                self.service.traffic(self.service.now + MEANWHILE)

    def _roll_out(self, ledger: Ledger) -> RolloutOutcome:
        return run_rollout(
            self.plan,
            registry=self.registry,
            ledger=ledger,
            evidence=self.service,
            traffic=self._traffic,
            notify=self.service.follow,
            inspect=lambda version: inspect_challenger(self.stage, self.canary, version),
            at=self.service.now,
            by="canary exercise",
            rest=self.registry.rest,
        )

    def _traffic(self, until: datetime) -> datetime:
        fault, now = self.canary.fault, self.service.now
        if now >= self.service.start + THIRD_DAY and not self.meddled:
            self.meddled = True
            if fault.second_rollout:
                self._start_another()
            if fault.override:
                opened = read_open(self.ledger)
                assert opened is not None  # its traffic is asked for
                give(self.ledger, opened.rollout_id, "promote", reason=fault.override, by=OPERATOR, at=now)
        return self.service.traffic(until)

    def _start_another(self) -> None:
        try:
            self._roll_out(Ledger(self.path))
        except RolloutRefused as error:
            self.refused = error.message

    def steps(self) -> tuple[StepOutcome, ...]:
        """From the ledger, as a stranger would learn it, and the exposure of each from the log."""
        entries = self.ledger.entries()
        begun = {entry.facts["action"]["serving"]["epoch"]: entry for entry in entries if entry.kind == "intent"}
        verdicts = [entry for entry in entries if entry.kind == "judgement"]
        marks = [(entry.at, begun[entry.facts["epoch"]].facts["action"]) for entry in entries if entry.kind == "done"]
        found = []
        for (since, action), (until, _) in pairwise(marks):
            serving = action["serving"]
            told = [entry.facts for entry in verdicts if since <= entry.at <= until and entry.facts["share"] == serving["share"]]
            payments, exposed = self.service.counts(serving["epoch"])
            last = told[-1] if told else {}
            found.append(
                StepOutcome(
                    self.plan.steps[action["step"]].name,
                    serving["mode"],
                    serving["share"],
                    since,
                    until,
                    payments,
                    exposed,
                    last.get("verdict", ""),
                    tuple(last.get("reasons", ())),
                    last.get("e_values", {}),
                )
            )
        return tuple(found)

    def checks(self, ended: RolloutOutcome) -> tuple[Check, ...]:
        """What must hold however it ended, and what the scenario itself promises."""
        fault, plan = self.canary.fault, self.registry.plan()
        assert plan is not None  # the rollout set one
        right = VERSIONS[ended.result == "promoted"]
        answers = {self.registry.alias(CHAMPION), plan.champion, self.service.serving.champion}
        found = [
            Check(
                "one champion, who answers all cards",
                answers == {right} and plan.mode == "champion_only",
                f"version {' and '.join(sorted(map(str, answers)))}",
            ),
            Check("the ledger's chain holds", self.ledger.verify() > 0),
        ]
        if isinstance(self.ledger, KillingLedger):
            died = len(self.ledger.died)
            found.append(Check("it was killed in every change of who serves", died == plan.epoch, f"{died} of {plan.epoch}"))
        if fault.registry_down_s:
            found.append(Check("the registry was away", self.registry.refusals > 0, f"for {self.registry.refusals} calls"))
        if fault.second_rollout:
            found.append(Check("a second rollout was refused", bool(self.refused), self.refused or "it ran"))
        if fault.override:
            told = any(entry.kind == "order" and fault.override in entry.facts["reason"] for entry in self.ledger.entries())
            found.append(Check("the override and its reason are in the ledger", told and fault.override in " ".join(ended.reasons)))
        return tuple(found)

    def looks(self, ended: RolloutOutcome) -> tuple[LookOutcome, ...]:
        """Every look of the last process, and the verdicts of those that were killed before it."""
        seen = [judgement.to_json() for judgement in ended.judgements]
        earlier = [entry.facts for entry in self.ledger.entries() if entry.kind == "judgement"]
        looks = [facts for facts in earlier if not seen or facts["at"] < seen[0]["at"]] + seen
        return tuple(LookOutcome(*(facts[name] for name in ("at", "step", "share", "verdict", "e_values"))) for facts in looks)

    def noticed(self) -> int | None:
        """Payments that the challenger had scored when the judge first objected."""
        objections = [entry.at for entry in self.ledger.entries() if entry.kind == "judgement" and entry.facts["verdict"] in OBJECTIONS]
        return self.service.seen(datetime.fromisoformat(objections[0])) if objections else None

    def pauses(self) -> tuple[str, ...]:
        """Why it stood still, each time."""
        stood = [entry.facts for entry in self.ledger.entries() if entry.kind == "judgement" and entry.facts["verdict"] == "pause"]
        return tuple("; ".join(facts["reasons"]) for facts in stood)
