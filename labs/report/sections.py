"""The sections of the evidence report in the order of its story: facts in, HTML out, "" for what was not reached.

Pure, and every text from the facts is escaped. Called by labs/report/page.py.
"""

from collections.abc import Callable
from typing import Final

from labs.report import plots
from labs.report.facts import DemoFacts, ModelFacts
from labs.report.markup import estimate, figure, mark, number, pairs, section, table, text


def verdict(facts: DemoFacts) -> str:
    """What happened, in one paragraph, and the steps behind it."""
    source = facts.source
    steps = table(
        ("step", "what came of it", "seconds"),
        ((mark(step.passed) + text(step.name), text(step.summary), number(step.seconds, 1)) for step in facts.steps),
        numbers=(2,),
    )
    outcome = "passed" if facts.passed else "did not pass"
    return (
        f'<header>\n<p class="eyebrow">Evidence report · the loop {outcome}</p>\n<h1>A fraud model, from data to decision</h1>\n'
        f'<p class="lead {"good" if facts.passed else "bad"}">{text(facts.verdict)}</p>\n'
        f'<p class="note">{text(source.name)}: {source.transactions:,} payments from {text(source.first_day)} to '
        f"{text(source.last_day)}, {source.fraud_share:.2%} of them fraud. "
        f"Event time stood at {text(facts.event_time)}; the run took {facts.seconds:.0f} s.</p>\n"
        f"</header>\n{steps}"
    )


def models(facts: DemoFacts) -> str:
    """The models beside each other, and the gate's reasons."""
    training = facts.training
    if training is None:
        return ""
    gate = "".join(f"<li>{text(reason)}</li>" for reason in training.gate)
    return section(
        "Which model, and is it needed?",
        f"Trained on {text(training.train_days)}, judged on {text(training.test_days)}: {training.test_rows:,} payments with "
        f"{training.test_frauds:,} known frauds, the same rows for every model. The small figures are 95% bootstrap intervals over cards.",
        _model_table(training.models),
        '<div class="pair">',
        figure(
            plots.precision_recall("pr", training.models, True),
            "Precision, the share of fraud in the alerts, against recall, the share of the frauds found.",
        ),
        figure(plots.calibration(training), "Of the payments given a probability, how many were fraud? Each bin holds as many frauds."),
        "</div>",
        f'<h3>Why the gate let it pass</h3>\n<ul class="reasons">{gate}</ul>',
    )


def threshold(facts: DemoFacts) -> str:
    """The cost curve and the threshold chosen on it."""
    training = facts.training
    if training is None:
        return ""
    return section(
        "Where to draw the line",
        f"The threshold is the one that saves most within the {training.capacity_per_thousand:g} payments per thousand that the team can "
        f"review. Above a probability of {training.decline_at:.2f} declining costs less than reviewing.",
        figure(
            plots.savings(training),
            f"Money saved, against approving every payment, as the threshold moves. Chosen: score ≥ {training.review_at:.3f}, "
            f"{training.alerts_per_thousand:.1f} alerts and {training.saved_per_thousand:.0f} EUR saved per thousand payments.",
        ),
    )


def serving(facts: DemoFacts) -> str:
    """Latency against the objective."""
    load = facts.latency
    if load is None:
        return ""
    ratio = load.failures / load.requests if load.requests else 0.0
    rows = (
        ("p50", f"{load.p50_ms:.1f} ms", ""),
        ("p95", f"{load.p95_ms:.1f} ms", f"{load.slo_p95_ms:g} ms"),
        ("p99", f"{load.p99_ms:.1f} ms", f"{load.slo_p99_ms:g} ms"),
        ("failed requests", f"{ratio:.3%}", f"{load.slo_error_ratio:.3%}"),
    )
    return section(
        "Is it fast enough?",
        f"{mark(load.met)}{load.requests:,} requests at {load.requests_per_s:,.0f} per second, {load.failures:,} failed: the objective "
        f"was {'met' if load.met else 'missed'}.",
        table(("", "seen", "allowed"), rows, numbers=(1, 2)),
        figure(plots.latency(load), "Answer times as the load generator saw them; dashed lines are the limits."),
    )


def drift(facts: DemoFacts) -> str:
    """What monitoring found, beside what was really done."""
    found = facts.drift
    if found is None:
        return ""
    shifts = (
        (mark(not shift.moved, "quiet", "moved") + text(shift.what), text(shift.method), number(shift.value, 4),
         number(shift.threshold, 4), text(shift.since or "–"))
        for shift in found.shifts
    )  # fmt: skip
    said = (
        ("verdict", f"<strong>{text(found.decision.replace('_', ' '))}</strong>"),
        ("since", text(found.since or "not dated")),
        ("how sure", text(found.confidence)),
        ("damage", text(found.damage)),
        ("what to do", text(found.action)),
        ("what was really done", f"{text(found.mechanism)} ({text(found.scenario)}, from {text(found.started)})"),
    )
    detail = f'<p class="note">Evidently’s own report: <code>{text(found.detail)}</code></p>' if found.detail else ""
    return section(
        "What changed, and since when?",
        "Monitoring was not told what had been done to the payments; the last line is the truth it is measured against.",
        pairs(said),
        figure(plots.drift_timeline(found), "Dashed lines are alarm thresholds; recall ends where labels have not matured yet."),
        table(("what", "method", "value", "threshold", "since"), shifts, numbers=(2, 3)),
        detail,
    )


def retraining(facts: DemoFacts) -> str:
    """Champion and challenger on the same rows after the drift."""
    if not facts.retrained:
        return ""
    return section(
        "Does retraining win it back?",
        "Both models on the same payments after the drift, judged by labels that had matured.",
        _model_table(facts.retrained),
        figure(plots.precision_recall("pr2", facts.retrained), "Precision and recall after the drift."),
    )


def rollout(facts: DemoFacts) -> str:
    """From shadow to decision, step by step."""
    told = facts.rollout
    if told is None:
        return ""
    rows = (
        (text(step.at[:16].replace("T", " ")), text(step.stage.replace("_", " ")), f"{step.share:.0%}", f"{step.payments:,}",
         text(step.verdict.replace("_", " ")), text(step.reason))
        for step in told.steps
        if step.verdict != "started"
    )  # fmt: skip
    return section(
        "May the new model take over?",
        f"{text(told.result.replace('_', ' ').capitalize())}: the service answered with version {text(told.served_before)} before and "
        f"with version {text(told.served_after)} after. {told.requests:,} requests on the way, {told.failures:,} failed.",
        figure(plots.canary_timeline(told), "Share of the cards that the challenger answered, and the judge’s verdict at each step."),
        table(("event time", "stage", "share", "payments", "verdict", "why"), rows, numbers=(2, 3)),
    )


def ledger(facts: DemoFacts) -> str:
    """Who changed what, chained by hashes."""
    if not facts.ledger:
        return ""
    rows = (
        (str(line.sequence), text(line.at[:16].replace("T", " ")), text(line.kind.replace("_", " ")), text(line.text),
         f"<code>{text(line.previous[:8])}</code>", f"<code>{text(line.digest[:8])}</code>")
        for line in facts.ledger
    )  # fmt: skip
    return section(
        "Who decided what",
        "The registry’s ledger. Each line carries the hash of the one before; a changed line breaks the chain.",
        table(("line", "event time", "what", "why", "previous", "hash"), rows, numbers=(0,)),
    )


def reproduce(facts: DemoFacts) -> str:
    """The commands that repeat it, and the environment it ran in."""
    commands = ((f"<code>{text(command)}</code>", text(does)) for command, does in facts.reproduce)
    pages = ((f"<code>{text(address)}</code>", f"{text(title)}, while it is up") for title, address in facts.pages)
    environment = [*facts.environment, ("Data", facts.source.digest)]
    return section(
        "Do it again",
        "The same seed, data and packages give the same numbers.",
        table(("command", "what it does"), [*commands, *pages]),
        "<h3>Environment</h3>",
        pairs((text(name), f"<code>{text(value)}</code>") for name, value in environment),
    )


SECTIONS: Final[tuple[Callable[[DemoFacts], str], ...]] = (
    verdict,
    models,
    threshold,
    serving,
    drift,
    retraining,
    rollout,
    ledger,
    reproduce,
)


def _model_table(compared: tuple[ModelFacts, ...]) -> str:
    rows = (
        (
            f"{text(model.name)}" + (f' <span class="note">version {text(model.version)}</span>' if model.version else ""),
            estimate(model.average_precision, 3),
            estimate(model.roc_auc, 3),
            estimate(model.card_precision_at_100, 3),
            estimate(model.recall_at_capacity, 2),
            estimate(model.brier, 5),
            estimate(model.saved_per_thousand, 0),
        )
        for model in compared
    )
    headings = ("model", "average precision", "ROC AUC", "card precision@100", "recall at capacity", "Brier", "EUR saved per 1,000")
    ceiling = max(model.card_precision_ceiling for model in compared)
    note = f"Card precision@100: true fraud cards among the 100 ranked first each day; no ranking can pass {ceiling:.3f} here."
    return table(headings, rows, numbers=range(1, 7)) + f'<p class="note">{note}</p>'
