"""A champion and its challengers on payments that none of them learnt from: what experiments are made on.

The user's own where there are enough: the versions that the scoring service admitted, on the payments of its log. Otherwise the
synthetic world's, with models trained as one would: labels known by the day of training, threshold and calibration from a week of
their own. What is trained is kept under `experiments/` in LAB_HOME. No server is asked. For the commands `lab ab` and their bench.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from data.bundle import FACTS, Model, verify_bundle
from data.costs import DECISIONS, DecisionCosts, Policy, decline_threshold
from data.errors import BadInput, BundleRefused, MissingFile
from data.features import FEATURE_SCHEMA_HASH
from data.ids import are_among
from data.partial import partial_of
from data.rules import rule_severity
from data.scenarios import scenario
from data.settings import REPOSITORY, Settings
from data.world import WorldConfig
from pipelines.experiments.scored import Decided, Floats, Mask, Scored

if TYPE_CHECKING:
    import pandas as pd

# Days of the world: the models learn from WARM to TRAINED, cut and calibrate up to CUT, and are compared from KNOWN, the day on
# which the labels for both were looked up, to LAST.
WARM, TRAINED, CUT, KNOWN, LAST = 7, 40, 47, 54, 104
ALERTS: Final = 0.01  # share of payments above each threshold: the capacity of the fraud team
ROWS: Final = {"champion": (0, 100_000), "other data": (100_000, 200_000), "good: 2.6x data": (0, 260_000), "worse: 40k rows": (0, 40_000),
               "much worse: 10k rows": (0, 10_000)}  # fmt: skip  # of the shuffled training rows
SKEW: Final = "feature skew at serving"
MATURE_S: Final = 7 * 86_400  # the age at which the rollout judges a payment
LEAST_PAYMENTS, LEAST_FRAUDS = 20_000, 50  # matured, in a log that is worth an experiment


def own_or_world(settings: Settings, *, models: int) -> Scored:
    """The user's own payments when `models` versions and enough labels are there, otherwise the world's."""
    return from_log(settings, models=models) or from_world(settings)


def from_log(settings: Settings, *, models: int) -> Scored | None:
    """The payments of the prediction log since the last of the versions was trained, scored by each; None where too little is there.

    The version that served last comes first; it alone, for `models` = 1, else every admitted one. Payments that were declined are
    left out: nobody knows what they were.
    """
    from data.prediction_frames import labels_frame, logged_span, window

    log, admitted = settings.log_place, list(_admitted(settings))
    try:
        span = logged_span(log) if len(admitted) >= models else None
    except MissingFile:
        span = None
    if span is None:
        return None
    frame, features = window(log, *span)
    admitted = _champion_first(admitted, frame)[: 1 if models == 1 else None]
    since = max((learnt_until(settings, model.version) for model in admitted), default=span[0])
    time_s, labels = _seconds(frame["event_time"]), labels_frame(log)
    frauds = labels[labels["is_fraud"].to_numpy() & (_seconds(labels["report_time"]) - _seconds(labels["event_time"]) <= MATURE_S)]
    declined = (frame["decision"] == "decline").to_numpy()
    judged = (time_s >= since.timestamp()) & (time_s <= span[1].timestamp() - MATURE_S)
    keep, is_fraud = judged & ~declined, are_among(frame["transaction_id"], frauds["transaction_id"])
    if keep.sum() < LEAST_PAYMENTS or is_fraud[keep].sum() < LEAST_FRAUDS:
        return None
    matrix = features[keep]
    decided = [_decide(f"version {model.version}", model.policy, model.score_many(matrix), matrix) for model in admitted]
    source = f"the served payments of this lab ({int((judged & declined).sum()):,} declined ones left out: nobody knows what they were)"
    return _scored(source, frame[keep], is_fraud[keep], decided)


def learnt_until(settings: Settings, version: str) -> datetime:
    """The end of what an admitted version saw in its training; 1970 for a bundle that does not say."""
    facts = json.loads((settings.home / "models" / version / FACTS).read_text())
    return datetime.fromisoformat(facts["trained_until"]) if "trained_until" in facts else datetime.fromtimestamp(0, UTC)


def _champion_first(admitted: list[Model], frame: "pd.DataFrame") -> list[Model]:
    last = frame["champion_version"].iloc[-1] if len(frame) else ""
    return sorted(admitted, key=lambda model: (model.version != last, model.version))


def from_world(settings: Settings) -> Scored:
    """The world's payments of 50 days and the six models of `ROWS` and `SKEW`; kept, as training them takes half a minute."""
    config = WorldConfig(seed=settings.seed)
    file = settings.home / "experiments" / f"{_digest(config)}.npz"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_of(file)
        with partial.open("wb") as stream:
            np.savez(stream, **_arrays(_trained(config)))
        partial.replace(file)
    with np.load(file) as arrays:
        return _from_arrays(dict(arrays))


def is_ready(settings: Settings) -> bool:
    """Whether `from_world` has nothing to train."""
    return (settings.home / "experiments" / f"{_digest(WorldConfig(seed=settings.seed))}.npz").exists()


def _trained(config: WorldConfig) -> Scored:
    """Train, cut, and score the days that none has seen."""
    import pandas as pd

    from data.forest import Forest
    from data.history import build_features
    from labs.exercises.deployment import known_frauds, train
    from labs.exercises.source import world_source
    from pipelines.training.calibrate import fit_platt

    source = world_source(config)
    days = source.days(0, LAST, ())
    features, _ = build_features(*days)
    known = known_frauds(*days, by=source.midnight(KNOWN))
    edges = days.transactions["event_time"].searchsorted([pd.Timestamp(source.midnight(day)) for day in (WARM, TRAINED, CUT, KNOWN)])
    learning = np.random.default_rng(config.seed).permutation(np.arange(edges[0], edges[1]))
    week, late = slice(edges[1], edges[2]), slice(edges[3], None)
    payments, costs = days.transactions.iloc[late], DecisionCosts()
    decided = []
    for name, (first, last) in ROWS.items():
        rows = learning[first:last]
        forest = Forest(train(features[rows], known[rows]).encode())
        margins = forest.margins(features[week])
        calibration = fit_platt(margins, known[week])
        threshold = float(np.quantile(calibration.probabilities(margins), 1 - ALERTS))
        model = Model(name, forest, calibration, Policy(threshold, max(threshold, decline_threshold(costs))))
        decided.append(_decide(name, model.policy, model.score_many(features[late]), features[late]))
        if name == "champion":
            skew = scenario("mis_join").inject(source.midnight(KNOWN).date(), seed=config.seed)
            seen, _ = skew.apply_features(features[late], payments.reset_index(drop=True), features[late.start - 1])
            skewed = _decide(SKEW, model.policy, model.score_many(seen), features[late])
    reported = days.labels.loc[days.labels["is_fraud"], "transaction_id"]
    frauds = are_among(payments["transaction_id"], reported)
    return _scored(f"the synthetic world, seed {config.seed}", payments, frauds, [*decided, skewed])


def _decide(name: str, policy: Policy, score: Floats, matrix: Floats) -> Decided:
    return Decided(name, score, np.maximum(policy.severities(score), rule_severity(matrix)).astype(np.int8))


def _scored(source: str, payments: "pd.DataFrame", is_fraud: Mask, decided: list[Decided]) -> Scored:
    cards, card = np.unique(payments["card_id"].astype(str).to_numpy(np.str_), return_inverse=True)
    amount = payments["amount_minor"].to_numpy(np.float64) / 100
    return Scored(source, cards, card.astype(np.int64), _seconds(payments["event_time"]), amount, is_fraud, tuple(decided))


def _seconds(times: "pd.Series[Any]") -> NDArray[np.int64]:
    return times.to_numpy("datetime64[s]").astype(np.int64)


def _admitted(settings: Settings) -> Iterator[Model]:
    """The versions on this machine whose seal holds."""
    for folder in sorted((settings.home / "models").glob("[0-9]*")):
        try:
            verify_bundle(folder, key_folder=settings.home / "keys")
        except BundleRefused:
            continue  # the service said so when it refused it
        yield Model.load(folder, folder.name)


def _digest(config: WorldConfig) -> str:
    """Identity of what `_trained` makes: the world, the features and their code, the recipes."""
    from labs.exercises.deployment import PARAMETERS

    calendar = (WARM, TRAINED, CUT, KNOWN, LAST, ALERTS)
    recipe = [config.digest(config.start), FEATURE_SCHEMA_HASH, asdict(PARAMETERS), version("lightgbm"), ROWS, calendar]
    code = (REPOSITORY / "data" / "kernel.py").read_bytes()
    return hashlib.sha256(json.dumps(recipe).encode() + code).hexdigest()[:32]


def _arrays(scored: Scored) -> dict[str, Any]:
    facts = {name: getattr(scored, name) for name in ("source", "cards", "card", "time_s", "amount", "is_fraud")}
    names = np.array([model.name for model in scored.models])
    scores = {f"score_{i}": model.score for i, model in enumerate(scored.models)}
    return facts | {"names": names} | scores | {f"decision_{i}": model.decision for i, model in enumerate(scored.models)}


def _from_arrays(arrays: dict[str, Any]) -> Scored:
    decided = (Decided(str(name), arrays[f"score_{i}"], arrays[f"decision_{i}"]) for i, name in enumerate(arrays["names"]))
    return Scored(
        str(arrays["source"]), arrays["cards"], arrays["card"], arrays["time_s"], arrays["amount"], arrays["is_fraud"], tuple(decided)
    )


def from_batch(payments: Path, answers: Path) -> Scored:
    """What `lab score-batch` made of a table of payments: one model, no outcomes (`is_fraud` is False throughout), rows matched by id.

    Raises MissingFile, and BadInput naming file and column, or when no row of one is in the other.
    """
    import pyarrow as pa

    asked = {"transaction_id": pa.string(), "event_time": pa.timestamp("ms", tz="UTC"), "card_id": pa.string(), "amount_minor": pa.int64()}
    given = {"transaction_id": pa.string(), "score": pa.float64(), "decision": pa.string()}
    paid, answered = (_table(path, pa.schema(list(columns.items()))) for path, columns in ((payments, asked), (answers, given)))
    paid, answered = (rows.drop_duplicates("transaction_id") for rows in (paid, answered))  # the first of an id stands, as in the service
    rows = paid.merge(answered, on="transaction_id").sort_values("event_time", kind="stable")
    if rows.empty:
        raise BadInput(
            "No payment of the one table is in the other.",
            next_step="Name the IN and the OUT of the same `lab score-batch`.",
            where="transaction_id",
        )
    decision = rows["decision"].map({name: place for place, name in enumerate(DECISIONS)}).to_numpy().astype(np.int8)
    decided = Decided("batch", rows["score"].to_numpy(np.float64), decision)
    return _scored(f"the batch-scored payments of {answers.name}", rows, np.zeros(len(rows), dtype=np.bool_), [decided])


def _table(path: Path, schema: Any) -> "pd.DataFrame":
    import pyarrow as pa

    from pipelines.batch.reading import ParquetSource

    pieces = [piece.rows for piece in ParquetSource(path, schema).pieces(1_000_000)]
    frame: pd.DataFrame = pa.concat_tables(pieces or [schema.empty_table()]).to_pandas()
    return frame
