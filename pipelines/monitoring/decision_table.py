"""From evidence to an action: the table, first row that fits. Pure; `verdict` puts the row into words.

| evidence                                                                | decision     | the false one          |
|-------------------------------------------------------------------------|--------------|------------------------|
| a schema, null, range, unit, clock, value spike, duplicate or parity    | fix_pipeline | retrain                |
| check fails, or most payments do not come                               |              |                        |
| too few payments to compare                                             | hold         | any                    |
| score or alerts moved, inputs did not, a model was just deployed        | roll_back    | recalibrate            |
| labels stopped, are late, or lack where payments were alerted           | hold         | retrain                |
| ranking lost on matured labels, and scores, alerts or the stream of     | retrain      | recalibrate            |
| caught frauds say so too                                                |              |                        |
| alerts up, precision down, ranking intact                               | recalibrate  | retrain                |
| alerts up, precision and recall steady or better: more of the known     | recalibrate  | roll_back              |
| alerts down, fewer frauds caught, ranking intact                        | recalibrate  | retrain                |
| recall falls label by label, or by luck; labels of that time are few    | hold         | retrain                |
| score or alerts moved, and no label of that time has matured            | hold         | retrain                |
| a level never seen, no damage                                           | ignore       | fix_pipeline           |
| inputs moved, no damage (or the estimate holds and is unchanged)        | ignore       | retrain                |
| alerts moved, no damage                                                 | ignore       | recalibrate            |
| more or fewer payments of the same kind                                 | ignore       | retrain                |
| nothing moved                                                           | ignore       | retrain                |

Every row names the decision that its evidence tempts to, and what that would cost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from data.scenarios import Action
from pipelines.metrics import Interval
from pipelines.monitoring.evidence import Evidence


@dataclass(frozen=True)
class Row:
    """One row. `false_decision` is what the same evidence tempts to, `cost` what that would lead to."""

    name: str
    action: Action
    fits: Callable[[Evidence], bool]
    headline: str | Callable[[Evidence], str]
    false_decision: Action
    cost: str

    def say(self, evidence: Evidence) -> str:
        """The headline for this evidence."""
        return self.headline if isinstance(self.headline, str) else self.headline(evidence)


def find_row(evidence: Evidence) -> Row:
    """The first row that fits; the last one always does."""
    return next(row for row in ROWS if row.fits(evidence))


def lost(difference: Interval) -> bool:
    """Whether the interval of "reference less window" lies above zero."""
    return difference.low > 0


def _deployed_wrong(e: Evidence) -> bool:
    return bool(e.changed_model) and e.outputs_moved and not e.inputs


def _labels_fail(e: Evidence) -> bool:
    return e.labels_missing or e.caught_unreported


def _too_many_false_alerts(e: Evidence) -> bool:
    return e.alerts_up and e.damage is not None and lost(e.damage.alert_precision) and not e.ranking_shaken


def _threshold_too_high(e: Evidence) -> bool:
    return e.alerts_down and e.damage is not None and lost(e.damage.alert_recall) and not e.ranking_doubtful


def _recall_may_fall(e: Evidence) -> bool:
    return e.alarmed("caught_frauds") or e.ranking_lost_alone or (e.outputs_moved and e.ranking_doubtful)


def _waits_for_labels(e: Evidence) -> bool:
    return e.outputs_moved and e.damage is None and not _estimate_is_unchanged(e)


def _estimate_is_unchanged(e: Evidence) -> bool:
    return not e.alert_rate.moved and e.estimate is not None and e.estimate.valid and e.estimate.unchanged


def _unseen(e: Evidence) -> bool:
    return any(f.kind == "unseen_level" for f in e.findings)


def _labels_headline(e: Evidence) -> str:
    flow = e.label_flow
    if flow is not None and flow.broken:
        return f"Labels are missing: {flow.known:.0f} frauds known where {flow.expected:.0f} were expected."
    if e.labels_missing or flow is None:
        return "Labels are late or have stopped: no decision may rest on those that are there."
    return (
        f"Labels of alerted payments are missing: {flow.caught:.0f} where {flow.expected_caught:.0f} were expected, while missed frauds "
        "are reported as ever. Blocked payments tell nobody what they were."
    )


def _doubt_headline(e: Evidence) -> str:
    if e.ranking is not None and e.ranking_doubtful:
        return f"{e.ranking.relative:.0%} fewer frauds seem to be caught, which may still be luck: more labels will tell."
    return f"Fewer of the frauds reported lately were alerted; how many there are {_until(e)}"


def _until(e: Evidence) -> str:
    return f"labels will tell on {e.knowable_on}." if e.knowable_on else "more labels will tell."


def _retrain_headline(e: Evidence) -> str:
    share = e.ranking.relative if e.ranking is not None else 0.0
    return f"The model lost {share:.0%} of the frauds it used to catch at the same rate of false alerts."


def _quiet_headline(e: Evidence) -> str:
    return f"No detector alarmed. {_luck(e)}" if e.ranking_lost else "Nothing is wrong."


def _luck(e: Evidence) -> str:
    share = e.ranking.relative if e.ranking is not None else 0.0
    return f"{share:.0%} fewer of few frauds were caught, which is luck as long as the stream of labels does not alarm."


def _ignore_headline(e: Evidence) -> str:
    if e.ranking_lost:
        return f"Payments changed, {'and alerts did too' if e.alerts_moved else 'alerts did not'}. {_luck(e)}"
    if e.damage is not None:
        return "Payments changed, and the model does as well as before."
    return f"Payments changed; alerts {'did too' if e.alerts_moved else 'did not'}. Labels have not told yet."


def _alerts_headline(e: Evidence) -> str:
    told = "and labels show no damage" if e.damage is not None else "and the scores promise no damage; labels have not told yet"
    return f"{e.alert_rate.value:.2%} of payments are alerted where {e.alert_rate.reference:.2%} were, {told}."


ROWS: Final[tuple[Row, ...]] = (
    Row(
        "broken pipeline", "fix_pipeline", lambda e: bool(e.faults),
        lambda e: f"The pipeline is broken: {e.faults[0].message}",
        "retrain", "the model would learn the fault, and be wrong again on the day it is mended",
    ),
    Row(
        "too few payments", "hold", lambda e: e.too_few is not None,
        lambda e: f"No verdict: {e.too_few.message if e.too_few else ''}",
        "fix_pipeline", "a handful of payments shows nulls and new levels by chance",
    ),
    Row(
        "wrong model", "roll_back", _deployed_wrong,
        lambda e: f"The score or the alerts moved while the payments did not, after a deployment: {e.changed_model}.",
        "recalibrate", "a threshold would be fitted to the wrong model",
    ),
    Row(
        "labels fail", "hold", _labels_fail, _labels_headline,
        "retrain", "frauds that nobody has reported would be learned as honest payments",
    ),
    Row(
        "ranking lost", "retrain", lambda e: e.damage is not None and e.ranking_lost and e.loss_is_confirmed, _retrain_headline,
        "recalibrate", "another threshold only trades missed frauds for false alerts, as the order itself is wrong",
    ),
    Row(
        "threshold too low", "recalibrate", _too_many_false_alerts,
        "More alerts with fewer frauds among them, while the ranking holds: the threshold is off, not the model.",
        "retrain", "the ranking is intact: a new model would cost a rollout and rank no better",
    ),
    Row(
        "more fraud", "recalibrate", lambda e: e.alerts_up and e.damage is not None and not e.ranking_shaken,
        "More alerts, as good as ever: there is more fraud of the known kinds. Capacity and threshold must follow.",
        "roll_back", "the model does its work; the former one would miss the same wave",
    ),
    Row(
        "threshold too high", "recalibrate", _threshold_too_high,
        "Fewer alerts and fewer frauds caught by them, while the ranking holds: the threshold is off, not the model.",
        "retrain", "the ranking is intact: a new model would cost a rollout and rank no better",
    ),
    Row(
        "recall in doubt", "hold", _recall_may_fall, _doubt_headline,
        "retrain", "there are too few labels of that time to learn the new pattern from, or to judge a new model by",
    ),
    Row(
        "labels not matured", "hold", _waits_for_labels,
        lambda e: f"Scores or alerts moved, and the labels of that time have not matured: {_until(e)}",
        "retrain", "no label of the new payments is known, so the new model would learn the old world again",
    ),
    Row(
        "unseen level", "ignore", _unseen,
        lambda e: f"{next(f for f in e.findings if f.kind == 'unseen_level').message} No damage shows; plan a training that knows it.",
        "fix_pipeline", "nothing is broken: somebody sells something new",
    ),
    Row(
        "harmless drift", "ignore", lambda e: bool(e.moved), _ignore_headline,
        "retrain", "changed payments are no damage: a new model adds a risk and wins nothing",
    ),
    Row(
        "other alerts, no damage", "ignore", lambda e: e.alerts_moved, _alerts_headline,
        "recalibrate", "the frauds that matter are caught as before: another threshold would be fitted to chance",
    ),
    Row(
        "other traffic", "ignore", lambda e: e.volume is not None,
        lambda e: f"{e.volume.message if e.volume else ''} Those that came are as ever.",
        "retrain", "more or fewer of the same payments teach a model nothing new",
    ),
    Row(
        "nothing", "ignore", lambda _: True, _quiet_headline,
        "retrain", "a model trained on one more week is no better beyond noise",
    ),
)  # fmt: skip
