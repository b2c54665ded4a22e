"""L15: the learner's counting and judging are tried on this system's payments, the releases are read from its ledger and its log."""

import json
import re
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from data.prediction_frames import window_matrix
from data.registry import CHAMPION
from data.rules import rule_severity
from data.serving_plan import ServingPlan
from labs.canaries.catalogue import CANARIES
from labs.canaries.played import FAILING
from labs.engine import Incorrect, NotStarted, Passed, Workplace
from labs.rollout import log_evidence
from labs.stream import midnight
from labs.versions import load_version
from pipelines.rollout.plan import RolloutPlan, Step

Ends = Literal["promote", "roll_back", "inconclusive"]
Reaches = Literal["nobody", "few", "many"]
LETTERS = "ABCDE"
FAULTS = {"A": None, "B": "lost_calibrator", "C": "errors_5", "D": "slow_20", "E": None}
RESULT = {"promoted": "promote", "rolled_back": "roll_back", "inconclusive": "inconclusive"}
PER_DAY = 6_300  # payments; what the plan's comment says
FEW = PER_DAY // 100
OBJECTIVE_US = 50_000  # p99
WANTED_SHARES = [0.0, 0.01, 0.05, 0.25, 0.5, 1.0]
SHOWS = (0.001, 0.05, 0.01, 0.005, 0.005, 0.005)  # failing shares that each step is to show
MOST_DAYS = (3.0, 7.0, 25.0, 4.0, 4.0, 4.0)


class Predictions(BaseModel, extra="forbid"):
    """predictions.toml."""

    A_ends: Ends
    A_reaches: Reaches
    B_ends: Ends
    B_reaches: Reaches
    C_ends: Ends
    C_reaches: Reaches
    D_ends: Ends
    D_reaches: Reaches
    E_ends: Ends
    E_reaches: Reaches


class Story(BaseModel, extra="forbid"):
    """release.toml."""

    B_exposed: int = Field(ge=0)
    C_exposed: int = Field(ge=0)
    C_failed: int = Field(ge=0)
    D_exposed: int = Field(ge=0)
    E_days: int = Field(ge=0)
    E_waited: str


class Release(NamedTuple):
    """One rollout as the ledger has it."""

    rollout_id: str
    fault: str | None  # injected into the challenger meanwhile
    facts: dict[str, Any]  # of its beginning
    verdicts: list[dict[str, Any]]
    end: dict[str, Any]
    began: datetime
    ended: datetime

    @property
    def _last(self) -> dict[str, dict[str, Any]]:
        """The last verdict of each step."""
        return {verdict["step"]: verdict for verdict in self.verdicts}

    @property
    def exposed(self) -> int:
        """Payments of the challenger's cards."""
        return sum(verdict["payments"] for verdict in self._last.values() if verdict["share"] > 0)

    @property
    def scored(self) -> int:
        """Payments that it scored in its shadow."""
        return sum(verdict["payments"] for verdict in self._last.values() if verdict["share"] == 0)

    @property
    def longest(self) -> str:
        """The step that took longest."""
        ends = [datetime.fromisoformat(verdict["at"]) for verdict in self._last.values()]
        took = [end - begin for begin, end in zip([self.began, *ends], ends, strict=False)]
        return list(self._last)[took.index(max(took))]

    @property
    def result(self) -> str:
        return RESULT.get(self.end["result"], "aborted")

    @property
    def reached(self) -> str:
        return "nobody" if not self.exposed else "few" if self.exposed < FEW else "many"


# ---- 1 the shadow


def shadow_is_silent(at: Workplace) -> Passed:
    release = _release(at, "A")
    rows, truth = _shadow(at, release)
    if len(rows) < 1_000:
        said = "; ".join(release.end["reasons"])
        raise Incorrect(
            f"In release A the challenger scored {len(rows):,} payments: {said}.", "`lab status`, then `python release.py A` again"
        )
    if (rows["arm"] != "champion").any() or (truth.decision != truth.champion_decision)[~rows["held_out"].to_numpy()].any():
        raise Incorrect("In release A the challenger answered somebody.", "`lab rollout story` of A; `python release.py` names it")
    policies = [load_version(at.settings, at.registry, release.facts[arm]).policy for arm in ("champion", "challenger")]
    told = at.load("disagree.py").call(
        "disagree",
        {"champion_score": truth.champion_score, "challenger_score": truth.challenger_score, "decision": truth.decision}
        | {"rules": rule_severity(window_matrix(at.log, release.began, release.ended)[rows.index])},
        *({"review_at": policy.review_at, "decline_at": policy.decline_at} for policy in policies),
    )
    old, new = truth.champion_decision > 0, truth.challenger_decision > 0
    ours = {"both": old & new, "champion_only": old & ~new, "challenger_only": new & ~old}
    counts = {name: 1000 * float(which.mean()) for name, which in ours.items()}
    if not isinstance(told, dict) or told.keys() != ours.keys():
        raise Incorrect("`disagree` is to answer with both, champion_only and challenger_only.", "disagree.py: what it returns")
    if any(abs(told[name] - counts[name]) > 1e-6 for name in ours):
        _name_the_disagreement(told, truth, policies)
    quiet = at.served(release.began - timedelta(days=7), release.began)["latency_us"]
    beside = rows["latency_us"]
    if beside.quantile(0.99) > OBJECTIVE_US:
        raise Incorrect("With the shadow, more than 1 % of answers take longer than 50 ms: too little machine.", "`lab rollout story`")
    return Passed(counts | {"alone_us": float(quiet.median()), "beside_us": float(beside.median())})


def _name_the_disagreement(told: dict[str, float], truth: Any, policies: list[Any]) -> None:
    """Which mistake gives these counts."""
    old = truth.champion_decision > 0
    one = truth.challenger_score >= policies[0].review_at
    if abs(told["challenger_only"] - 1000 * float((one & ~(truth.decision > 0)).mean())) < 1e-6:
        raise Incorrect(
            "It cuts the challenger's scores at the champion's threshold; the challenger would act at its own.",
            "disagree.py: which policy is whose?",
        )
    bare = truth.challenger_score >= policies[1].review_at
    if abs(told["champion_only"] - 1000 * float((old & ~bare).mean())) < 1e-6:
        raise Incorrect(
            "It forgets the rules: what they ask for holds for either model, and is no disagreement.", "disagree.py: `rules`, for both"
        )
    raise Incorrect("These are not the payments on which the two would act otherwise.", "disagree.py: an alert is a review or a decline")


def _shadow(at: Workplace, release: Release) -> tuple[pd.DataFrame, Any]:
    """The payments of a release's shadow: the log's rows, and what either model made of them."""
    evidence = log_evidence(at.settings, at.registry, (release.facts["champion"], release.facts["challenger"]), lambda: "")
    served = evidence.served(release.began, release.ended)
    frame = at.served(release.began, release.ended)
    chosen = (frame["rollout_id"].astype(str) == release.rollout_id).to_numpy() & np.isfinite(served.challenger_score)
    return frame[chosen], served.where(chosen)


# ---- 2 the right arm


def right_arm(at: Workplace) -> Passed:
    log, plan, truth = _canary_day(at)
    told = at.load("arms.py").call("arms", log, plan, timeout_s=15)
    try:
        found = {arm: (int(told[arm][0]), int(told[arm][1])) for arm in ("challenger", "champion")}
    except (TypeError, KeyError, IndexError, ValueError):
        raise Incorrect("`arms` is to answer with (failed, payments) of challenger and champion.", "arms.py: what it returns") from None
    if found == truth:
        return Passed({"arm_rate": 100 * truth["challenger"][0] / truth["challenger"][1], "diluted_rate": _diluted(log, plan)})
    during = log[log["epoch"] == plan.epoch]
    failed, payments = found["challenger"]
    if payments >= len(during):
        raise Incorrect(
            f"It judges all {payments:,} payments since the canary began. The challenger was given {truth['challenger'][1]:,}; "
            "the others hide what it does.",
            "arms.py: whose card is it? `plan.arm(card_id)`",
        )
    if payments == int((during["arm"] == "challenger").sum()):
        raise Incorrect(
            f"By who answered, the challenger failed {failed} times: where it fails, the champion answers. "
            "Count its cards, not its answers.",
            "arms.py: `arm` is what came of it, `plan.arm` what was meant",
        )
    asked = during[during["challenger_version"].notna()]
    if found["challenger"][1] + found["champion"][1] == len(during) > len(asked):
        raise Incorrect(
            f"{len(during) - len(asked)} payments came while the challenger was taken out: nobody asked it, so it did not fail.",
            "arms.py: `challenger_version` is None there",
        )
    if payments > truth["challenger"][1]:
        raise Incorrect(
            f"{payments - truth['challenger'][1]:,} of its payments belong to another step or another rollout, with another draw of cards.",
            "arms.py: `epoch` and `rollout_id` of the plan",
        )
    arm = next(name for name in truth if found[name] != truth[name])
    raise Incorrect(
        f"It counts {found[arm][0]:,} failures on {found[arm][1]:,} payments of the {arm}'s cards; the log has another number.",
        "arms.py: a failure is a NaN, of that arm's model",
    )


def _canary_day(at: Workplace) -> tuple[pd.DataFrame, ServingPlan, dict[str, tuple[int, int]]]:
    """A day of this log as a canary of 5 % on a challenger that fails on 5 % would have left it, and the right counts."""
    week = _week(at)
    random = np.random.Generator(np.random.Philox(15))
    rows = week.iloc[:20_000][["card_id"]].astype(str).assign(rollout_id="rollout-1", epoch=1, arm="champion", challenger_version="2")
    step, other = ServingPlan(2, "1", "2", "canary", 0.05, "rollout-1"), ServingPlan(4, "1", "2", "canary", 0.05, "rollout-2")
    score = random.random((2, len(rows)))
    fails = random.random((2, len(rows))) < [[FAILING], [CANARIES["errors_5"].fault.fails]]
    rows["champion_score"], rows["challenger_score"] = np.where(fails, np.nan, score)
    rows.iloc[6_000:14_000, rows.columns.get_loc("epoch")] = step.epoch
    rows.iloc[14_000:, rows.columns.get_loc("epoch")] = other.epoch
    rows.iloc[14_000:, rows.columns.get_loc("rollout_id")] = other.rollout_id
    for plan in (step, other):
        mine = (rows["epoch"] == plan.epoch) & (rows["card_id"].map(plan.arm) == "challenger")
        rows.loc[mine & rows["challenger_score"].notna(), "arm"] = "challenger"
    rows.iloc[13_000:13_400, rows.columns.get_loc("challenger_version")] = None  # the service had taken it out
    rows.iloc[13_000:13_400, rows.columns.get_loc("challenger_score")] = np.nan
    rows.iloc[13_000:13_400, rows.columns.get_loc("arm")] = "champion"
    asked = rows[(rows["epoch"] == step.epoch) & rows["challenger_version"].notna()]
    whose = asked["card_id"].map(step.arm)
    truth = {}
    for arm in ("challenger", "champion"):
        of_arm = asked.loc[whose == arm, f"{arm}_score"]
        truth[arm] = (int(of_arm.isna().sum()), len(of_arm))
    return rows, step, truth


def _diluted(log: pd.DataFrame, plan: ServingPlan) -> float:
    """Failures that callers would have met, had nobody stepped in, in percent of all payments of the step."""
    during = log[log["epoch"] == plan.epoch]
    score = np.where(during["card_id"].map(plan.arm) == "challenger", during["challenger_score"], during["champion_score"])
    return 100 * float(np.isnan(score).mean())


# ---- 3 the rule


def rule_holds(at: Workplace) -> Passed:
    code, replays = at.load("judge.py"), at.given("replays.py")
    week = replays.Week.of(_week(at))

    def rule(*seen: Any) -> Any:
        return code.call("verdict", *seen)

    def judged(name: str) -> Any:
        try:
            return replays.judge_all(rule, week, replays.SETTINGS[name])
        except ValueError as error:
            raise Incorrect(f"{error}.", "judge.py: what it returns, and when") from None

    same, scarce = judged("itself"), judged("scarce")
    if same.share("roll_back") > 0.03:
        raise Incorrect(
            f"It rolled back {same.share('roll_back'):.0%} of {len(same.verdicts)} challengers that were the champion itself. "
            "Every look is one more chance to be unlucky.",
            "judge.py: a test that may be looked at any number of times: pipelines/rollout/sequential.py",
        )
    if scarce.share("inconclusive") < 0.9:
        wrong = max(("promote", "roll_back"), key=scarce.verdicts.count)
        raise Incorrect(
            f"After a day at 1 % of cards, some 60 payments, it said {wrong} in {scarce.share(wrong):.0%} of replays. "
            "One that fails on 2 % shows no failure among 60 in three of ten cases: nothing was shown, either way.",
            "judge.py: what must be shown before you promote? To find no difference is not it.",
        )
    exposed = {}
    for name, most in (("crash", 60), ("faulty", 400)):
        found = judged(name)
        exposed[name] = float(np.median(found.exposed))
        if found.share("roll_back") < 0.9 or exposed[name] > most:
            raise Incorrect(
                f"A challenger that fails on {CANARIES[replays.SETTINGS[name].canary].fault.fails:.0%} met {exposed[name]:,.0f} payments "
                f"(the median) and was rolled back in {found.share('roll_back'):.0%} of replays; {most} are enough.",
                "judge.py: a crash waits neither for the end of the week nor for a least number of payments",
            )
    bleeding = judged("bleeding")
    if bleeding.share("promote") > 0.1:
        raise Incorrect(
            f"It promoted {bleeding.share('promote'):.0%} of challengers that fail on 1 % of payments, "
            "five times as often as the champion.",
            "judge.py: promote when `more than MARGIN` is refuted, not when nothing else was found",
        )
    if same.share("promote") < 0.8:
        raise Incorrect(
            f"After a week at 5 % it promotes {same.share('promote'):.0%} of challengers that are the champion itself.",
            "judge.py: 2,000 payments with four failures do show that fewer than 1 % fail",
        )
    naive = replays.judge_all(at.given("judge.py").verdict, week, replays.SETTINGS["itself"])
    return Passed(
        {"false_rollbacks": 100 * same.share("roll_back"), "naive_rollbacks": 100 * naive.share("roll_back")}
        | {"exposed_30": exposed["crash"], "exposed_5": exposed["faulty"], "bleeding_promoted": 100 * bleeding.share("promote")}
    )


def _week(at: Workplace) -> pd.DataFrame:
    """The week that the champion served alone."""
    began = midnight(at.stream.live)
    return at.served(began, began + timedelta(days=7))


# ---- 4 the plan


def plan_is_sound(at: Workplace) -> Passed:
    plan = RolloutPlan.load(at.file("plan.toml"))
    shares = [step.share for step in plan.steps]
    if shares != WANTED_SHARES:
        agreed = [*pairwise(WANTED_SHARES)]
        jumps = [f"goes from {old:.0%} to {new:.0%} of cards" for old, new in pairwise(shares) if (old, new) not in agreed]
        raise Incorrect(
            f"It {jumps[0] if jumps else f'ends at {shares[-1]:.0%}'}; agreed were 0, 1, 5, 25, 50 and 100 %.",
            "plan.toml: `share` of each step",
        )
    for step, shows, most in zip(plan.steps, SHOWS, MOST_DAYS, strict=True):
        _look_at(step, shows, most)
    early = [step.name for step in plan.steps[2:] if not step.needs_money]
    if early:
        raise Incorrect(f"{early[0]} may be left before labels say that it costs no more.", "plan.toml: `needs_money`")
    return Passed({"unseen": 100 * (1 - SHOWS[1]) ** plan.steps[1].min_payments})


def _look_at(step: Step, shows: float, most_days: float) -> None:
    unseen, fewest = (1 - shows) ** step.min_payments, int(np.ceil(np.log(0.05) / np.log(1 - shows)))
    if unseen > 0.05 + 1e-9:
        raise Incorrect(
            f"{step.name}: of challengers that fail on {shows:.1%}, {unseen:.0%} get through {step.min_payments:,} payments "
            "without a failure.",
            "plan.toml: `min_payments`; (1 - p) ** n is to be 0.05 at most: about 3 / p",
        )
    daily = PER_DAY * (step.share or 1.0)
    if step.min_payments > daily * step.max_days / 2:
        raise Incorrect(
            f"{step.name} sees {daily:,.0f} payments a day: {step.min_payments:,} may not be there in {step.max_days:g} days, "
            "and the rollout would end inconclusive, whatever the challenger is.",
            f"plan.toml: `min_payments`; {fewest:,} are enough",
        )
    if step.max_days > most_days or (most_days == 25 and step.max_days < 25):
        raise Incorrect(f"{step.name} is to take {most_days:g} days at most.", "plan.toml: `max_days`, and what was agreed")


# ---- 5 and 6 the releases


def predicted_first(at: Workplace) -> Passed:
    told = at.answers("predictions.toml", Predictions).model_dump()
    try:
        said = json.loads((at.folder / "releases.json").read_text())["predictions"]
    except FileNotFoundError:
        raise NotStarted("Predict, then release: `python release.py A`.") from None
    except (ValueError, KeyError):
        raise Incorrect("releases.json is not what release.py wrote.", "`lab reset 15` begins again") from None
    if said != told:
        changed = next(key for key in told if said.get(key) != told[key])
        raise Incorrect(
            "A prediction was changed after the first release. A wrong guess teaches more than a right one written afterwards.",
            f"predictions.toml: {changed}; what you said first is in releases.json",
        )
    found = {letter: _release(at, letter) for letter in LETTERS}
    right = sum(told[f"{letter}_ends"] == one.result for letter, one in found.items())
    right += sum(told[f"{letter}_reaches"] == one.reached for letter, one in found.items())
    return Passed({"predicted_right": float(right)})


def released(at: Workplace) -> Passed:
    told = at.answers("release.toml", Story)
    found = {letter: _release(at, letter) for letter in LETTERS}
    last, passed = found["E"], [letter for letter in "BCD" if found[letter].result == "promote"]
    if passed:
        raise Incorrect(f"Release {passed[0]} has a fault, and it was promoted.", "plan.toml; then `lab reset 15`, and release again")
    if last.result != "promote":
        raise Incorrect(
            f"Release E ended {last.end['result'].replace('_', ' ')}: {'; '.join(last.end['reasons'])}.",
            "An honest end. What would it take? Change plan.toml, then `python release.py E`.",
        )
    if last.end["decided_by"] != "judge":
        raise Incorrect("E was promoted by an operator; no evidence was asked for.", "`lab reset 15`, and let the judge decide")
    if last.facts["plan_digest"] != RolloutPlan.load(at.file("plan.toml")).digest:
        raise Incorrect("E was released by another plan than plan.toml is now.", "`lab rollback --reason again`, `python release.py E`")
    serves = {str(at.registry.alias(CHAMPION)), str(at.ask("GET", "/v1/serving")["champion"])}
    if serves != {last.facts["challenger"]}:
        raise Incorrect(f"E was promoted, and version {' and '.join(sorted(serves))} serves.", "`lab registry`, `lab rollout status`")
    _hold_against(told, found)
    value = last.verdicts[-1]["money_per_thousand"][0]
    return Passed(
        {f"{letter.lower()}_exposed": float(found[letter].exposed) for letter in "BCDE"}
        | {"c_failed": float(told.C_failed), "e_days": float(told.E_days), "e_saves": -value}
        | {"e_odds": 10 ** last.verdicts[-1]["e_values"]["costs_no_more"]}
    )


def _hold_against(told: Story, found: dict[str, Release]) -> None:
    """The learner's numbers against the ledger's."""
    for letter in "BCD":
        said, one = getattr(told, f"{letter}_exposed"), found[letter]
        if said == one.exposed:
            continue
        if said >= one.scored:
            raise Incorrect(
                f"{letter} scored that many payments beside the champion; exposed are those that were its own to answer.",
                f"`lab rollout story {one.rollout_id}`: the verdicts of its canary steps alone",
            )
        raise Incorrect(f"{letter} was not given {said:,} payments.", f"`lab rollout story {one.rollout_id}`: its canary verdict")
    cards = re.search(r"failures: on ([\d,]+) cards", " ".join(found["C"].end["reasons"]))
    if cards is None or int(cards[1].replace(",", "")) != told.C_failed:
        raise Incorrect("C had not failed on that many cards.", f"`lab rollout story {found['C'].rollout_id}`: why it was rolled back")
    last = found["E"]
    if abs(told.E_days - (last.ended - last.began) / timedelta(days=1)) > 1:
        raise Incorrect(f"E did not take {told.E_days} days.", f"`lab rollout story {last.rollout_id}`: its first and its last line")
    if told.E_waited != last.longest:
        raise Incorrect(f"E did not stand longest in {told.E_waited}.", f"`lab rollout story {last.rollout_id}`: the dates on the left")


def _release(at: Workplace, letter: str) -> Release:
    """The last rollout of that letter, from the ledger alone. Raises NotStarted while there is none that ended."""
    shadow_only, fault = RolloutPlan.load(at.start / "shadow.toml").digest, None
    open_: dict[str, Release] = {}
    found: list[Release] = []
    for entry in at.ledger.entries():
        name = entry.facts.get("rollout_id", "")
        if entry.kind == "canary_injected":
            fault = entry.facts["canary"]
        elif entry.kind == "canary_stopped":
            fault = None
        elif entry.kind == "rollout_started":
            began = datetime.fromisoformat(entry.at)
            open_[name] = Release(name, fault, entry.facts, [], {}, began, began)
        elif entry.kind == "judgement" and name in open_:
            open_[name].verdicts.append({"at": entry.at, **entry.facts})
        elif entry.kind == "rollout_ended" and name in open_:
            found.append(open_.pop(name)._replace(end=entry.facts, ended=datetime.fromisoformat(entry.at)))
    mine = [one for one in found if one.fault == FAULTS[letter] and (one.facts["plan_digest"] == shadow_only) == (letter == "A")]
    if not mine:
        raise NotStarted(f"`python release.py {letter}`.")
    return mine[-1]
