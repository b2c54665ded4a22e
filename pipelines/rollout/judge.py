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
from pipelines.rollout.sequential import OddsTest, count_needed, rejects

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
    label_watermark: str  # payments up to it have been judged on their labels; none of a younger one is ever used

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
    harmed = harm(learned, plan)
    if harmed:
        harmed += unexplained(learned, plan)  # what was odd before may be why: scores three times too high want another calibration
    findings: tuple[tuple[Verdict, list[str]], ...] = (
        ("roll_back", broken(learned, plan)),
        ("pause", withheld(learned, plan)),
        ("roll_back", harmed),
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
    if learned.failures.poisoned:
        found.append(f"{learned.failures.poisoned} score(s) of the challenger are no probability")
    if learned.latency.impossible:
        found.append(f"{learned.latency.impossible} answer(s) took a time that is none")
    if learned.trouble:
        found.append(f"the service took the challenger out: {learned.trouble}")
    found += [f"{what}: blind for too long" for what, periods in _silences(learned, plan) if periods >= PERIODS_UNTIL_ROLL_BACK]
    return found


def withheld(learned: Learned, plan: RolloutPlan) -> list[str]:
    """Why this evidence allows no verdict on the model, not even a bad one."""
    found = [f"{what}: waiting" for what, periods in _silences(learned, plan) if periods >= 1]
    if learned.wrong:
        found.append(f"{learned.wrong:,} payment(s) were answered by another model or arm than the plan says")
    ratio = learned.sample_ratio.test
    if rejects(ratio.log_e, plan.budgets.sample_ratio):
        found.append(
            f"sample-ratio mismatch: {ratio.heads:,} cards of the challenger, {ratio.tails:,} of the champion ({_odds(ratio.log_e)})"
        )
    return found


def harm(learned: Learned, plan: RolloutPlan) -> list[str]:
    """Guardrails of the model that have tripped, each with its odds against chance."""
    budgets, latency, alerts, found = plan.budgets, learned.latency, learned.alerts, []
    if rejects(learned.failures.more.log_e, budgets.errors):
        failures = learned.failures.more
        found.append(f"failures: on {failures.heads} cards its own, on {failures.tails} the champion's ({_odds(failures.log_e)})")
    if rejects(latency.slower.log_e, budgets.latency / 4):
        found.append(f"slow answers: {latency.slower.heads} its own, {latency.slower.tails} the champion's ({_odds(latency.slower.log_e)})")
    if rejects(latency.slow.log_e, budgets.latency / 2) and not _champion_slow(learned, plan):
        found.append(f"{_share(latency.slow)} of its answers took more than {plan.slow_ms:g} ms ({_odds(latency.slow.log_e)})")
    if rejects(alerts.too_many, budgets.alerts / 2):
        found.append(f"too many alerts: {alerts.told()} ({_odds(alerts.too_many)})")
    if rejects(alerts.too_few, budgets.alerts / 2):
        found.append(f"hardly any alerts: {alerts.told()} ({_odds(alerts.too_few)})")
    if rejects(learned.money.worse, budgets.money):
        found.append(f"it costs more: {_money(learned, plan)} ({_odds(learned.money.worse)})")
    return found


def unexplained(learned: Learned, plan: RolloutPlan) -> list[str]:
    """What is no harm shown, but must be understood before the rollout goes on."""
    found = []
    if _champion_slow(learned, plan):
        share = _share(learned.latency.champion_slow)
        found.append(f"{share} of the champion's own answers took more than {plan.slow_ms:g} ms: too little machine for two models")
    worth_it = _worth_shown(learned, plan)
    if rejects(_other_alerts(learned), plan.budgets.alerts / 2) and not worth_it:
        found.append(f"it alerts on other payments, {learned.alerts.told()}: labels must say whether they are worth it")
    if rejects(learned.scores.log_e, plan.budgets.scores) and not (worth_it and rejects(learned.calibrated.log_e, plan.promotion_alpha)):
        right = f"labels must say that they are right and worth it ({learned.calibrated.told()})"
        found.append(f"its scores are {learned.scores.told()} on the same payments: recalibrate it, or {right}")
    return found


def missing(learned: Learned, plan: RolloutPlan, step: Step) -> list[str]:
    """Evidence that the step still needs before it may be left: enough payments, and each "no worse than" under its margin."""
    found = _margins(learned, plan, step)
    if learned.step_payments < step.min_payments:
        found = [f"{learned.step_payments:,} of {step.min_payments:,} payments"]
    if step.needs_money and not _worth_shown(learned, plan):
        money = learned.money
        least = f"at least {plan.min_matured_payments:,} and {plan.min_matured_frauds}"
        known = f"{money.payments:,} matured payments with {money.frauds} frauds ({least})"
        found.append(f"not yet shown to cost no more: {known}; {_money(learned, plan)}")
    return found


def _margins(learned: Learned, plan: RolloutPlan, step: Step) -> list[str]:
    """Which upper limits are not under their margins yet: an e-process against "over the margin" is that limit, read the other way."""
    found, alpha, slow = [], plan.promotion_alpha, learned.latency.slow
    if not rejects(learned.failures.no_more.log_e, alpha):
        least = math.log(1 / alpha) / math.log1p(plan.error_margin)  # no bet grows faster than by all it has, payment for payment
        found.append(
            f"not yet shown to fail on at most {100 * plan.error_margin:g}% of payments more than the champion: "
            f"that takes more than {math.floor(least):,} without a failure"
        )
    if not rejects(learned.alerts.bearable, alpha):
        found.append(f"not yet shown to alert no more than can be reviewed: {learned.alerts.told()}")
    if step.mode != "shadow" and not rejects(learned.latency.no_slower.log_e, alpha):
        seen = f"{slow.heads} of {slow.heads + slow.tails} were"
        found.append(f"not yet shown that at most {plan.slow_margin:.0%} of its answers are slow: {seen}")
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
    return rejects(learned.latency.champion_slow.log_e, plan.budgets.latency / 4)


def _other_alerts(learned: Learned) -> float:
    return max(learned.alerts.more.log_e, learned.alerts.fewer.log_e)


def _share(coins: OddsTest) -> str:
    return f"{coins.heads / max(coins.heads + coins.tails, 1):.1%}"


def _money(learned: Learned, plan: RolloutPlan) -> str:
    value, low, high = learned.money.per_thousand(plan.promotion_alpha)
    if not math.isfinite(low):
        return "no labels have matured"
    return f"{value:+.0f} EUR per thousand payments ({low:+.0f} to {high:+.0f})"


def _odds(log_e: float) -> str:
    """An e-value as odds against the null, in words."""
    return f"{math.exp(log_e):,.0f} to 1" if log_e < math.log(1e6) else "over a million to 1"


def _judgement(learned: Learned, plan: RolloutPlan, step: Step, verdict: Verdict, reasons: list[str]) -> Judgement:
    latency = learned.latency
    logs = {
        "errors": learned.failures.more.log_e,
        "latency": max(latency.slower.log_e, latency.slow.log_e),
        "alerts": _other_alerts(learned),
        "scores": learned.scores.log_e,
        "sample_ratio": learned.sample_ratio.test.log_e,
        "costs_more": learned.money.worse,
        "fails_no_more": learned.failures.no_more.log_e,
        "alerts_no_more": learned.alerts.bearable,
        "slow_no_more": latency.no_slower.log_e,
        "costs_no_more": learned.money.not_worse.log_e,
        "miscalibrated_no_more": learned.calibrated.log_e,
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
        label_watermark=learned.label_watermark.isoformat(),
    )
