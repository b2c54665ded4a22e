"""L02: every number is computed anew, from the payments on disk and those that came after them, with the given files as they were given."""

import importlib
import sys
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype
from pydantic import BaseModel, Field

from labs.engine import Incorrect, Passed, Workplace
from labs.stream import midnight

Flags = NDArray[np.bool_]
_GIVEN = Path(__file__).parent / "start"
_LEAK = "support_contacts"
_AP_WITHIN = 0.015  # thread counts and library builds move an average precision by less
_DELAYS = (2, 7, 12)  # days
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
    table, today = rows.payments().rows, rows.payments().today
    if told.field not in rows.WAREHOUSE:
        raise Incorrect("That is no field of the warehouse's export: what led the gains otherwise was known before.", "`python fields.py`")
    fraud, late = table["is_fraud"].to_numpy(), rows.late(table, told.field)
    if told.field != _LEAK:
        why = "It is late for every payment alike, so it cannot tell frauds apart." if late.all() else "No value of it is late."
        raise Incorrect(why, "`python fields.py`: under `late`, hold `of frauds` against `of others`")
    for name, share in (("late_frauds", late[fraud].mean()), ("late_others", late[~fraud].mean())):
        if abs(getattr(told, name) - share) > 0.006:
            raise Incorrect(
                f"{name} is not {getattr(told, name):g}.", "`python fields.py`: the last two columns, frauds alone and all others"
            )
    if _LEAK not in told.leave_out:
        raise Incorrect("You found it, and the study still learns from it.", "leak.toml: leave_out")
    teach, judge, known = _given(at, "split").parts(table, today)  # as the notebook had it
    promised = {name: _reached(at, "at once", out, teach, known, judge) for name, out in (("notebook_ap", ()), ("no_leak_ap", (_LEAK,)))}
    return Passed({**promised, "late_frauds": float(late[fraud].mean())})


def labels_count_when_known(at: Workplace) -> Passed:
    rows, labels, today = _rows(at).payments()
    answer = at.load("split.py").call("counts_from", labels[["transaction_id", "event_time", "report_time", "is_fraud"]], timeout_s=20)
    try:
        counts, reported = pd.to_datetime(pd.Series(answer), utc=True), labels["report_time"]
        early, in_time = ((flags[labels["is_fraud"]]).mean() for flags in (counts < reported, counts <= reported))
    except (TypeError, ValueError):
        raise Incorrect("`counts_from` must return a time for each label.", "split.py, as it was given") from None
    look = "`counts_from` in split.py: which column says when?"
    if early > 0:
        raise Incorrect(f"{early:.0%} of the frauds count before anybody had reported them.", look)
    if in_time < 1:
        raise Incorrect(f"{1 - in_time:.0%} of the frauds count later than they were reported, or never.", look)
    began = pd.Timestamp(today - timedelta(days=14))
    teach, later = (rows["event_time"] < began).to_numpy(), _rows(at).payments().later
    return Passed({"no_delay_ap": _reached(at, "at once", (_LEAK, "shop_share"), teach, rows["is_fraud"].to_numpy(), ~teach & ~later)})


def judged_by_time(at: Workplace) -> Passed:
    (teach, judge, known), later = _parts(at), _rows(at).payments().later
    table = _rows(at).payments().rows
    paid, fraud, reported = table["event_time"], table["is_fraud"].to_numpy(), table["report_time"]
    if ((teach | judge) & later).any():
        raise Incorrect("Some of your rows are from after `today`.", "`parts` in split.py: history ends there")
    if judge.sum() < 20_000 or teach.sum() < 100_000:
        raise Incorrect("Too few payments are left to learn from or to judge by.", "two weeks judge well; the rest may teach")
    began = paid[judge].min()
    after = (paid[teach] >= began).mean()
    if after > 0:
        raise Incorrect(
            f"{after:.0%} of the payments that teach came after the first that judges: the campaigns are on both sides.",
            "`parts` in split.py: what did you know when the first judging payment was made?",
        )
    if not judge[(paid >= began) & ~later].all():
        raise Incorrect("Some payments since the first that judges do not judge.", "`parts`: all of the last two weeks judge")
    by_then = fraud & (reported <= began).to_numpy()
    for count, what in (
        (known & ~by_then, "were reported only after judging began"),
        (by_then & ~known, "say genuine though fraud was reported by then"),
    ):
        if (count & teach).any():
            raise Incorrect(f"{(count & teach).sum()} labels that teach {what}.", "`parts`: known, against report_time")
    if began - paid[teach].max() < timedelta(days=5):
        week = (paid >= began - timedelta(days=7)).to_numpy() & teach & fraud
        raise Incorrect(
            f"There is no gap: of the frauds in the last week that teaches, {(~known[week]).mean():.0%} are still called genuine.",
            "`parts`: leave the youngest rows out until most of their labels are in",
        )
    return Passed({"random_ap": _by_random(at, (_LEAK,)), "time_ap": _by_time(at, (_LEAK,))})


def promise_holds(at: Workplace) -> Passed:
    told = at.answers("promise.toml", Promise)
    left_out = tuple(at.answers("leak.toml", Leak).leave_out)
    if told.keep_shop_share or "shop_share" not in left_out:
        with_it, without = _by_time(at, (_LEAK,)), _by_time(at, (_LEAK, "shop_share"))
        raise Incorrect(
            f"With shop_share you promise {with_it:.2f}, without it {without:.2f}; only the random split sees no harm in it.",
            "`leave_out` in leak.toml and `keep_shop_share` in promise.toml must agree on that",
        )
    rows, parts, features = _rows(at), _parts(at), _features(at, "when reported")
    promised, randomly, later = _by_time(at, left_out), _by_random(at, left_out), rows.payments().later
    delivered = rows.reached(_model(at, left_out).scores(later, served=features), later)
    if abs(told.promise - randomly) < abs(told.promise - promised):
        raise Incorrect("That is what the random split says.", "`python study.py random`: `promised` is yours, the line under it is not")
    for name, found in (("promise", promised), ("delivered", delivered), ("random_says", randomly)):
        if abs(getattr(told, name) - found) > _AP_WITHIN:
            raise Incorrect(f"{name} comes to another number when it is computed from your files.", "`python study.py random`, run again")
    table = rows.payments().rows
    before = (table["event_time"] < table.loc[parts.judge, "event_time"].min()).to_numpy()
    without_gap = _reached(at, "when reported", left_out, before, table["is_fraud"].to_numpy(), parts.judge)
    return Passed({"honest_ap": promised, "delivered_ap": delivered, "gap_alone": without_gap - promised})


def delays_measured(at: Workplace) -> Passed:
    today, reports, known = _reports(at)
    learner = at.load("delays.py")
    told = [learner.call("reported_within", known, today, days, timeout_s=20) for days in _DELAYS]
    if not all(isinstance(share, Real) for share in told):
        raise Incorrect("`reported_within` must return a number.", "delays.py")
    right = [_within(reports, days) for days in _DELAYS]
    off = np.subtract(told, right)
    if off.mean() > 0.025:
        raise Incorrect(
            f"Reports look quicker than they are, by {100 * off.mean():.0f} points: of young payments you know only the quick ones.",
            "delays.py: which payments are old enough to have all theirs?",
        )
    if not (off.mean() >= -0.025 and np.abs(off).max() <= 0.05):  # a NaN ends here, too
        raise Incorrect(
            "That is not the share of the frauds that will be reported.", "delays.py: fraud labels only, and divide by as many as you count"
        )
    naive = _within(known[known["is_fraud"]], 7)  # what is not reported yet is forgotten
    return Passed({"within_week": right[1], "naive_bias": naive - right[1]})


def label_policy(at: Workplace) -> Passed:
    told = at.answers("label_policy.toml", LabelPolicy)
    _, reports, _ = _reports(at)
    truth = at.dataset.read("truth", at.stream.first, at.stream.live).set_index("transaction_id")["is_fraud"]
    right = truth.reindex(reports["transaction_id"]).to_numpy(dtype=bool)
    settled, never, wrong = _within(reports, told.settle_days), float(1 - right.sum() / truth.sum()), float((~right).mean())
    if settled < 0.6:
        raise Incorrect(f"{1 - settled:.0%} of the frauds that will be reported still look genuine then.", "settle_days")
    if told.settle_days > 30:
        raise Incorrect("More than half of the 60 days would wait for one report in fifty.", "settle_days: what do you lose by waiting?")
    for name, share, within, of in (
        ("settled", settled, 0.04, "frauds ever reported"),
        ("never_reported", never, 0.01, "frauds, by the truth"),
        ("wrong_labels", wrong, 0.01, "fraud labels"),
    ):
        if abs(getattr(told, name) - share) > within:
            raise Incorrect(f"{name} is not that share of all {of}.", "`python audit.py`: which of its counts over which?")
    return Passed({"never_reported": never, "wrong_labels": wrong})


def contract_kept(at: Workplace) -> Passed:
    batches = _given(at, "batches")
    days = [at.stream.day(at.stream.live + timedelta(days=n)).transactions for n in (8, 9)]
    learner = at.load("contract.py")
    for batch in batches.ten(days[1], days[0], seed=99):
        found = learner.call("problems", batch.frame, batch.now, timeout_s=20)
        if not isinstance(found, list):
            raise Incorrect("`problems` must return a list, an empty one for a good batch.", "contract.py: problems")
        if batch.broken and not found:
            raise Incorrect(f"Your contract lets in: {batch.name}.", f"column {batch.broken}; `python try_contract.py`")
        if batch.broken and not any(batch.broken in str(line) for line in found):
            raise Incorrect(f"You refuse “{batch.name}” and do not say why: nobody could mend it.", f"name {batch.broken} in the message")
        if found and not batch.broken:
            raise Incorrect(f"Your contract refuses what is odd and valid: {batch.name}.", f"it said: {str(found[0])[:100]}")
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
    complete = served.model.scores(amounts)
    for seed, kind in enumerate(losses.KINDS, start=1):
        gone = losses.lost(served.batch, kind, seed)
        batch = served.batch.assign(amount=amounts.mask(gone))
        filled = _amounts(call("fill", served.known, batch, timeout_s=20), batch)
        _require_whole(filled, batch, served.is_fraud, gone)
        if kind == "MCAR":
            one = batch[gone].iloc[:1]
            alone = _amounts(call("fill", served.known, one, timeout_s=20), one)
            if not np.isclose(alone.iloc[0], filled[gone].iloc[0]):
                raise Incorrect("A payment that comes alone is filled differently: a service sees one at a time.", "learn from `known`")
            _require_better(filled[gone], amounts[gone], served.known["amount"].median())
        figures[f"drop_{kind.lower()}"] = losses.found(served, np.where(gone, -1.0, complete))
        figures[f"fill_{kind.lower()}"] = losses.found(served, served.model.scores(filled))
        bias = float(np.exp(np.log(filled[gone] / amounts[gone]).mean()) - 1)
        figures |= {f"bias_{kind.lower()}": 100 * bias} if kind != "MAR" else {}
    return Passed({**figures, "complete": losses.found(served, complete)})


def _amounts(answer: Any, batch: pd.DataFrame) -> "pd.Series[Any]":
    """The answer in the order of the batch; NaN for the rows that it leaves out."""
    if not (isinstance(answer, pd.Series) and is_numeric_dtype(answer) and answer.index.is_unique):
        raise Incorrect("`fill` must return the amounts as a series, indexed like the batch.", "missing.py: fill")
    return answer.reindex(batch.index)


def _require_whole(filled: "pd.Series[Any]", batch: pd.DataFrame, fraud: Flags, gone: Flags) -> None:
    if filled.isna().any():
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


# ---- what several checks need: the engine loads this file anew for each run, so that all of it is as young as the run

_made: dict[str, Any] = {}


def _once(key: str, make: Callable[[], Any]) -> Any:
    if key not in _made:
        _made[key] = make()
    return _made[key]


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

    module: ModuleType = _once("given", load)[name]
    return module


def _rows(at: Workplace) -> ModuleType:
    return _given(at, "rows")


def _served(at: Workplace) -> Any:
    return _once("served", lambda: _given(at, "losses").served(_features(at, "when reported")))


def _features(at: Workplace, count: str) -> Any:
    """Features in which frauds count "at once", as the notebook has it, or "when reported"."""
    rows, labels = _rows(at), _rows(at).payments().labels
    frauds_count = labels["event_time"] if count == "at once" else labels["report_time"]
    return _once(f"features {count}", lambda: rows.features_of(labels.assign(report_time=frauds_count)))


def _reached(at: Workplace, count: str, left_out: Collection[str], teach: Flags, known: Flags, judge: Flags) -> float:
    """Average precision on the rows `judge` of a model that learned from the rows `teach` with the labels `known`."""
    return float(_rows(at).reached(_rows(at).Model(_features(at, count), left_out).learn(teach, known).scores(judge), judge))


def _parts(at: Workplace) -> Parts:
    """The learner's split, which must be three columns of flags."""
    rows, (table, _, today) = _rows(at), _rows(at).payments()
    answer = _once("parts", lambda: at.load("split.py").call("parts", table[rows.KNOWN_OF_ROWS], today, timeout_s=20))
    try:
        parts = Parts(*(np.asarray(flags, dtype=bool) for flags in answer))
    except (TypeError, ValueError):
        raise Incorrect("`parts` must return three arrays of flags.", "split.py, as it was given") from None
    if any(flags.shape != (len(table),) for flags in parts):
        raise Incorrect("`parts` must return a flag for each row.", "split.py, as it was given")
    return parts


def _model(at: Workplace, left_out: tuple[str, ...]) -> Any:
    """The model that the learner's split teaches."""
    rows, parts, features = _rows(at), _parts(at), _features(at, "when reported")
    return _once(f"model without {left_out}", lambda: rows.Model(features, left_out).learn(parts.teach, parts.known))


def _by_time(at: Workplace, left_out: tuple[str, ...]) -> float:
    """What the learner's split promises."""
    judge = _parts(at).judge
    return float(_rows(at).reached(_model(at, left_out).scores(judge), judge))


def _by_random(at: Workplace, left_out: tuple[str, ...]) -> float:
    """What a random split promises for the payments that judge in the learner's."""
    return float(_rows(at).random_instead(_features(at, "when reported"), left_out, _parts(at).judge))


def _reports(at: Workplace) -> tuple[datetime, pd.DataFrame, pd.DataFrame]:
    """Today, every fraud report of history's payments that ever comes, and all labels known today."""
    labels, today = at.dataset.read("labels", at.stream.first, at.stream.live), midnight(at.stream.live)
    return today, labels[labels["is_fraud"]], labels[labels["report_time"] <= pd.Timestamp(today)]


def _within(reports: pd.DataFrame, days: float) -> float:
    """The share reported within so many days of the payment."""
    return float((reports["report_time"] - reports["event_time"] <= timedelta(days=days)).mean())
