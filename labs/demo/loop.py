"""The closed loop, step by step: data, training, service and load, drift and verdict, retraining and rollout, evidence.

Each step does its work through the same functions and addresses that everybody else uses, tells what happened, and
stops the run when it did not do what it says. What it found stays in `Found`, from which the report is written even
when a later step fails.
"""

import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib import import_module
from typing import Any, Final

from data.fault_windows import fault_windows
from data.ledger import Entry, Ledger
from data.registry import CHALLENGER, CHAMPION, Registry
from data.scenarios import DEMO_SCENARIO, Injection, scenario
from data.settings import Settings
from labs.demo.schedule import Schedule
from labs.demo.story import Story
from labs.injecting import arm, require_possible
from labs.live import LiveSource, hand_over
from labs.load import run_load
from labs.replay import Replay
from labs.report.facts import LatencyFacts
from labs.rollout import headline, is_verdict, promises, roll_out
from labs.service import ask_serving, call, serving_once_ready
from labs.stream import Stream, midnight
from labs.terminal import table
from labs.versions import load_version
from labs.watching import EvidentlyJob, EvidentlyRun, Watcher
from pipelines.monitoring.monitor import WindowResult
from pipelines.monitoring.timeline import Timeline
from pipelines.rollout.controller import RolloutOutcome
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.turns import TimelineEntry
from pipelines.training.request import LogSource, Recipe, TrainingOutcome, TrainingRequest
from pipelines.training.split import SplitPlan
from services.supervisor import Supervisor

# What training imports when it needs it, some five seconds in all; imported while MLflow and Prefect start.
LATE_IMPORTS = ("lightgbm", "sklearn.linear_model", "mlflow.lightgbm", "matplotlib.figure")
# Coarser intervals than the default, for the demo has two minutes; more patience, for its frauds are few.
QUICK: Final[dict[str, Any]] = {"early_stopping_rounds": 60, "bootstrap_resamples": 50}


@dataclass
class Found:
    """What the steps found out, in their order."""

    transactions: int = 0
    frauds: int = 0
    training: TrainingOutcome | None = None
    load: LatencyFacts | None = None
    injection: Injection | None = None
    drift_day: date | None = None
    windows: list[WindowResult] = field(default_factory=list)
    timeline: Timeline | None = None
    evidently: EvidentlyRun | None = None
    retraining: TrainingOutcome | None = None
    rollout: RolloutOutcome | None = None
    served_before: str = ""
    served_after: str = ""
    requests: int = 0
    failed: int = 0
    ledger: tuple[Entry, ...] = ()
    now: datetime | None = None


class Loop:
    """One run over one stream, in one lab home."""

    def __init__(self, settings: Settings, stream: Stream, schedule: Schedule, supervisor: Supervisor, story: Story) -> None:
        self.settings = settings
        self.stream = stream
        self.schedule = schedule
        self.supervisor = supervisor
        self.story = story
        self.found = Found(now=midnight(stream.live))
        self.registry = Registry.of(settings)
        self.ledger = Ledger(settings.home / "ledger.jsonl")
        first, end = midnight(stream.live), midnight(schedule.end(stream.live))
        self.replay = Replay(settings.scoring_url, stream.day, first, end, stream.drifts.feed)
        self._evidently: EvidentlyJob | None = None

    def make_data(self) -> None:
        """Step 1."""
        days = self.settings.world_days
        with self.story.bar("days of payments", days) as bar:
            self.stream.make_history(lambda _: bar.advance(bar.task_ids[0]))
        truth = self.stream.dataset.read("truth", self.stream.first, self.stream.live)
        self.found.transactions, self.found.frauds = len(truth), int(truth["is_fraud"].sum())
        self.story.say(
            f"{days} days of payments, {self.stream.first} to {self.stream.live - timedelta(days=1)}: {len(truth):,} payments, "
            f"{self.found.frauds:,} of them fraud ({self.found.frauds / len(truth):.2%})"
        )
        known = self.stream.dataset.labels_known_by(midnight(self.stream.live), self.stream.first, self.stream.live)
        self.story.note(f"of those frauds {int(known['is_fraud'].sum()):,} are known today; labels are late, partial and sometimes wrong")

    def train(self) -> None:
        """Step 2."""
        from pipelines.flows import training_flow

        for library in LATE_IMPORTS:
            import_module(library)
        self.supervisor.wait(("mlflow", "prefect"))
        request = TrainingRequest(
            self.stream.source,
            midnight(self.stream.live),
            recipe=Recipe(seed=self.settings.seed, **QUICK),
            alert_capacity_per_thousand=self.settings.alert_capacity_per_thousand,
            random_approve_share=self.settings.random_approve_share,
        )
        self.supervisor.launch(("scoring",))  # it starts beside the training, and serves nothing until there is a champion
        outcome = training_flow(request, self.settings)
        self.found.training = outcome
        self._tell_models(outcome)
        self.story.expect(outcome.gate.passed, "the gate registers a champion", "; ".join(outcome.gate.reasons))
        self.story.expect(outcome.alias == CHAMPION, "the first registered model becomes champion", str(outcome.alias))
        facts = {"version": outcome.version, "run_id": outcome.run_id, "reasons": list(outcome.gate.reasons)}
        self.ledger.record("champion_registered", facts, request.cut)
        thresholds = outcome.thresholds
        self.story.say(
            f"the gate let LightGBM pass: version {outcome.version} is champion, reviewing from a score of {thresholds.review_at:.3f} "
            f"({thresholds.alerts_per_thousand:.1f} alerts per thousand)"
        )

    def serve(self) -> None:
        """Step 3."""
        self.replay.expect(hand_over(self.settings, self.stream, self.replay.now))
        self.supervisor.wait(("scoring",))
        serving = serving_once_ready(self.settings)
        self.found.served_before = str(serving["champion"])
        self.story.say(f"the scoring service answers with version {serving['champion']}, verified, from the {serving['source']}")
        self._show_one_answer()
        day = self.replay.now.date()
        summary = run_load(self.settings, self.stream, day)
        if not summary.met:  # one stall of a busy disk takes one answer in a hundred: worth a second look, and said
            self.story.say(
                f"the objective was missed (p99 {summary.p99_ms:.1f} ms, {summary.failures} failed): once more, on the next payments"
            )
            summary = run_load(self.settings, self.stream, day, skip=summary.requests)
        self.found.load = summary
        self.story.say(
            f"Locust sent {summary.requests:,} payments at {summary.requests_per_s:,.0f} per second: p50 {summary.p50_ms:.1f} ms, "
            f"p95 {summary.p95_ms:.1f} ms (allowed {summary.slo_p95_ms:g}), p99 {summary.p99_ms:.1f} ms (allowed {summary.slo_p99_ms:g}), "
            f"{summary.failures} failed"
        )
        self.story.expect(summary.met, "latency and errors within the objective of tests/load/slo.toml", "the objective was missed twice")

    def drift(self, name: str | None) -> None:
        """Step 4."""
        self.found.drift_day = self.schedule.drift(self.stream.live)
        self.found.injection = self._inject(name or DEMO_SCENARIO[self.stream.kind], self.found.drift_day)
        LiveSource.of(self.stream).save(self.settings.home)  # `lab rollout resume` goes on with a killed demo's payments
        watcher = self._watcher()
        for week, day in enumerate(self.schedule.windows(self.stream.live), 1):
            self._send_until(midnight(day), f"week {week} of live payments")
            result = watcher.watch(midnight(day))
            self.found.windows.append(result)
            self.story.say(f"{day}, after live week {week}: [bold]{result.verdict.decision}[/]. {result.verdict.headline}")
            if result.verdict.decision in ("retrain", "roll_back", "fix_pipeline", "recalibrate"):
                break
        self.found.timeline = watcher.timeline(self.replay.now)
        self._evidently = watcher.start_evidently(self.found.windows[-1])
        self._tell_verdict(self.found.windows[-1])

    def _inject(self, name: str, day: date) -> Injection:
        injection = scenario(name).inject(day, seed=self.settings.seed)
        require_possible(injection, self.registry, self.found.served_before)
        self.stream.inject(injection)
        arm(self.settings, self.stream.drifts, day)
        return injection

    def retrain(self) -> None:
        """Step 5, first half: a challenger from matured labels."""
        from pipelines.flows import retraining_flow

        day = self.schedule.retraining(self.replay.now.date())
        self._send_until(midnight(day), "payments until enough labels have matured")
        self._tell_evidently()
        request = TrainingRequest(
            self.stream.source,
            midnight(day),
            log=LogSource(midnight(self.stream.live), fault_windows(self.ledger)),
            split=SplitPlan.for_retraining(),
            recipe=Recipe(seed=self.settings.seed, **QUICK),
            alert_capacity_per_thousand=self.settings.alert_capacity_per_thousand,
            random_approve_share=self.settings.random_approve_share,
            reason=self.found.windows[-1].verdict.headline,
        )
        outcome = retraining_flow(request, self.settings)
        self.found.retraining = outcome
        self.story.expect(outcome.gate.passed, "the retrained model passes the gate", "; ".join(outcome.gate.reasons))
        self.story.expect(self.registry.alias(CHALLENGER) == outcome.version, "it is registered as challenger", str(outcome.alias))
        facts = {"version": outcome.version, "run_id": outcome.run_id, "reasons": list(outcome.gate.reasons)}
        self.ledger.record("challenger_registered", facts, request.cut)
        self.story.say(f"retrained on labels known by {day}: version {outcome.version} is challenger")
        for reason in outcome.gate.reasons:
            self.story.note(reason)

    def roll_out(self) -> None:
        """Step 5, second half: shadow, canary, decision."""
        assert self.found.training is not None and self.found.retraining is not None  # the steps before passed
        versions = str(self.found.training.version), str(self.found.retraining.version)
        with self.story.bar("rollout, in event time", 1) as bar:
            bar.update(bar.task_ids[0], total=None)
            outcome = roll_out(
                self.settings,
                self.registry,
                self.ledger,
                RolloutPlan.load(),
                versions,
                traffic=self.replay.run_until,
                at=self.replay.now,
                tell=self._tell_turn,
            )
        self.found.rollout = outcome
        self._show_who_serves(outcome)

    def _show_who_serves(self, outcome: RolloutOutcome) -> None:
        self._send_until(self.replay.now + timedelta(hours=6), "payments after the decision")
        self.found.served_after = str(ask_serving(self.settings)["champion"])
        self.found.requests, self.found.failed = self.replay.sent, self.replay.failed
        story, found = self.story, self.found
        if self.found.injection and self.found.injection.scenario.name in DEMO_SCENARIO.values():
            story.expect(outcome.result == "promoted", "the retrained model is promoted", "; ".join((outcome.result, *outcome.reasons)))
        for promised in promises(self.settings, self.registry, outcome, self.replay.last_version):
            story.expect(*promised)
        story.expect(found.failed == 0, "no request failed on the way", f"{found.failed} failed")
        story.say(
            f"{outcome.result.replace('_', ' ')}: version {found.served_before} answered before, version {found.served_after} answers now; "
            f"{found.requests:,} payments sent, {found.failed} failed"
        )

    def _tell_turn(self, turn: TimelineEntry) -> None:
        if is_verdict(turn):
            self.story.say(headline(turn))
            self.story.note(turn.reason)

    def close(self) -> None:
        """What the report needs of places that may be gone afterwards."""
        self.found.now = self.replay.now
        self.ledger.verify()
        self.found.ledger = tuple(self.ledger.entries())

    def _tell_models(self, outcome: TrainingOutcome) -> None:
        names = {"rules": "rules", "logistic": "logistic regression", "lightgbm": "LightGBM"}
        rows = table("model", "average precision", "ROC AUC", "recall", "saved per 1,000")
        for model in outcome.models:
            ap, auc, recall, money = (
                model.metrics[name] for name in ("average_precision", "roc_auc", "recall_at_capacity", "saved_per_thousand")
            )
            precise = f"{ap.value:.3f} ({ap.low:.3f}–{ap.high:.3f})"
            rows.add_row(names[model.name], precise, f"{auc.value:.3f}", f"{recall.value:.0%}", f"{money.value:.0f} EUR")
        test = outcome.parts["test"]
        self.story.say(f"three models on the same {test.rows:,} later payments, {test.frauds} of them known frauds:")
        self.story.show(rows)

    def _tell_verdict(self, result: WindowResult) -> None:
        verdict, story = result.verdict, self.story
        for line in verdict.changed[:6]:
            story.note(line)
        story.say(f"since {verdict.since or 'no date'}; {verdict.how_sure}")
        story.say(f"damage: {verdict.damage}")
        story.say(f"what to do: {verdict.next_step}")
        injection = self.found.injection
        assert injection is not None  # set at the start of the step
        expected = injection.scenario.expected
        story.expect(verdict.decision in expected, f"a verdict of {' or '.join(expected)}", verdict.decision)
        story.say(f"the truth: {injection.scenario.mechanism}, from {injection.start}; the verdict is right")

    def _tell_evidently(self) -> None:
        """Its process ran beside the last payments, as its import alone takes seconds."""
        assert self._evidently is not None and self.found.injection is not None  # the step before passed
        seen = self._evidently.result()
        self.found.evidently = seen
        self.story.say(f"Evidently, on the week of the verdict: {seen.drifted} of {seen.columns} columns drifted ({', '.join(seen.names)})")
        self.story.note(str(seen.html))
        truly = set(self.found.injection.scenario.columns)
        self.story.expect(bool(truly & set(seen.names)), f"Evidently sees one of {', '.join(sorted(truly))} drift", "none of them")

    def _watcher(self) -> Watcher:
        from pipelines.flows import monitoring_flow

        assert self.found.training is not None  # the step before passed
        model = load_version(self.settings, self.registry, str(self.found.training.version))
        return Watcher.for_champion(self.settings, self.stream.dataset, model, live=midnight(self.stream.live), judge=monitoring_flow)

    def _send_until(self, until: datetime, text: str) -> None:
        hours = (until - self.replay.now) / timedelta(hours=1)
        with self.story.bar(text, hours) as bar:
            while self.replay.now < until:
                before = self.replay.now
                self.replay.run_until(min(until, before + timedelta(hours=6)))
                bar.advance(bar.task_ids[0], (self.replay.now - before) / timedelta(hours=1))
                if self.replay.now == before:
                    break

    def _show_one_answer(self) -> None:
        """The day's first payment, asked by itself. Later loads send it again: the same id gets the same answer."""
        first = self.stream.day(self.replay.now.date()).transactions.iloc[:1]
        body = first.to_json(orient="records", lines=True, date_format="iso", double_precision=15)
        how = {"headers": {"content-type": "application/json"}, "timeout": self.settings.start_timeout_s}
        facts = json.loads(call(self.settings, "POST", "/v1/score", content=body, **how))
        self.story.note(
            f"the first payment: {facts['decision']}, probability of fraud {facts['score']:.4f}, version {facts['model_version']}"
        )
