"""The judge: from what a rollout has seen to one verdict with its numbers. Pure; it acts on nothing and reads no clock.

    roll_back     the challenger is shown to harm, or nobody can see what it does (fail closed)
    pause         what there is may not be trusted, or must be understood first: nothing moves until its cause is gone
    hold          no verdict yet: all is well and evidence is still missing
    inconclusive  the step's time is up and it still pauses or holds: the champion stays, and that is an honest end
    advance       the step has shown what it must; promote, after the last one

`controller.py` calls it after every look. The same log and plan give the same verdicts anywhere.
"""

import math
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from pipelines.rollout.evidence import Evidence
from pipelines.rollout.guardrails import Learned, observe
from pipelines.rollout.plan import RolloutPlan, Step
from pipelines.rollout.sequential import count_needed, rejects

Verdict = Literal["promote", "advance", "roll_back", "inconclusive", "pause", "hold"]
UNDECIDED: Final = ("pause", "hold")  # the step goes on
PERIODS_UNTIL_ROLL_BACK = 3  # of silence; the first one pauses


@dataclass(frozen=True)
class Judgement:
    """One look: the verdict, why, and the numbers that the canary timeline shows."""

    at: str  # event time, ISO 8601
    step: str
    share: float
    payments: int  # counted in this step
    verdict: Verdict
    reasons: tuple[str, ...]
    e_values: dict[str, float]  # per guardrail, log10: 3 is "1,000 to 1 against nothing being wrong"
    money_per_thousand: tuple[float, float, float] | None  # EUR per thousand payments, challenger less champion, and its interval
    matured_payments: int
    matured_frauds: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(learned: Learned, evidence: Evidence, plan: RolloutPlan) -> tuple[Learned, Judgement]:
    """Take the evidence in and judge; the first of these that has something to say decides.

    An error budget is spent per guardrail over the whole rollout (`plan.budgets`), however often this is called.
    """
    learned = observe(learned, evidence, plan)
    step = plan.steps[learned.step]
    silent = any(periods >= 1 for _, periods in _silences(learned, plan))  # ends by itself: heard again, or rolled back
    late = learned.now - learned.step_started >= timedelta(days=step.max_days) and not silent
    last = learned.step == len(plan.steps) - 1
    findings: tuple[tuple[Verdict, list[str]], ...] = (
        ("roll_back", broken(learned, plan)),
        ("pause", withheld(learned, plan)),
        ("roll_back", harm(learned, plan)),
        ("pause", unexplained(learned, plan)),
        ("hold", missing(learned, plan, step)),
    )
    verdict: Verdict = "promote" if last else "advance"
    reasons = [f"{learned.step_payments:,} payments, no guardrail tripped", *worth(learned, plan)]
    for finding, found in findings:
        if found:
            verdict, reasons = finding, found
            break
    if verdict in UNDECIDED and late:
        verdict, reasons = "inconclusive", [f"{step.name} is over after {step.max_days:g} days", *reasons, *still_needed(learned, plan)]
    return learned, _judgement(learned, plan, step, verdict, reasons)


def broken(learned: Learned, plan: RolloutPlan) -> list[str]:
    """What needs no statistics."""
    found = []
    if learned.poisoned:
        found.append(f"{learned.poisoned} score(s) of the challenger are no probability")
    if learned.trouble:
        found.append(f"the service took the challenger out: {learned.trouble}")
    found += [f"{what}: blind for too long" for what, periods in _silences(learned, plan) if periods >= PERIODS_UNTIL_ROLL_BACK]
    return found


def withheld(learned: Learned, plan: RolloutPlan) -> list[str]:
    """Why this evidence allows no verdict on the model, not even a bad one."""
    found = [f"{what}: waiting" for what, periods in _silences(learned, plan) if periods >= 1]
    if learned.wrong:
        found.append(f"{learned.wrong:,} payment(s) were answered by another model or arm than the plan says")
    ratio = learned.sample_ratio
    if rejects(ratio.log_e, plan.budgets.sample_ratio):
        found.append(
            f"sample-ratio mismatch: {ratio.heads:,} cards of the challenger, {ratio.tails:,} of the champion ({_odds(ratio.log_e)})"
        )
    return found


def harm(learned: Learned, plan: RolloutPlan) -> list[str]:
    """Guardrails of the model that have tripped, each with its odds against chance."""
    budgets, found = plan.budgets, []
    if rejects(learned.errors.log_e, budgets.errors):
        found.append(f"failures: {learned.errors.heads} its own, {learned.errors.tails} the champion's ({_odds(learned.errors.log_e)})")
    if rejects(learned.slower.log_e, budgets.latency / 2):
        found.append(f"slow answers: {learned.slower.heads} its own, {learned.slower.tails} the champion's ({_odds(learned.slower.log_e)})")
    if rejects(learned.slow.log_e, budgets.latency / 2) and not _champion_slow(learned, plan):
        share = learned.slow.heads / (learned.slow.heads + learned.slow.tails)
        found.append(f"{share:.1%} of its answers took more than {plan.slow_ms:g} ms ({_odds(learned.slow.log_e)})")
    if rejects(_too_many_alerts(learned), budgets.alerts / 2):
        found.append(f"too many alerts: {_alert_rates(learned)} ({_odds(_too_many_alerts(learned))})")
    if rejects(_too_few_alerts(learned), budgets.alerts / 2):
        found.append(f"hardly any alerts: {_alert_rates(learned)} ({_odds(_too_few_alerts(learned))})")
    if rejects(learned.money.worse.log_e, budgets.money):
        found.append(f"it costs more: {_money(learned, plan)} ({_odds(learned.money.worse.log_e)})")
    return found


def unexplained(learned: Learned, plan: RolloutPlan) -> list[str]:
    """What is no harm shown, but must be understood before the rollout goes on."""
    found = []
    factor = learned.challenger_scores / max(learned.champion_scores, 1e-9)
    half = plan.budgets.scores / 2
    if rejects(learned.higher_scores.log_e, half) or rejects(learned.lower_scores.log_e, half):
        found.append(f"its scores are {factor:.2g} times the champion's on the same payments: recalibrate it")
    if _champion_slow(learned, plan):
        share = learned.champion_slow.heads / (learned.champion_slow.heads + learned.champion_slow.tails)
        found.append(f"{share:.1%} of the champion's own answers took more than {plan.slow_ms:g} ms: too little machine for two models")
    return found


def missing(learned: Learned, plan: RolloutPlan, step: Step) -> list[str]:
    """Evidence that the step still needs before it may be left."""
    found = []
    if learned.step_payments < step.min_payments:
        found.append(f"{learned.step_payments:,} of {step.min_payments:,} payments")
    if step.needs_money and not _worth_shown(learned, plan):
        money = learned.money
        least = f"at least {plan.min_matured_payments:,} and {plan.min_matured_frauds}"
        known = f"{money.payments:,} matured payments with {money.frauds} frauds ({least})"
        found.append(f"not yet shown to cost no more: {known}; {_money(learned, plan)}")
    return found


def worth(learned: Learned, plan: RolloutPlan) -> list[str]:
    """What is known of its worth, when it is enough."""
    if not _worth_shown(learned, plan):
        return []
    return [f"costs at most {plan.money_margin:.0%} more: {_money(learned, plan)} ({_odds(learned.money.not_worse.log_e)} against more)"]


def still_needed(learned: Learned, plan: RolloutPlan) -> list[str]:
    """How much evidence would decide about money, if what was seen so far is what there is."""
    gain, money = learned.money.gain, learned.money
    count = count_needed(gain.mean, gain.variance, money.not_worse.bound, plan.promotion_alpha)
    if count is None or not gain.count or rejects(money.not_worse.log_e, plan.promotion_alpha):
        return []
    return [f"about {count * money.payments // gain.count:,} matured payments would decide at this effect; {money.payments:,} were there"]


def _worth_shown(learned: Learned, plan: RolloutPlan) -> bool:
    money = learned.money
    enough = money.payments >= plan.min_matured_payments and money.frauds >= plan.min_matured_frauds
    return enough and rejects(money.not_worse.log_e, plan.promotion_alpha)


def _silences(learned: Learned, plan: RolloutPlan) -> list[tuple[str, float]]:
    """(what is silent since when, how many periods of silence)."""
    payments = learned.now - learned.last_payment
    reports = learned.now - learned.last_report
    return [
        (f"no payment scored by both models since {learned.last_payment:%d %b %H:%M}", payments / timedelta(hours=plan.silence_hours)),
        (f"no label since {learned.last_report:%d %b %H:%M}", reports / timedelta(days=plan.label_silence_days)),
    ]


def _champion_slow(learned: Learned, plan: RolloutPlan) -> bool:
    return rejects(learned.champion_slow.log_e, plan.budgets.latency / 2)


def _too_many_alerts(learned: Learned) -> float:
    """Log e-value of "more than the champion, and more than can be reviewed": both nulls must fall, so the smaller one counts."""
    return min(learned.more_alerts.log_e, learned.over_ceiling.log_e)


def _too_few_alerts(learned: Learned) -> float:
    return min(learned.fewer_alerts.log_e, learned.under_floor.log_e)


def _alert_rates(learned: Learned) -> str:
    thousands = max(learned.paired, 1) / 1000
    return f"{learned.challenger_alerts / thousands:.1f} per thousand payments, the champion {learned.champion_alerts / thousands:.1f}"


def _money(learned: Learned, plan: RolloutPlan) -> str:
    value, low, high = learned.money.per_thousand(plan.promotion_alpha)
    if not math.isfinite(low):
        return "no labels have matured"
    return f"{value:+.0f} EUR per thousand payments ({low:+.0f} to {high:+.0f})"


def _odds(log_e: float) -> str:
    """An e-value as odds against the null, in words."""
    return f"{math.exp(log_e):,.0f} to 1" if log_e < math.log(1e6) else "over a million to 1"


def _judgement(learned: Learned, plan: RolloutPlan, step: Step, verdict: Verdict, reasons: list[str]) -> Judgement:
    logs = {
        "errors": learned.errors.log_e,
        "latency": max(learned.slower.log_e, learned.slow.log_e),
        "alerts": max(_too_many_alerts(learned), _too_few_alerts(learned)),
        "scores": max(learned.higher_scores.log_e, learned.lower_scores.log_e),
        "sample_ratio": learned.sample_ratio.log_e,
        "costs_more": learned.money.worse.log_e,
        "costs_no_more": learned.money.not_worse.log_e,
    }
    per_thousand = learned.money.per_thousand(plan.promotion_alpha)
    return Judgement(
        at=learned.now.isoformat(),
        step=step.name,
        share=step.share,
        payments=learned.step_payments,
        verdict=verdict,
        reasons=tuple(reasons),
        e_values={name: round(value / math.log(10), 3) for name, value in logs.items()},
        money_per_thousand=per_thousand if math.isfinite(per_thousand[1]) else None,
        matured_payments=learned.money.payments,
        matured_frauds=learned.money.frauds,
    )
