"""L06: who answers is read from the log, the gate is asked about offers of known worth, the walk is made again from the sealed bundle."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from data.bundle import FACTS, verify_bundle
from data.errors import PlanRefused
from data.ledger import Entry
from data.registry import CHAMPION
from labs.engine import CannotCheck, Incorrect, NotStarted, Passed, Workplace
from pipelines.metrics import average_precision, paired_difference

CLEAR = 0.003  # of average precision: an interval that ends nearer to zero may fall on either side of it with other draws
AROUND = 100  # payments of the load before the order and after the change, at least
LONGEST_PROMISE_S = 10.0


class Answers(BaseModel, extra="forbid"):
    """answers.toml."""

    mlflow_named: str
    answered_by: str
    service_missed: Literal["alias", "signature", "restart", "time"]


class RollbackFacts(BaseModel, extra="forbid"):
    """rollback.toml."""

    unanswered: int = Field(ge=0)
    answered_late: int = Field(ge=0)
    follows_within_s: float = Field(gt=0)


# ---- 1 who serves, and who says so


def who_answers(at: Workplace) -> Passed:
    told = at.answers("answers.toml", Answers)
    served = at.served()
    payment = served[served["transaction_id"] == "by_hand_1"]
    if payment.empty:
        raise NotStarted("Run `python by_hand.py`: the log holds no payment by_hand_1 yet.")
    answered_by = str(payment["model_version"].iloc[0])
    if told.answered_by != answered_by:
        raise Incorrect(
            f"The log holds by_hand_1 with version {answered_by}: an alias is a name, and the service follows no name.",
            "answers.toml: answered_by; `python by_hand.py` prints it, `lab status` too",
        )
    if told.mlflow_named != at.given("by_hand.py").ALIAS_SET_TO:
        raise Incorrect("MLflow's alias champion named another version then.", "answers.toml: mlflow_named; the first line of by_hand.py's")
    if told.service_missed != "signature":
        raise Incorrect(
            "The service looked at the registry within a second, saw the change, and refused it.",
            "answers.toml: service_missed; the last line of `python by_hand.py` says why it refused",
        )
    try:
        plan = at.registry.plan()
    except PlanRefused:
        plan = None
    named, serves = at.registry.alias(CHAMPION), str(at.ask("GET", "/v1/serving")["champion"])
    if plan is None or not named == plan.champion == serves:
        raise Incorrect(
            f"What was done by hand is still there: MLflow calls version {named} champion, and version {serves} answers.",
            "Have a plan signed for who is to serve: `lab rollback --to VERSION --reason …`",
        )
    return Passed()


# ---- 2 the gate


class Case(NamedTuple):
    """Rows for the gate; `better` when the candidate is beyond noise, None when that is too close to call."""

    kind: Literal["challenger", "reversed", "seed", "days"]
    rows: pd.DataFrame
    logged: dict[str, float]
    better: bool | None
    lead: float


def refuses_luck(at: Workplace) -> Passed:
    offers, gate = at.given("offers.py").Offers(at.settings), at.load("gate.py")

    def asks(case: Case, logged: dict[str, float] | None = None) -> bool:
        answer = gate.call("promote", case.rows, logged or case.logged)
        if not isinstance(answer, bool | np.bool_):
            raise Incorrect("promote answers neither True nor False.", "gate.py: what it returns")
        return bool(answer)

    cases, days = list(_cases(offers)), offers.by_day("1")
    verdicts = [asks(case) for case in cases]
    first, opposite = cases[0], {"champion": cases[0].logged["candidate"], "candidate": cases[0].logged["champion"]}
    luckiest = next(case for case in cases if case.kind == "seed")
    modest = {"champion": luckiest.logged["champion"], "candidate": luckiest.logged["champion"] - 0.05}
    if asks(first, opposite) != verdicts[0] or asks(luckiest, modest) != verdicts[cases.index(luckiest)]:
        raise Incorrect(
            "The same payments and scores, other logged numbers, and another verdict: it believes what the runs logged.",
            "gate.py: each run was measured on its own days; "
            f"on one day the champion itself has {min(days):.2f} and on another {max(days):.2f}",
        )
    _judge(cases, verdicts)
    if any(asks(case) != verdict for case, verdict in zip(cases[:3], verdicts, strict=False)):
        raise Incorrect("Asked twice about the same rows, it answers differently.", "gate.py: fix the seed of the draws")
    return Passed(
        {"worst_day": min(days), "best_day": max(days)}
        | {"challenger_lead": first.lead, "challenger_later": _later(offers, "2")}
        | {"luckiest_logged": luckiest.logged["candidate"], "luckiest_lead": luckiest.lead}
        | {"luckiest_later": _later(offers, offers.luckiest)}
    )


def _judge(cases: list[Case], verdicts: list[bool]) -> None:
    """Raise Incorrect for the first kind of case that it decides wrongly."""
    wrong = defaultdict[str, list[Case]](list)
    for case, verdict in zip(cases, verdicts, strict=True):
        if case.better not in (None, verdict):
            wrong[case.kind].append(case)
    if wrong["reversed"]:
        raise Incorrect(
            f"It promotes a model that is worse by {-wrong['reversed'][0].lead:.3f} on the same payments: newer is not better.",
            "gate.py: what does it look at in `rows`?",
        )
    if wrong["seed"]:
        of = sum(case.kind == "seed" and case.better is False for case in cases)
        raise Incorrect(
            f"It promotes luck: {len(wrong['seed'])} of {of} trainings of the champion's own recipe, which differ from it in their seed.",
            "gate.py: one number is above the other half of the time. How far would the difference move on other cards?",
        )
    if wrong["challenger"]:
        raise Incorrect(
            f"It refuses version 2, which is {wrong['challenger'][0].lead:.3f} better beyond noise.",
            "gate.py: two intervals that overlap say little. Take the difference on each draw of cards: what they share cancels",
        )
    if wrong["days"]:
        few = wrong["days"][0]
        raise Incorrect(
            f"It promotes for {few.lead:+.3f} on {few.rows['is_fraud'].sum()} frauds, which is noise: its margin is fixed.",
            "gate.py: fewer frauds, more luck. Where is the lower end of the interval of these rows?",
        )


def _cases(offers: Any) -> Iterator[Case]:
    """Version 2; the champion offered in place of version 2; trainings with other seeds that look better; version 2 on few days."""
    logged = offers.logged("2")
    yield _case("challenger", offers.rows("2"), logged)
    yield _case("reversed", offers.rows("1", champion="2"), {"champion": logged["candidate"], "candidate": logged["champion"]})
    seeds = sorted(offers.seeds, key=offers.measured, reverse=True)
    looks_better = [name for name in seeds if offers.measured(name) > offers.measured("1")]
    for name in looks_better or seeds[:1]:
        yield _case("seed", offers.rows(name), offers.logged(name))
    for days in ((5,), (3,), (4, 5, 6)):
        yield _case("days", offers.rows("2", days=days), logged)


def _case(kind: Any, rows: pd.DataFrame, logged: dict[str, float]) -> Case:
    scores = rows["candidate"].to_numpy(), rows["champion"].to_numpy()
    lead = paired_difference(average_precision, rows["is_fraud"].to_numpy(), *scores, groups=rows["card"].to_numpy(), seed=0)
    return Case(kind, rows, logged, None if abs(lead.low) < CLEAR else lead.low > 0, lead.value)


def _later(offers: Any, name: str) -> float:
    return float(offers.measured(name, "later") - offers.measured("1", "later"))


# ---- 3 roll back under load


def rolled_back_under_load(at: Workplace) -> Passed:
    log = at.served()
    rollbacks = [entry for entry in at.ledger.entries() if entry.kind == "rollback"]
    ordered = [entry for entry in rollbacks if (entry.facts["champion"], entry.facts["instead_of"]) == ("1", "2")]
    load = log[log["transaction_id"].str.startswith("load_")]
    serves = str(at.ask("GET", "/v1/serving")["champion"])
    if not (log["model_version"] == "2").any():
        raise NotStarted("Put version 2 in front first: `lab rollback --to 2 --reason …`; then roll it back while `python load.py` runs.")
    if serves == "2" and at.registry.alias(CHAMPION) != "2":
        raise Incorrect(
            f"The alias champion was moved to version {at.registry.alias(CHAMPION)}, and version 2 still answers.",
            "An alias is a name. `lab rollback --reason …` signs a plan, tells the service and writes the ledger",
        )
    if serves == "2" or not ordered:
        raise NotStarted("Version 2 answers. Roll it back while `python load.py` runs: `lab rollback --reason …`.")
    told = at.answers("rollback.toml", RollbackFacts)
    found = _around(load, ordered[-1])
    if told.unanswered:
        raise Incorrect("Every payment of the load is in the log.", "rollback.toml: unanswered; `python around.py`: its numbers")
    if told.answered_late != found.late:
        raise Incorrect(
            f"You say {told.answered_late}; the log holds {found.late} payments made after the order and answered by version 2.",
            "rollback.toml: answered_late; `python around.py`: column version 2 from 0 ms on",
        )
    if told.follows_within_s < found.follows_s:
        raise Incorrect(
            f"You promise {told.follows_within_s:g} s, and this time it took {found.follows_s:.2f} s.",
            "rollback.toml: follows_within_s; a promise leaves room for a slower day",
        )
    if told.follows_within_s > max(LONGEST_PROMISE_S, 3 * found.follows_s):
        raise Incorrect(
            f"In {told.follows_within_s:g} s a hundred payments a second make {100 * told.follows_within_s:,.0f} that a bad model decides; "
            f"you measured {found.follows_s:.2f} s.",
            "rollback.toml: follows_within_s; near to what you measured, with room",
        )
    return Passed({"follows_s": found.follows_s, "slowest_ms": found.slowest_ms})


class Around(NamedTuple):
    """A rollback as log and ledger tell it."""

    late: int  # payments made after the order and answered by the version that was taken back
    follows_s: float
    slowest_ms: float


def _around(load: pd.DataFrame, rollback: Entry) -> Around:
    ordered = pd.Timestamp(datetime.fromisoformat(rollback.at))
    name = load["transaction_id"].str.rsplit("_", n=1)
    span = load.groupby(name.str[0])["event_time"].agg(["min", "max"])
    during = span[(span["min"] < ordered) & (ordered < span["max"])]
    if during.empty:
        raise Incorrect(
            "Nobody was paying when the order was given: a rollback that no payment meets proves nothing.",
            "Put version 2 back, start `python load.py` in a second terminal, and roll back while it runs",
        )
    run = load[name.str[0] == during.index[-1]]
    missing = sorted(set(range(len(run))) - set(name[run.index].str[1].astype(int)))
    if missing:
        raise Incorrect(
            f"Payments of the load got no answer, number {missing[0]} first: the service was gone meanwhile.",
            "Nothing needs a restart to change who serves. Put version 2 back, and roll back again under load",
        )
    new = run[run["event_time"] > ordered]
    late, followed = (new[new["model_version"] == version] for version in ("2", "1"))
    if min(len(run) - len(new), len(followed)) < AROUND:
        raise Incorrect(
            f"{len(run) - len(new)} payments before the order, {len(followed)} answered by version 1 after it: {AROUND} each are needed.",
            "Put version 2 back, and roll back in the middle of `python load.py`",
        )
    near = run[(run["event_time"] > ordered - pd.Timedelta("1s")) & (run["event_time"] < ordered + pd.Timedelta("2s"))]
    follows_s = (late["event_time"].max() - ordered).total_seconds() if len(late) else 0.0
    return Around(len(late), follows_s, float(near["latency_us"].max()) / 1000)


# ---- 4 from a payment back to its making


def walked_back(at: Workplace) -> Passed:
    served = at.served()
    rows = [served[served["model_version"] == version] for version in ("1", "2")]
    if rows[1].empty:
        raise NotStarted("Version 2 has answered nothing yet. Step 3 first: then there are payments of two versions to walk back from.")
    if at.registry.version("2").tags["data_digest"] == _sealed(at, "2")["data_digest"]:
        raise NotStarted("Run `python by_hand.py` first (step 1): Friday's hand went over the tags, too.")
    code = at.load("lineage.py")
    for row in (version.iloc[0] for version in rows):
        found = code.call("walk", str(row["transaction_id"]), timeout_s=20)
        if not isinstance(found, dict):
            raise Incorrect("walk answers no dict.", "lineage.py: what it returns")
        _compare(at, row, found)
    if _sealed(at, "2")["data_digest"] != at.given("data_hash.py").data_hash(at.stream):
        raise CannotCheck("The days of history on disk are no longer those that version 2 learnt from.", "`lab doctor` lists the settings.")
    return Passed()


def _compare(at: Workplace, row: "pd.Series[Any]", found: dict[str, Any]) -> None:
    payment, version, score = str(row["transaction_id"]), str(row["model_version"]), float(row["score"])
    if str(found.get("version")) != version:
        champion = at.registry.alias(CHAMPION)
        who = "who is champion now" if str(found.get("version")) == champion else "something else than the log"
        raise Incorrect(
            f"{payment} was answered by version {version}, and you walk to version {found.get('version')}: you ask {who}.",
            "lineage.py: the log names the version that answered, row by row (column model_version)",
        )
    facts, tags = _sealed(at, version), at.registry.version(version).tags
    for name in ("data_digest", "code_revision"):
        if found.get(name) != facts[name] and found.get(name) == tags.get(name):
            raise Incorrect(
                f"{name} of version {version} is “{found.get(name)}” in MLflow's tags, which anybody may edit, and somebody did.",
                "lineage.py: which copy could nobody change unseen? `registry.download`, `verify_bundle`, then FACTS",
            )
    if found.get("run_id") != facts["run_id"]:
        raise Incorrect(
            f"Not the run that made version {version}: the ledger names the training as a whole, the version the run that holds its files.",
            "lineage.py: run_id; `lab registry` lists versions with their runs",
        )
    for name in ("data_digest", "code_revision"):
        if found.get(name) != facts[name]:
            raise Incorrect(f"{name} is not what was sealed with version {version}.", f"lineage.py: {name}; FACTS in the version's files")
    if found.get("score") != score:
        raise Incorrect(
            f"Version {version} gave {payment} the score {score:.6g}, and you {found.get('score')}: other features, or another model.",
            "lineage.py: score; the row of window_matrix that is this payment's, through Model.load(folder, version).score_many",
        )


def _sealed(at: Workplace, version: str) -> dict[str, Any]:
    """What was sealed with a version, its seal verified."""
    with tempfile.TemporaryDirectory() as name:
        at.registry.download(version, folder := Path(name))
        verify_bundle(folder, key_folder=at.settings.home / "keys")
        return dict(json.loads((folder / FACTS).read_text()))
