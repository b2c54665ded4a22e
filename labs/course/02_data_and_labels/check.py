"""L02: every number is computed anew, from the payments on disk and those that came after them, with the given files as they were given."""

import importlib
import sys
from collections.abc import Callable
from datetime import timedelta
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from labs.engine import Incorrect, Passed, Workplace
from labs.stream import midnight

Flags = NDArray[np.bool_]
_GIVEN = Path(__file__).parent / "start"
_LEAK, _HARMLESS = "support_contacts", "merchant_rating"
_AP_WITHIN = 0.015  # thread counts and library builds move an average precision by less
_DELAYS = (3, 7, 14)
_DRAWS = 3  # of each kind of loss
_OURS = ("rows", "split", "batches", "losses")


class Leak(BaseModel):
    """leak.toml."""

    field: str
    late_frauds: float = Field(ge=0, le=1)
    late_others: float = Field(ge=0, le=1)
    leave_out: list[str]


class Promise(BaseModel):
    """promise.toml."""

    random_says: float = Field(ge=0, le=1)
    promise: float = Field(ge=0, le=1)
    delivered: float = Field(ge=0, le=1)
    keep_shop_share: bool


class LabelPolicy(BaseModel):
    """label_policy.toml."""

    settle_days: int = Field(ge=0, le=120)
    settled: float = Field(ge=0, le=1)
    never_reported: float = Field(ge=0, le=1)
    wrong_labels: float = Field(ge=0, le=1)


class Parts(NamedTuple):
    """What the learner's split.py says."""

    teach: Flags
    judge: Flags
    known: Flags


def leak_found(at: Workplace) -> Passed:
    rows, told = _rows(at), at.answers("leak.toml", Leak)
    table = rows.payments().rows
    if told.field not in rows.WAREHOUSE:
        raise Incorrect("That is no field of the warehouse's export: what led the gains otherwise was known before.", "`python fields.py`")
    fraud, late = table["is_fraud"].to_numpy(), rows.late(table, told.field)
    if told.field == _HARMLESS:
        raise Incorrect("It is late for every payment alike, so it cannot tell frauds apart.", "leave it out, and see what `promised` does")
    if told.field != _LEAK:
        raise Incorrect(f"No value of {told.field} was written after its payment.", "`python fields.py`: the columns `late`")
    for name, share in (("late_frauds", late[fraud].mean()), ("late_others", late[~fraud].mean())):
        if abs(getattr(told, name) - share) > 0.02:
            raise Incorrect(f"{name} is {share:.2f} away from being that.", "late_frauds counts frauds alone, late_others all others")
    if _LEAK not in told.leave_out:
        raise Incorrect("You found it, and the study still learns from it.", "leak.toml: leave_out")
    return Passed({"notebook_ap": _notebook(at, ()), "no_leak_ap": _notebook(at, (_LEAK,)), "late_frauds": float(late[fraud].mean())})


def labels_count_when_known(at: Workplace) -> Passed:
    rows = _rows(at)
    labels = rows.payments().labels
    answer = at.load("split.py").call("counts_from", labels[["transaction_id", "event_time", "report_time", "is_fraud"]], timeout_s=20)
    try:
        counts = pd.to_datetime(pd.Series(answer), utc=True)
        early = (counts < labels["report_time"])[labels["is_fraud"]].mean()
    except (TypeError, ValueError):
        raise Incorrect("`counts_from` must return a time for each label.", "split.py, as it was given") from None
    if early > 0:
        raise Incorrect(
            f"{early:.0%} of the frauds count before anybody had reported them.", "`counts_from` in split.py: which column says when?"
        )
    began = pd.Timestamp(rows.payments().today - timedelta(days=14))
    paid, fraud = rows.payments().rows["event_time"], rows.payments().rows["is_fraud"].to_numpy()
    judge, teach = ((paid >= began).to_numpy() & ~rows.payments().later), (paid < began).to_numpy()
    model = rows.Model(_features(at, "at once"), (_LEAK, "shop_share")).learn(teach, fraud)
    return Passed({"no_delay_ap": rows.reached(model.scores(judge), judge)})


def judged_by_time(at: Workplace) -> Passed:
    rows, parts = _rows(at), _parts(at)
    table, later = rows.payments().rows, rows.payments().later
    if (parts.teach & later).any() or (parts.judge & later).any():
        raise Incorrect("Some of your rows are from after `today`.", "`parts` in split.py: history ends there")
    if parts.judge.sum() < 20_000 or parts.teach.sum() < 100_000:
        raise Incorrect("Too few payments are left to learn from or to judge by.", "two weeks judge well; the rest may teach")
    began = table.loc[parts.judge, "event_time"].min()
    after = (table.loc[parts.teach, "event_time"] >= began).mean()
    if after > 0:
        raise Incorrect(
            f"{after:.0%} of the payments that teach came after the first that judges: the campaigns are on both sides.",
            "`parts` in split.py: what did you know when the first judging payment was made?",
        )
    unknown = (parts.known & parts.teach & (table["report_time"] > began).to_numpy()).sum()
    if unknown:
        raise Incorrect(f"{unknown} labels that teach were reported only after judging began.", "`parts`: known, against report_time")
    gap = (began - table.loc[parts.teach, "event_time"].max()).total_seconds() / 86_400
    if gap < 5:
        week = (table["event_time"] >= began - pd.Timedelta(days=7)).to_numpy() & parts.teach & table["is_fraud"].to_numpy()
        raise Incorrect(
            f"There is no gap: of the frauds in the last week that teaches, {(~parts.known[week]).mean():.0%} are still called genuine.",
            "`parts`: leave the youngest rows out until most of their labels are in",
        )
    return Passed({"random_ap": _by_random(at, True), "time_ap": _by_time(at, True)[0]})


def promise_holds(at: Workplace) -> Passed:
    told = at.answers("promise.toml", Promise)
    left_out = at.answers("leak.toml", Leak).leave_out
    kept = "shop_share" not in left_out
    if told.keep_shop_share or kept:
        with_it, without = _by_time(at, True), _by_time(at, False)
        raise Incorrect(
            f"With shop_share you promise {with_it[0]:.2f}, without it {without[0]:.2f}; only the random split likes it.",
            "`leave_out` in leak.toml and `keep_shop_share` in promise.toml must agree on that",
        )
    promised, delivered = _by_time(at, False)
    randomly = _by_random(at, False)
    if abs(told.promise - randomly) < abs(told.promise - promised):
        raise Incorrect("That is what the random split says.", "`python study.py random`: the first line is yours")
    for name, found in (("promise", promised), ("delivered", delivered), ("random_says", randomly)):
        if abs(getattr(told, name) - found) > _AP_WITHIN:
            raise Incorrect(f"{name} comes to another number when it is computed from your files.", "`python study.py random`, run again")
    return Passed({"honest_ap": promised, "delivered_ap": delivered, "gap_alone": _without_gap(at) - promised})


def delays_measured(at: Workplace) -> Passed:
    today, reports, known = _reports(at)
    learner = at.load("delays.py")
    told = [learner.call("reported_within", known, today, days, timeout_s=20) for days in _DELAYS]
    if not all(isinstance(share, Real) for share in told):
        raise Incorrect("`reported_within` must return a number.", "delays.py")
    delay = (reports["report_time"] - reports["event_time"]).dt.total_seconds() / 86_400
    right = [float((delay <= days).mean()) for days in _DELAYS]
    error = float(np.mean(np.subtract(told, right)))
    if error > 0.025:
        raise Incorrect(
            f"Reports look quicker than they are, by {100 * error:.0f} points: of young payments you know only the quick ones.",
            "delays.py: which payments are old enough to have all theirs?",
        )
    if error < -0.025 or max(np.abs(np.subtract(told, right))) > 0.05:
        raise Incorrect(
            "That is not the share of the frauds that will be reported.", "delays.py: fraud labels only, and divide by as many as you count"
        )
    return Passed({"within_week": right[1], "naive_bias": _naive(known, 7) - right[1]})


def label_policy(at: Workplace) -> Passed:
    told = at.answers("label_policy.toml", LabelPolicy)
    _, reports, _ = _reports(at)
    truth = at.dataset.read("truth", at.stream.first, at.stream.live).set_index("transaction_id")["is_fraud"]
    right = truth.reindex(reports["transaction_id"]).to_numpy(dtype=bool)
    delay = (reports["report_time"] - reports["event_time"]).dt.total_seconds() / 86_400
    settled, never, wrong = float((delay <= told.settle_days).mean()), 1 - right.sum() / truth.sum(), float((~right).mean())
    if settled < 0.6:
        raise Incorrect(f"{1 - settled:.0%} of the frauds that will be reported still look genuine then.", "settle_days")
    if told.settle_days > 30:
        raise Incorrect("More than half of the 60 days would wait for one report in fifty.", "settle_days: what do you lose by waiting?")
    for name, share, of in (
        ("settled", settled, "frauds ever reported"),
        ("never_reported", never, "frauds, by the truth"),
        ("wrong_labels", wrong, "fraud labels"),
    ):
        if abs(getattr(told, name) - share) > (0.04 if name == "settled" else 0.01):
            raise Incorrect(f"{name} is not that share of all {of}.", "`python audit.py`: what stands above the line, what below?")
    return Passed({"never_reported": float(never), "wrong_labels": wrong})


def contract_kept(at: Workplace) -> Passed:
    batches = _given(at, "batches")
    days = [at.stream.day(at.stream.live + timedelta(days=n)).transactions for n in (8, 9)]
    learner, refused = at.load("contract.py"), 0
    for batch in batches.ten(days[1], days[0], seed=99):
        found = learner.call("problems", batch.frame, batch.now, timeout_s=20)
        if batch.broken and not found:
            raise Incorrect(f"Your contract lets in: {batch.name}.", f"column {batch.broken}; `python try_contract.py`")
        if batch.broken and not any(batch.broken in str(line) for line in found):
            raise Incorrect(f"You refuse “{batch.name}” and do not say why: nobody could mend it.", f"name {batch.broken} in the message")
        if found and not batch.broken:
            raise Incorrect(f"Your contract refuses what is odd and valid: {batch.name}.", f"it said: {str(found[0])[:100]}")
        refused += bool(found)
    return Passed()


def mechanism_told(at: Workplace) -> Passed:
    losses, whole = _given(at, "losses"), _served(at).batch
    learner = at.load("missing.py")
    for seed in range(20, 20 + _DRAWS):
        for kind in losses.KINDS:
            batch = whole.sample(25_000, random_state=seed).sort_index()
            gone = losses.lost(batch, kind, seed)
            again = losses.recovered(batch, gone, seed)
            said = learner.call("mechanism", batch.assign(amount=batch["amount"].mask(gone)), again, timeout_s=20)
            if said != kind:
                raise Incorrect(_MISTAKEN.get((kind, str(said)), f"Your function calls {kind} {said}."), "missing.py: mechanism")
    return Passed()


_MISTAKEN = {
    ("MAR", "MNAR"): "It calls MAR MNAR: lost amounts differ from kept ones there, and among payments alike they do not.",
    ("MNAR", "MAR"): "It calls MNAR MAR: among payments alike, the recovered amounts are still larger than the kept ones.",
    ("MNAR", "MCAR"): "It calls MNAR MCAR: hold the recovered amounts against the kept ones.",
    ("MAR", "MCAR"): "It calls MAR MCAR: in some groups of payments far more is lost than in others; look at every column.",
    ("MCAR", "MAR"): "It calls MCAR MAR: groups differ by chance, too; how much do they differ?",
    ("MCAR", "MNAR"): "It calls MCAR MNAR: how far apart would chance put recovered and kept amounts?",
}


def losses_filled(at: Workplace) -> Passed:
    losses, served = _given(at, "losses"), _served(at)
    call = at.load("missing.py").call
    amounts, figures = served.batch["amount"], {}
    for seed, kind in enumerate(losses.KINDS, start=1):
        gone = losses.lost(served.batch, kind, seed)
        batch = served.batch.assign(amount=amounts.mask(gone))
        filled = _amounts(call("fill", served.known, batch, timeout_s=20))
        _require_whole(filled, batch, served.is_fraud, gone)
        if kind == "MCAR":
            one = batch.index[gone][:1]
            alone = _amounts(call("fill", served.known, batch.loc[one], timeout_s=20))
            if len(alone) != 1 or not np.isclose(alone.iloc[0], filled.loc[one[0]]):
                raise Incorrect("A payment that comes alone is filled differently: a service sees one at a time.", "learn from `known`")
            _require_better(filled[gone], amounts[gone], served.known["amount"].median())
        kept = np.where(gone, -1.0, served.model.scores(amounts))
        figures[f"drop_{kind.lower()}"] = losses.found(served, kept)
        figures[f"fill_{kind.lower()}"] = losses.found(served, served.model.scores(filled))
        bias = float(np.exp(np.log(filled[gone] / amounts[gone]).mean()) - 1)
        figures |= {f"bias_{kind.lower()}": 100 * bias} if kind != "MAR" else {}
    return Passed({**figures, "complete": losses.found(served, served.model.scores(amounts))})


def _amounts(answer: Any) -> "pd.Series[Any]":
    if not isinstance(answer, pd.Series | np.ndarray):
        raise Incorrect("`fill` must return the amounts, as a series.", "missing.py: fill")
    return pd.Series(answer)


def _require_whole(filled: "pd.Series[Any]", batch: pd.DataFrame, fraud: Flags, gone: Flags) -> None:
    if len(filled) != len(batch) or filled.isna().any():
        raise Incorrect(
            f"Payments are dropped: {fraud[gone].sum()} of {fraud.sum()} frauds are among those without amount, and nobody scores them.",
            "`fill` must return an amount for each row of the batch",
        )
    if not np.allclose(filled[~gone], batch["amount"][~gone]):
        raise Incorrect("Amounts that were there are changed.", "missing.py: fill only what is lost")
    if (filled <= 0).any():
        raise Incorrect("A payment of nothing is no payment: 0 is a value, and a wrong one.", "missing.py: estimate it from `known`")


def _require_better(filled: "pd.Series[Any]", true: "pd.Series[Any]", constant: float) -> None:
    error, plain = (float(np.abs(np.log(guess / true)).mean()) for guess in (filled, constant))
    if error > 0.92 * plain:
        raise Incorrect(
            f"Hidden amounts are missed by a factor of {np.exp(error):.2f}; one median for all misses them by {np.exp(plain):.2f}.",
            "missing.py: which column says most about an amount?",
        )


# ---- computed once for all checks of one run

_made: dict[Path, dict[str, Any]] = {}


def _once(at: Workplace, key: str, make: Callable[[], Any]) -> Any:
    kept = _made.setdefault(at.settings.home, {})
    if key not in kept:
        kept[key] = make()
    return kept[key]


def _given(at: Workplace, name: str) -> ModuleType:
    """A given file as it was given, whatever became of the learner's copy; it reads the payments of this lab's system."""

    def load() -> dict[str, ModuleType]:
        sys.path.insert(0, str(_GIVEN))
        try:
            loaded = {name: importlib.import_module(name) for name in _OURS}
        finally:
            sys.path.remove(str(_GIVEN))
            for name in _OURS:
                sys.modules.pop(name, None)  # another lab may have files of these names
        loaded["rows"].take_from(at.stream)
        return loaded

    module: ModuleType = _once(at, "given", load)[name]
    return module


def _rows(at: Workplace) -> ModuleType:
    return _given(at, "rows")


def _served(at: Workplace) -> Any:
    return _once(at, "served", lambda: _given(at, "losses").served(_features(at, "when reported")))


def _features(at: Workplace, count: str) -> Any:
    """Features in which frauds count "at once", as the notebook has it, or "when reported"."""

    def make() -> Any:
        labels = _rows(at).payments().labels
        return _rows(at).features_of(labels.assign(report_time=labels["event_time"]) if count == "at once" else labels)

    return _once(at, count, make)


def _notebook(at: Workplace, left_out: tuple[str, ...]) -> float:
    """What the notebook promises, as it was given."""

    def make() -> float:
        rows, split = _rows(at), _given(at, "split")
        teach, judge, known = split.parts(rows.payments().rows, rows.payments().today)
        return float(rows.reached(rows.Model(_features(at, "at once"), left_out).learn(teach, known).scores(judge), judge))

    return float(_once(at, f"notebook without {left_out}", make))


def _parts(at: Workplace) -> Parts:
    parts: Parts = _once(at, f"parts {_digest(at)}", lambda: _asked_parts(at))
    return parts


def _asked_parts(at: Workplace) -> Parts:
    """The learner's split, which must be three columns of flags."""
    rows = _rows(at)
    table = rows.payments().rows
    answer = at.load("split.py").call("parts", table[rows.KNOWN_OF_ROWS], rows.payments().today, timeout_s=20)
    try:
        teach, judge, known = (np.asarray(flags, dtype=bool) for flags in answer)
    except (TypeError, ValueError):
        raise Incorrect("`parts` must return three arrays of flags.", "split.py, as it was given") from None
    if not len(teach) == len(judge) == len(known) == len(table):
        raise Incorrect("`parts` must return a flag for each row.", "split.py, as it was given")
    return Parts(teach, judge, known)


def _by_time(at: Workplace, shop_share: bool) -> tuple[float, float]:
    """What the learner's split promises, and what that model delivered."""

    def make() -> tuple[float, float]:
        rows, parts, features = _rows(at), _parts(at), _features(at, "when reported")
        model = rows.Model(features, _left_out(shop_share)).learn(parts.teach, parts.known)
        later = rows.payments().later
        promised = rows.reached(model.scores(parts.judge), parts.judge)
        return promised, rows.reached(model.scores(later, served=features), later)

    answer: tuple[float, float] = _once(at, f"time {shop_share} {_digest(at)}", make)
    return answer


def _without_gap(at: Workplace) -> float:
    """What the learner's split would promise if everything before the judging payments taught, with the labels of today."""

    def make() -> float:
        rows, judge = _rows(at), _parts(at).judge
        table = rows.payments().rows
        teach = (table["event_time"] < table.loc[judge, "event_time"].min()).to_numpy()
        model = rows.Model(_features(at, "when reported"), _left_out(False)).learn(teach, table["is_fraud"].to_numpy())
        return float(rows.reached(model.scores(judge), judge))

    return float(_once(at, f"no gap {_digest(at)}", make))


def _by_random(at: Workplace, shop_share: bool) -> float:
    """What a random split promises for the payments that judge in the learner's."""
    key = f"random {shop_share} {_digest(at)}"
    return float(_once(at, key, lambda: _rows(at).random_instead(_features(at, "when reported"), _left_out(shop_share), _parts(at).judge)))


def _left_out(shop_share: bool) -> tuple[str, ...]:
    return (_LEAK,) if shop_share else (_LEAK, "shop_share")


def _digest(at: Workplace) -> int:
    return hash(at.file("split.py").read_bytes())


def _reports(at: Workplace) -> tuple[Any, pd.DataFrame, pd.DataFrame]:
    """Today, every fraud report of history's payments that ever comes, and all labels known today."""
    labels, today = at.dataset.read("labels", at.stream.first, at.stream.live), midnight(at.stream.live)
    return today, labels[labels["is_fraud"]], labels[labels["report_time"] <= pd.Timestamp(today)]


def _naive(known: pd.DataFrame, days: float) -> float:
    """The share reported within so many days, among those known: what is not reported yet is forgotten."""
    frauds = known[known["is_fraud"]]
    return float(((frauds["report_time"] - frauds["event_time"]).dt.total_seconds() / 86_400 <= days).mean())
