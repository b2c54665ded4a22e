"""What a drift costs the champion and what a retraining wins back, on the world and, if given, on recorded payments."""

from datetime import timedelta
from pathlib import Path

import numpy as np

from data.costs import DecisionCosts
from data.forest import Forest
from data.scenarios import DEMO_SCENARIO, Source, scenario
from labs.exercises.deployment import END, LIVE, ONSET, deploy, known_frauds, train
from labs.exercises.serve import serve
from labs.exercises.source import PaymentSource
from pipelines.metrics import average_precision, recall_at_capacity
from tests.bench.table import publish

RETRAINED = END - 7  # the challenger learns from payments between ONSET and RETRAINED - 7, with labels known by RETRAINED


def recovery(source: PaymentSource, kind: Source, home: Path) -> list[str]:
    """The champion before and after the demo's drift, and a model trained on what came after it, on the last week.

    Returns the goals missed: the champion loses half of its average precision, the retrained one wins all of it back.
    """
    name, deployment = DEMO_SCENARIO[kind], deploy(source, home)
    injection = scenario(name).inject(source.midnight(ONSET).date(), seed=7)
    served = serve(deployment, injection, last=END)
    every = source.days(LIVE, END, injection.changes).labels
    log = served.log
    day = (log["event_time"] - source.midnight(0)).dt.days.to_numpy()
    seen = (day >= ONSET) & (day < RETRAINED - 7)
    known = known_frauds(log, served.labels, by=source.midnight(RETRAINED))
    challenger = Forest(train(served.features[seen], known[seen]).encode()).margins(served.features)
    truth = known_frauds(log, every, by=source.midnight(END) + timedelta(days=120)).astype(float)
    champion = log["score"].to_numpy()
    rows: list[list[object]] = []
    ap: list[float] = []
    for who, score, part in (
        ("champion, week before", champion, day < ONSET),
        ("champion, last week", champion, day >= RETRAINED),
        ("retrained, last week", challenger, day >= RETRAINED),
    ):
        y, s, costs = truth[part], score[part], DecisionCosts()
        top = np.argsort(-s)[: len(s) // 100]  # ten in a thousand
        saved = float((y[top] * (log["amount"].to_numpy()[part][top] + costs.chargeback_fee) - costs.review).sum() / len(s) * 1000)
        figures = (average_precision(y, s), recall_at_capacity(y, s, 10.0), float(y[top].mean()))
        rows.append([who, int(y.sum()), *(f"{v:.3f}" for v in figures), f"{saved:.0f}"])
        ap.append(figures[0])
    columns = ["model", "frauds", "average precision", "recall at 10 per 1000", "precision there", "EUR saved per 1000 there"]
    publish(f"drift_recovery_{kind}", f"Lost and won back: {name} on {source.name}", columns, rows, {"scenario": name})
    before, after, retrained = ap
    lost = [f"{name} on {kind}: average precision fell from {before:.3f} to {after:.3f} only"] if after > before / 2 else []
    return lost + ([f"{name} on {kind}: a retraining reaches {retrained:.3f} of {before:.3f}"] if retrained < before else [])
