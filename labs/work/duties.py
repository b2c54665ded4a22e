"""The duties of a running lab. Each does what is due by event time and nothing twice, so that it may be called at any moment and again.

Plain functions of settings; `rounds.py` goes through them. Each returns a line for people.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from data.clock import SystemClock
from data.errors import EmptyWindow, GateRefused, LabError, ServiceDown, StepFailed
from data.ledger import Entry, Ledger
from data.registry import Registry
from data.settings import Settings
from labs.stream import midnight
from labs.work.facts import Facts

if TYPE_CHECKING:
    from labs.watching import Watcher
    from pipelines.monitoring.monitor import WindowResult

MOST_WINDOWS: Final = 7  # judged at once: whoever starts after months begins with the last week
ANSWER: Final = {"retrain": "--retrain", "recalibrate": "--recalibrate"}  # verdicts that a new version answers -> how it is trained
_DAY: Final = timedelta(days=1)


def monitoring(settings: Settings) -> str:
    """Judge every window that has ended and was not judged, Evidently reporting on each; of one that alarmed, its page is kept.

    Raises what `Watcher` and `champion_at_work` raise.
    """
    from labs.commands.drift import champion_at_work, put_on_record
    from labs.watching import Watcher

    facts = Facts(settings.home)
    model, dataset, live, now = champion_at_work(settings)
    due = due_days(facts.window_days(), live.date(), now)
    said = []
    for day in due:
        end = midnight(day)
        try:
            watcher = Watcher.at_work(settings, dataset, model, live=live, now=end)
            result = watcher.watch(end)
        except EmptyWindow as nothing:
            said.append(f"{day}: {nothing.message}")
            continue
        put_on_record(result, settings)
        facts.keep_window(day, result.to_json() | {"version": model.version})
        said.append(f"{day}: {result.verdict.decision.replace('_', ' ')}, {result.verdict.headline}{_evidently(watcher, result)}")
    return "\n".join(said) or "no window has ended since the last look"


def _evidently(watcher: "Watcher", result: "WindowResult") -> str:
    """Where the page of a window that alarmed is, or why there is none; the verdict does not depend on it. Empty for a quiet one."""
    try:
        page = watcher.start_evidently(result).result().html
    except StepFailed as failed:
        return f" {failed.message} {failed.next_step}"
    return f" Evidently's report: {page}" if page else ""


def due_days(judged: list[date], live: date, now: datetime) -> list[date]:
    """The midnights up to `now` that end a window and were not judged, in order; a window holds a day of payments at least."""
    last = now.date()
    first = max(live + _DAY, last - (MOST_WINDOWS - 1) * _DAY, judged[-1] + _DAY if judged else date.min)
    return [first + number * _DAY for number in range((last - first).days + 1)]


def rollout(settings: Settings) -> str:
    """Note what the judge would say now of the open rollout. Raises RegistryUnavailable, LogUnavailable."""
    from labs.commands.rollout_status import evidence_now
    from labs.service import ask_serving
    from pipelines.rollout.actions import read_open

    opened = read_open(Ledger(settings.home / "ledger.jsonl"))
    if opened is None:
        return "no rollout is open"
    try:
        service = ask_serving(settings)
    except ServiceDown:
        service = None
    with closing(Registry.of(settings)) as registry:
        judgement = evidence_now(settings, registry, opened, service)
    if judgement is None:
        return f"{opened.rollout_id}: nothing to judge yet"
    Facts(settings.home).keep_rollout(judgement.to_json() | {"rollout_id": opened.rollout_id})
    return f"{opened.rollout_id}: {judgement.verdict.replace('_', ' ')}, {'; '.join(judgement.reasons)}"


def retraining(settings: Settings) -> str:
    """Retrain, or recalibrate, once for each verdict that asks for it, unless a challenger waits. The gate decides; nobody is promoted.

    Raises what training raises; a gate that refuses is an answer.
    """
    facts, ledger = Facts(settings.home), Ledger(settings.home / "ledger.jsonl")
    days = facts.window_days()
    if not days:
        return "no window was judged yet"
    decision = facts.window(days[-1])["verdict"]["decision"]
    if decision not in ANSWER:
        return f"the last verdict, {decision.replace('_', ' ')}, asks for no model"
    from pipelines.monitoring.change_log import deployments

    if later := deployments(ledger.entries(), midnight(days[-1]), datetime.max.replace(tzinfo=UTC)):
        return f"the last verdict, {decision}, is of before {later[-1].what}: the next one will tell"
    if not settings.work_retrains:
        return f"the last verdict, {decision}, asks for a model: `lab train {ANSWER[decision]}` (LAB_WORK_RETRAINS=true does it by itself)"
    if reason := not_now(ledger.entries(), days[-1]):
        return reason
    ledger.record("retraining_asked", {"window": str(days[-1]), "decision": decision, "by": "lab work"}, midnight(days[-1]))
    from labs.commands.training import retrain

    outcome = retrain(settings, recalibrate=decision == "recalibrate")
    if outcome.version is None:
        raise GateRefused(
            f"The gate refused the retrained model: {'; '.join(outcome.gate.reasons)}",
            next_step="Nothing was registered; the run with its plots is in MLflow.",
            where=outcome.run_id,
        )
    return f"version {outcome.version} is registered; try it out with `lab rollout start`"


def not_now(entries: list[Entry], window: date) -> str:
    """Why a verdict on `window` starts no training; empty when it does."""
    waits = False
    for entry in entries:
        if entry.kind == "retraining_asked" and entry.facts["window"] == str(window):
            return f"a model was asked for by the verdict on {window} already"
        if entry.kind == "challenger_registered":
            waits = True
        elif entry.kind == "rollout_ended":
            waits = False
    return "a challenger waits for its rollout already" if waits else ""


DUTIES: Final[Mapping[str, Callable[[Settings], str]]] = {"monitoring": monitoring, "rollout": rollout, "retraining": retraining}


def perform(name: str, settings: Settings) -> str:
    """Do one duty and keep how it went: the line for people. Raises what the duty raises."""
    failure = "internal"
    try:
        said = DUTIES[name](settings)
        failure = ""
    except LabError as error:
        failure = error.code
        raise
    finally:
        # The wall clock: people ask when somebody last looked, and no decision rests on it.
        Facts(settings.home).keep_duty(name, SystemClock().now().astimezone(UTC), failure)
    return said


def facts_of(settings: Settings) -> dict[str, Any]:
    """What is kept, for a program."""
    facts = Facts(settings.home)
    days = facts.window_days()
    return {"window": facts.window(days[-1]) if days else None, "rollout": facts.rollout(), "duties": facts.duties()}
