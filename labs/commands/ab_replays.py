"""`lab ab aa` and `lab ab peek`: the same model in both arms, many times over, on the payments of this lab."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.errors import BadInput
from data.settings import Settings
from labs.commands.ab_payments import payments_of, require_share
from labs.commands.ab_words import amount, share
from labs.contenders import from_batch
from labs.exercises.contract import plain
from labs.terminal import console, print_json, table
from pipelines.experiments.aa import BROKEN, RIGHT, Replays, aa_replays, draw_positions
from pipelines.experiments.peeking import Peeking, peeking
from pipelines.experiments.plan import Traffic
from pipelines.experiments.power import Question, split_once

if TYPE_CHECKING:
    pass


def aa(part: float, runs: int, payments: Path | None, scored: Path | None, *, as_json: bool) -> None:
    """Print what a right and three broken splits show. Raises BadInput, MissingFile."""
    require_share(part)
    if (payments is None) != (scored is None):
        raise BadInput(
            "--payments and --scored belong together.", next_step="Name the IN and the OUT of one `lab score-batch`.", where="scored"
        )
    settings = Settings.load()
    rows = from_batch(payments, scored) if payments and scored else payments_of(settings, models=1)
    drawn = draw_positions(rows.cards, runs, settings.seed)
    found = [aa_replays(rows, splitter, drawn, share=part, seed=settings.seed) for splitter in (RIGHT, *BROKEN)]
    if as_json:
        print_json({"source": rows.source, "share": part, "runs": runs, "splitters": [_facts(one) for one in found]})
        return
    out = console()
    out.print(
        f"{runs} A/A replays of {len(rows):,} payments of {len(rows.cards):,} cards, on {rows.source}; the 'challenger' gets {part:.0%}."
        " Compared: alerts per payment."
    )
    lines = table("", "right", "by payment", "no salt", f"{BROKEN[-1].sent * part:.0%} for {part:.0%}")
    lines.add_row("p < 0.05, by card", *(share(one.false) for one in found))
    lines.add_row("p < 0.05, by payment", *(share(one.false_by_payment) for one in found))
    lines.add_row("uniform: KS, p", *(f"{one.uniform:.2g}" for one in found))
    lines.add_row("95 % interval holds", *(share(one.covered) for one in found))
    lines.add_row("ratio doubted once", *(share(one.ratio_doubted) for one in found))
    lines.add_row("ratio doubted ever", *(share(one.ratio_doubted_any_time) for one in found))
    lines.add_row("  after cards", *("" if np.isnan(one.cards_until_doubt) else amount(one.cards_until_doubt) for one in found))
    lines.add_row("cards in both arms", *(f"{one.both_arms:.0%}" for one in found))
    lines.add_row("same cards again", *(f"{one.kept:.0%}" for one in found))
    out.print(lines)
    out.print(
        "[dim]p < 0.05 should be 5% of a test's replays (by card: the test's unit), KS above 0.01, the interval 95%; the sample ratio of"
        " cards doubted in none, looking once (chi-square) or ever (e-process); cards in one arm, and other ones each time.[/]"
    )
    out.print(f"\n[bold]Say it:[/] {_aa_sentence(found)}")


def _facts(found: Replays) -> object:
    facts = {name: value for name, value in vars(found).items() if name != "splitter"}
    return plain({"splitter": found.splitter.name} | facts | {"p_values": found.p_values.tolist()})


def _aa_sentence(found: list[Replays]) -> str:
    right, by_payment, unsalted, leaky = found
    sound = right.false.low <= 0.05 <= right.false.high and right.uniform > 0.01 and right.covered.low <= 0.95 <= right.covered.high
    verdict = "behaves" if sound else "does NOT behave"
    return (
        f"before any A/B I ran {len(right.p_values)} A/A: my split {verdict} ({right.false.value:.0%} below 0.05,"
        f" {right.covered.value:.0%} of intervals hold 0). Its p-values alone would pass a split by payment, which shows"
        f" {by_payment.both_arms:.0%} of cards both models, and a split that sends a fifth too many; the sample ratio of cards catches that"
        f" one after {amount(leaky.cards_until_doubt)} cards. A split without a salt gives one p-value for ever: all its experiments reuse"
        f" {unsalted.kept:.0%} of the same cards."
    )


def peek(part: float, effect: float, alpha: float, runs: int, *, as_json: bool) -> None:
    """Print how often each way of looking is wrong, and what being right costs. Raises BadInput."""
    require_share(part)
    if not -1 < effect < 0:
        raise BadInput(
            "effect must be above -1 and below 0: fewer frauds let through.", next_step="Correct --effect and run again.", where="effect"
        )
    settings = Settings.load()
    rows = payments_of(settings, models=1)
    found = peeking(rows, share=part, effect=effect, alpha=alpha, runs=runs, seed=settings.seed)
    question = Question(found.events / len(rows), effect, alpha, share=part)
    planned = Traffic(rows.per_day, 0).days(split_once(question))
    if as_json:
        print_json(plain({"source": rows.source, "planned_days": planned} | _as_facts(found)))
        return
    out = console()
    out.print(
        f"{runs} replays of {found.days} days, {part:.0%} of the cards, on {rows.source}. Event: a card with a fraud let"
        f" through, {found.events:,} in all. Each test may claim 'fewer' at alpha {alpha:g}."
    )
    lines = table("says the challenger has fewer", "A/A: always false", f"{effect:.0%} planted: true")
    lines.add_row("z-test, one look on the last day", share(found.nothing.one_look), share(found.planted.one_look))
    lines.add_row("z-test, a look every day", share(found.nothing.peeked), share(found.planted.peeked))
    lines.add_row("e-process, a look every day", share(found.nothing.any_time), share(found.planted.any_time))
    out.print(lines)
    out.print(f"\n[bold]Say it:[/] {_peek_sentence(found, alpha, planned)}")


def _as_facts(found: Peeking) -> dict[str, object]:
    return {"days": found.days, "events": found.events, "effect": found.effect} | {
        name: vars(one) for name, one in (("nothing", found.nothing), ("planted", found.planted))
    }


def _peek_sentence(found: Peeking, alpha: float, planned: float) -> str:
    kept = found.nothing.any_time.low <= alpha
    median, most = (_day(days) for days in found.planted.any_time_days)
    return (
        f"looked at daily, a test made for one look promoted a model identical to the champion in {found.nothing.peeked.value:.0%} of"
        f" {found.nothing.runs} replays, not {alpha:.0%}; the always-valid one in {found.nothing.any_time.value:.0%}"
        f" ({'within' if kept else 'NOT within'} its promise). With {-found.effect:.0%} fewer planted, the planned single look takes"
        f" {amount(planned)} days for 80 % power; the always-valid test took {median} in the median and {most} for 80 %."
    )


def _day(days: float) -> str:
    return f"{days:.0f} days" if np.isfinite(days) else "longer than there was"
