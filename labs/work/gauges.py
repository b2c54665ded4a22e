"""Model, drift, labels and rollout as gauges for Prometheus, read at each scrape from what is at rest; a restart loses nothing.

The last verdict and the judge's last look (`labs/work/facts.py`), the ledger and the prediction log. Labels have few values, columns of
the model the most; a rollout is told by its state, not by its id. Moments are Unix times: of event time, but for those of the duties.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from data.errors import LabError
from data.ledger import Entry, Ledger
from data.scenarios import Action
from data.settings import Settings
from labs.work.duties import DUTIES
from labs.work.facts import Facts
from labs.work.reports import Reports, read_reports
from pipelines.monitoring.detectors import DETECTORS
from pipelines.rollout.actions import read_open
from pipelines.rollout.judge import Verdict
from pipelines.rollout.turns import last_rollout, read_timeline

STATES: Final = ("none", "preflight", "shadow", "canary", "soak", "promoted", "rolled_back", "inconclusive", "aborted")
_ENDS: Final = ("value", "low", "high")  # of a 95 % interval
_MEASURES: Final = {"alert_precision": "precision", "alert_recall": "recall", "recall_at_capacity": "recall_at_capacity"}


class WorkGauges(Collector):
    """Everything that `lab work` shows of one lab."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """Whatever cannot be read is left out, and its source marked as failed."""
        failed = dict.fromkeys(("facts", "ledger", "log"), 0.0)
        for source, read in (("facts", self._facts), ("ledger", self._ledger), ("log", self._log)):
            try:
                yield from [*read()]
            except (LabError, OSError, ValueError, KeyError):
                failed[source] = 1.0
        yield gauge("fraud_source_failed", "1 when this could not be read at this scrape", "source", failed)

    def _facts(self) -> Iterator[Metric]:
        facts = Facts(self._settings.home)
        duties = facts.duties()
        yield gauge("fraud_duty_success_timestamp_seconds", "when a duty of `lab work` last succeeded (wall clock); 0 never", "duty",
                    {name: duties.get(name, {}).get("succeeded") or 0.0 for name in DUTIES})  # fmt: skip
        yield gauge("fraud_duty_failed", "1 when it failed the last time", "duty",
                    {name: float(bool(duties.get(name, {}).get("failure"))) for name in DUTIES})  # fmt: skip
        days = facts.window_days()
        if days:
            yield from window_gauges(facts.window(days[-1]))
        look, opened = facts.rollout(), read_open(Ledger(self._settings.home / "ledger.jsonl"))
        if look and opened and look["rollout_id"] == opened.rollout_id:
            yield from judgement_gauges(look)

    def _ledger(self) -> Iterator[Metric]:
        return ledger_gauges(Ledger(self._settings.home / "ledger.jsonl").entries())

    def _log(self) -> Iterator[Metric]:
        place = self._settings.log_place
        if isinstance(place, Path) and not place.exists():
            return iter(())
        return report_gauges(read_reports(place))


def window_gauges(window: Mapping[str, Any]) -> Iterator[Metric]:
    """Of the last window that was judged, as `WindowResult.to_json` has it."""
    verdict, rate = window["verdict"], window["alert_rate"]
    yield one("fraud_window_end_timestamp_seconds", "end of the last window that was judged", _unix(window["end"]))
    yield one("fraud_window_payments", "payments in it", window["payments"])
    yield gauge("fraud_verdict", "1 for what its verdict asks for", "action", _only(verdict["decision"], get_args(Action)))
    alarmed = {found["detector"]: float(found["alarmed"]) for found in window["detections"]}
    yield gauge("fraud_detector_alarmed", "1 for a detector that alarmed", "detector", {name: alarmed.get(name, 0.0) for name in DETECTORS})
    tests = window["tests"]
    values, limits = ({test["column"]: float(test[key]) for test in tests} for key in ("value", "threshold"))
    yield gauge("fraud_drift_distance", "how far a column is from the reference, in its test's own measure", "column", values)
    yield gauge("fraud_drift_threshold_distance", "the least distance that alarms", "column", limits)
    for name, meaning, value in (
        ("fraud_window_alert_ratio", "share of the window's payments that were alerted", rate["value"]),
        ("fraud_reference_alert_ratio", "the same share in the reference", rate["reference"]),
    ):
        yield one(name, meaning, value)
    if flow := window["label_flow"]:
        yield one("fraud_known_frauds", "frauds known in time, of the payments that are old enough", flow["known"])
        yield one("fraud_expected_frauds", "as many as the reference promised", flow["expected"])
    if (performance := window["performance"]) and (judged := window["judged"]):
        yield from _performance(performance, judged[1])


def _performance(performance: Mapping[str, Any], until: str) -> Iterator[Metric]:
    for measure, name in _MEASURES.items():
        bounds = dict(zip(_ENDS, performance[measure], strict=True))
        yield gauge(f"fraud_matured_{name}_ratio", f"{name.replace('_', ' ')} on matured labels, with its 95 % interval", "bound", bounds)
    saved = dict(zip(_ENDS, performance["saved_per_thousand"], strict=True))
    meaning = "EUR saved per thousand payments against approving all, on matured labels, with its 95 % interval"
    yield gauge("fraud_matured_saved_eur_per_thousand", meaning, "bound", saved)
    yield one(
        "fraud_matured_until_timestamp_seconds", "the day of the last payment that these three rest on", _unix(f"{until}T00:00:00+00:00")
    )


def judgement_gauges(look: Mapping[str, Any]) -> Iterator[Metric]:
    """Of the judge's last look at the open rollout."""
    yield one("fraud_rollout_looked_timestamp_seconds", "event time of the judge's last look", _unix(look["at"]))
    yield one("fraud_rollout_payments", "payments that the step has seen", look["payments"])
    yield one("fraud_rollout_matured_payments", "of all steps, those whose labels have matured", look["matured_payments"])
    yield one("fraud_rollout_matured_frauds", "frauds among them", look["matured_frauds"])
    yield gauge("fraud_rollout_verdict", "1 for what the judge says now", "verdict", _only(look["verdict"], get_args(Verdict)))
    yield gauge("fraud_rollout_e_value_log10", "evidence per guardrail: 3 is 1,000 to 1 against chance", "guardrail", look["e_values"])
    if money := look["money_per_thousand"]:
        meaning = "EUR per thousand payments that the challenger costs more, with its interval"
        yield gauge("fraud_rollout_cost_eur_per_thousand", meaning, "bound", dict(zip(_ENDS, money, strict=True)))


def ledger_gauges(entries: list[Entry]) -> Iterator[Metric]:
    """Who is champion and challenger, and how far the last rollout is, as the ledger tells it."""
    turns = read_timeline(entries, last_rollout(entries))
    state, share = (turns[-1].stage, turns[-1].share) if turns else ("none", 0.0)
    yield gauge("fraud_rollout_state", "1 for where the last rollout is, or how it ended", "state", _only(state, STATES))
    yield one("fraud_rollout_share_ratio", "share of the cards that the challenger answers", share)
    yield one(
        "fraud_rollout_turn_timestamp_seconds", "event time of its last turn; 0 without a rollout", _unix(turns[-1].at) if turns else 0
    )
    paused = [turn.verdict == "pause" for turn in turns if turn.verdict in ("pause", "resume", "started", *STATES)]
    yield one("fraud_rollout_paused", "1 while the judge or an operator holds it", float(paused[-1]) if paused else 0)
    family = GaugeMetricFamily("fraud_registered_info", "1 for the champion and the challenger of the ledger", labels=["alias", "version"])
    for alias, version in standing(entries).items():
        family.add_metric((alias, version), 1)
    yield family
    yield one("fraud_ledger_entries", "lines of the ledger", len(entries))


def standing(entries: list[Entry]) -> dict[str, str]:
    """Champion, and challenger where one waits or is on trial."""
    found: dict[str, str] = {}
    actions = {entry.facts["action"]["serving"]["epoch"]: entry.facts["action"]["serving"] for entry in entries if entry.kind == "intent"}
    for entry in entries:
        if entry.kind in ("champion_registered", "challenger_registered"):
            found[entry.kind.removesuffix("_registered")] = str(entry.facts["version"])
        elif entry.kind == "done" and entry.facts["epoch"] in actions:
            found["champion"] = str(actions[entry.facts["epoch"]]["champion"])
        elif entry.kind == "rollout_ended":
            found.pop("challenger", None)
    return found


def report_gauges(reports: Reports) -> Iterator[Metric]:
    """How late labels are, and how far payments and labels have come."""
    if reports.newest_payment_s is not None:
        yield one("fraud_log_newest_payment_timestamp_seconds", "event time of the newest payment in the log", reports.newest_payment_s)
    if reports.newest_report_s is not None:
        yield one("fraud_newest_label_timestamp_seconds", "report time of the newest label", reports.newest_report_s)
        yield gauge(
            "fraud_label_delay_seconds", "from payment to label, of the frauds reported in the last 7 days", "quantile", reports.delays_s
        )
        yield one("fraud_recent_fraud_reports", "how many those are", reports.recent)


def one(name: str, meaning: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(name, meaning, value=value)


def gauge(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    """A gauge with one label."""
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def _only(which: str, among: tuple[str, ...]) -> dict[str, float]:
    return {name: float(name == which) for name in among}


def _unix(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
