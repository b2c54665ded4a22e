"""`lab ab interference`, `novelty` and `friction`: what people do to an experiment that looks sound."""

from dataclasses import asdict

import numpy as np

from data.costs import DecisionCosts
from data.settings import Settings
from labs.commands.ab_payments import payments_of, require_share
from labs.commands.ab_words import amount, change, signed
from labs.exercises.contract import plain
from labs.terminal import console, print_json, table
from pipelines.experiments import friction as customers
from pipelines.experiments import interference as network
from pipelines.experiments import novelty as learning

MOBILITIES = (0.0, 0.5, 1.0)
RINGS = 2_000
LENGTHS = (1, 3, 7, 14, 28)  # days
HOLDOUT = 0.05


def interference(recall: float, challenger_recall: float, part: float, runs: int, *, as_json: bool) -> None:
    """Print truth and measurement for each level of the split. Raises BadInput."""
    settings = Settings.load()
    found: dict[float, list[network.Bias]] = {}
    for mobility in MOBILITIES:
        rings = network.Rings(recall, challenger_recall, mobility, share=part)
        found[mobility] = [network.interference(rings, level, count=RINGS, runs=runs, seed=settings.seed) for level in network.LEVELS]
    if as_json:
        print_json(plain({"rings": RINGS, "runs": runs, "mobility": {key: [asdict(one) for one in some] for key, some in found.items()}}))
        return
    out = console()
    out.print(
        f"Simulated: {RINGS:,} rings of fraudsters. A stopped attempt burns the card; then the ring gives up, or goes on with another"
        f" card. The champion stops {recall:.0%} of attempts, the challenger {challenger_recall:.0%}. Change of the frauds let through:"
    )
    lines = table("goes on", "truth", "split by", "measured, 95 % of tests", "", "champion's arm")
    for mobility, some in found.items():
        for one in some:
            first = one is some[0]
            verdict = "wrong" if one.misleads else "right"
            lines.add_row(
                f"{mobility:.0%}" if first else "", signed(one.truth) if first else "", one.level, change(one.measured), verdict,
                signed(one.champion_arm),
            )  # fmt: skip
    out.print(lines)
    card, payment = found[1.0][0], found[0.0][1]
    out.print(
        f"\n[bold]Say it:[/] if fraudsters move on, a split by card reads {signed(card.measured.value)} where a launch brings"
        f" {signed(card.truth)}: fraud went to the champion's cards ({signed(card.champion_arm)} there) and was counted as prevented."
        f" If they give up, a split by payment reads {signed(payment.measured.value)} for {signed(payment.truth)}, as each catch protects"
        " the card in both arms. Only a split that they cannot cross is right both times: by ring, in practice by place or period."
    )


def novelty(part: float, frauds_per_day: float, runs: int, *, as_json: bool) -> None:
    """Print what tests of each length conclude, and what the launch brings. Raises BadInput."""
    require_share(part)
    settings, adversaries = Settings.load(), learning.Adversaries()
    trials = learning.short_and_long(adversaries, LENGTHS, share=part, frauds_per_day=frauds_per_day, runs=runs, seed=settings.seed)
    launch = learning.change_by_day(adversaries, 1 - HOLDOUT, LENGTHS[-1])
    alarm = learning.holdout_alarm(
        adversaries, kept=HOLDOUT, days=LENGTHS[-1], frauds_per_day=frauds_per_day, runs=runs, seed=settings.seed
    )
    if as_json:
        facts = {"adversaries": asdict(adversaries), "trials": [asdict(one) for one in trials]}
        print_json(plain(facts | {"launch_by_day": launch.tolist(), "holdout": HOLDOUT, "holdout_alarm_day": alarm}))
        return
    out = console()
    usual, other = zip(adversaries.champion, adversaries.challenger, strict=True)
    out.print(
        f"Simulated: fraudsters copy the tactic that pays. The usual one is stopped in {usual[0]:.0%} of tries by the champion and"
        f" {usual[1]:.0%} by the challenger, the other in {other[0]:.0%} and {other[1]:.0%}; {frauds_per_day:g} tries a day,"
        f" {part:.0%} of the cards for the challenger."
    )
    lines = table("test", "measured, 95 % of tests", "better", "worse", "true that day", "launched")
    for one in trials:
        lines.add_row(
            f"{one.days} d", change(one.measured), f"{one.better.value:.0%}", f"{one.worse.value:.0%}", signed(one.last_day),
            signed(launch[one.days - 1]),
        )  # fmt: skip
    out.print(lines)
    out.print("[dim]better, worse: how many tests say so; launched: the truth so many days after a launch to nearly all cards.[/]")
    week = next(one for one in trials if one.days == 7)
    last = trials[-1]
    seen = f"on day {alarm.value:.0f}" if np.isfinite(alarm.value) else f"not within {LENGTHS[-1]} days"
    out.print(
        f"\n[bold]Say it:[/] a test of a week measures {signed(week.measured.value)} frauds let through and says 'better' in"
        f" {week.better.value:.0%} of runs; four weeks measure {signed(last.measured.value)}. Fraudsters learn faster the more cards the"
        f" challenger answers: two weeks after a launch the change is {signed(launch[13])}. So I look at the effect by day, and keep"
        f" {HOLDOUT:.0%} of the cards on the champion after a launch: that shows it {seen}."
    )


def friction(*, as_json: bool) -> None:
    """Print what a harsher policy wins and what it costs."""
    settings = Settings.load()
    scored = payments_of(settings, models=1)
    found = customers.friction(scored, customers.harsher(scored), DecisionCosts(), seed=settings.seed)
    if as_json:
        print_json(plain({"source": scored.source} | asdict(found)))
        return
    out = console()
    out.print(
        f"On {scored.source}: {len(scored):,} payments. The challenger is the champion's model with a harsher policy: it"
        f" alerts {customers.HARSHER:.0f} times as often and declines what the champion reviews."
    )
    lines = table("per thousand payments", "champion", "challenger", "difference, 95 %")
    for one in found.measures:
        value, low, high = one.difference
        lines.add_row(one.name, f"{one.champion:.2f}", f"{one.challenger:.2f}", f"{value:+.2f} ({low:+.2f} to {high:+.2f})")
    lines.add_row("honest cards ever declined", *(f"{part:.1%}" for part in found.honest_cards), "")
    out.print(lines)
    fraud, _, _, total = found.measures
    tripped = f"trips after {amount(found.tripped_at)} payments in the shadow" if found.tripped_at else "does not trip"
    before, after = (f"1 in {1 / part:,.0f}" if part else "none" for part in found.honest_cards)
    worth = total.difference
    verdict = "I do not ship it" if worth.high > 0 else "but friction has its price"
    out.print(
        f"\n[bold]Say it:[/] the primary metric wins: {signed(fraud.difference.value / fraud.champion)} fraud let through. The guardrail on"
        f" honest declines {tripped}: {after} honest cards was declined at least once, where it was {before}. At the lab's own costs that"
        f" is {worth.value:+.0f} EUR per thousand payments ({worth.low:+.0f} to {worth.high:+.0f}): {verdict}."
    )
