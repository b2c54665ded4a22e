"""The goals of the canary catalogue, H1 to H13: what this bench measured of them, and what the others wrote down."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from labs.contenders import SKEW
from tests.bench.canary_fair import OURS, Cell, find
from tests.bench.canary_guards import ALONE, Detection
from tests.bench.canary_money import Null, Worth
from tests.bench.canary_ramp import LEVELS, Level
from tests.bench.canary_replay import Replayed
from tests.bench.canary_rules import PLAN, RULES
from tests.bench.drift_goals import Goal, Rate

MANY: Final = 10_000  # rollouts before a false-rollback rate may be called reached
EXPOSURE: Final = {1.0: 2, 0.3: 7, 0.05: 55, 0.01: 900}  # failing share of the canary -> median requests it may answer
SLOW: Final = {0.02: 1_300, 0.05: 150, 0.2: 20}
ELSEWHERE: Final = {  # goals that another bench measures, its file, what they are, and its command
    "H5": ("rollout", "rollback time", "≤ 50 ms p99; ≤ 1 s from the first bad answer", "python -m tests.bench rollout"),
    "H6": ("rollout", "answers that are no number", "0 of 10⁶ fuzzed outputs", "python -m tests.bench rollout"),
    "H8": ("experiments", "paired against split", "7–14 times, on the user's own models", "python -m tests.bench experiments"),
    "H9": ("rollout", "killed at any point", "500 kills, one champion, no line lost", "python -m tests.bench rollout"),
    "H11": ("canaries", "the catalogue in CI", "≤ 60 s on 2 cores, no flake", "python -m tests.bench canaries"),
}


def judge_false(rates: Mapping[float, Rate]) -> Goal:
    """H1."""
    together = sum(rates.values(), Rate(0, 0))
    worst = max(rates.values(), key=lambda rate: rate.value)
    kept = together.value <= 0.01 and together.high <= 0.012
    reached = False if worst.low > 0.01 or together.low > 0.01 else (kept if together.of >= MANY else None)
    told = f"{together.percent()}; worst base rate {worst.percent()}"
    return Goal(
        "H1", "false rollbacks, both models fail on 0.02 to 5 %, every request looked at", "≤ 1 %, upper limit ≤ 1.2 %", told, reached
    )


def judge_alerts(rates: Mapping[str, Rate]) -> Goal:
    """H1, too: the guard of alerts spends a tenth of the budget of 1 % on each direction."""
    most = PLAN.budgets.alerts / 2
    told = "; ".join(f"{name} {rate.percent()}" for name, rate in rates.items())
    reached = False if any(rate.low > most for rate in rates.values()) else None if min(r.of for r in rates.values()) < 2_000 else True
    return Goal("H1", "false alarms of the guard of alerts, replayed, sprees included", f"not above its {most:.1%}", told, reached)


def judge_exposure(cells: list[Cell]) -> Goal:
    """H2, on the product's own facts; the text has what the same test shows on the others'."""
    told, reached = [], True
    for canary, most in EXPOSURE.items():
        ours, split = (find(cells, Level(0.002, canary), rule) for rule in (OURS, "ours, split only"))
        told.append(f"{canary:.0%}: {ours.median:,.0f} (p95 {ours.late:,.0f}; split only {split.median:,.0f})")
        reached &= ours.stopped.value > 0.99 and ours.median <= most and ours.late <= 3 * most
    return Goal(
        "H2", "canary requests before a rollback, median", "100 %: 2, 30 %: 7, 5 %: 55, 1 %: 900; p95 within 3×", "; ".join(told), reached
    )


def judge_latency(found: Sequence[Detection], on_ramp: Sequence[Detection]) -> list[Goal]:
    """H3, as the product runs its guards, and as the catalogue's table has it: one test of the canary's answers, with 1 % to spend."""
    target = "2 %: 1,300, 5 %: 150, 20 %: 20 canary requests; false alarms ≤ 0.5 %"
    by_budget = {budget: [one for one in found if one.budget == budget] for budget in (PLAN.budgets.latency / 2, ALONE)}
    told, reached = _latency(list(on_ramp))
    objective = f"the objective's test alone, at its {PLAN.budgets.latency / 2:.1%}: {_latency(by_budget[PLAN.budgets.latency / 2])[0]}"
    return [
        Goal("H3", "both latency guards on the ramp, the champion slow on 0.2 %", target, f"{told}; {objective}", reached),
        Goal("H3", f"“at most 1 % are slow”, alone at {ALONE:.0%}", target, *_latency(by_budget[ALONE])),
    ]


def _latency(found: list[Detection]) -> tuple[str, bool | None]:
    """The first has no fault; the last three are the targets'."""
    quiet, slow = found[0], found[-3:]
    reached = all(one.median <= most for one, most in zip(slow, SLOW.values(), strict=True)) and quiet.found.value <= 0.005
    told = ", ".join(f"{one.median:,.0f} (p95 {one.late:,.0f})" for one in slow)
    return f"{told}, false {quiet.found.percent()}", reached


def judge_split(found: Sequence[Detection]) -> Goal:
    """H4."""
    quiet = sum((one.found for one in found[:2]), Rate(0, 0))
    off = next(one for one in found if one.truth == "12% for 10%")
    reached = quiet.low <= 0.002 and quiet.value <= 0.002 and off.median <= 4_000
    return Goal(
        "H4",
        "sample ratio, every tenth of 20,000 requests looked at",
        "≤ 0.2 % false; 12 for 10 % within 4,000",
        f"{quiet.percent()} false; {off.median:,.0f} (p95 {off.late:,.0f})",
        reached,
    )


def judge_money(worths: Sequence[Worth], null: Null) -> Goal:
    """H7. The count-weighted test alone reaches it; the labelled correction was not needed and is not built."""
    skew = next(worth for worth in worths if worth.challenger == SKEW)
    rate, median = skew.worse
    reached = rate.value > 0.5 and median <= 15_000 and null.worse.low <= 0.05
    beside = f"in money alone {skew.in_money[1]:,.0f}; at the plan's 0.1 % {skew.in_plan[1]:,.0f}"
    told = f"{median:,.0f} payments ({rate.value:.0%} of replays; {beside})"
    return Goal(
        "H7",
        "skewed features told by labels, at 5 %, each missed fraud counting the same",
        "≤ 15,000 replayed payments; ≤ 5 % of 2,000 null replays",
        f"{told}; null: {null.worse.percent()}",
        reached,
    )


def judge_replay(again: Replayed, poisoned: Replayed) -> list[Goal]:
    """H10 and H12."""
    same = f"{again.same} of {again.judgements} judgements of {again.rollouts} rollouts, in another process with the log alone"
    told = f"{poisoned.same} of {poisoned.judgements} judgements the same when every payment becomes a fraud a second later"
    return [
        Goal("H10", "replay of a stored log", "all decisions identical, to the last digit", same, again.same == again.judgements),
        Goal("H12", "labels used before their time", "none: a poisoned future changes nothing", told, poisoned.same == poisoned.judgements),
    ]


def judge_comparison(cells: Sequence[Cell], page: Path) -> Goal:
    """H13."""
    measured = len({(cell.level, cell.rule) for cell in cells})
    told = f"{len(RULES)} rules on {len(LEVELS)} levels, {cells[0].stopped.of:,} rollouts each: {page.name}"
    return Goal(
        "H13", "ours beside Argo-, Flagger- and Kayenta-like rules", "9 levels, false rollbacks beside exposure", told, measured == 63
    )


def from_elsewhere(folder: Path) -> list[Goal]:
    """The goals of other benches, from what they wrote under `folder`; not measured where they wrote nothing."""
    goals = []
    for name, (file, what, target, command) in ELSEWHERE.items():
        path = folder / f"{file}.json"
        told = json.loads(path.read_text()).get("goals", []) if path.exists() else []
        mine = [
            Goal(goal["name"], goal["what"], goal["target"], goal["measured"], goal["reached"]) for goal in told if goal["name"] == name
        ]
        goals += mine or [Goal(name, what, target, f"`{command}` measures it", None)]
    return goals
