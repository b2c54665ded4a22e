"""`lab ab paired`: the user's models compared in money, by a paired shadow and by a split."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from data.costs import DecisionCosts
from data.settings import Settings
from labs.commands.ab_payments import payments_of
from labs.commands.ab_words import amount, change, number
from labs.exercises.contract import plain
from labs.terminal import console, print_json, table
from pipelines.experiments.paired import MARGIN, Comparison, Margin, compare, margins, paired_overlap
from pipelines.experiments.scored import Scored, Worth
from pipelines.metrics import average_precision

if TYPE_CHECKING:
    from rich.console import Console

ALPHA, POWER = 0.05, 0.8  # one-sided
WORTH: Worth = "at most 500 EUR"


def measure(scored: Scored, seed: int) -> tuple[list[Comparison], tuple[Margin, ...]]:
    """Every challenger beside the champion, and the first challenger under every worth of a fraud."""
    costs, rest = DecisionCosts(), scored.models[1:]
    found = [compare(scored, model, costs, WORTH, alpha=ALPHA, power=POWER, seed=seed) for model in rest]
    return found, margins(scored, rest[0], costs, alpha=ALPHA, power=POWER, seed=seed)


def paired(*, as_json: bool) -> None:
    """Print both tables."""
    settings = Settings.load()
    scored = payments_of(settings, models=2)
    found, by_worth = measure(scored, settings.seed)
    champion = average_precision(scored.is_fraud, scored.champion.score)
    overlaps = {model.name: paired_overlap(scored, model) for model in scored.models[1:]}
    if as_json:
        facts = {"source": scored.source, "champion_average_precision": champion, "overlap": overlaps}
        print_json(plain(facts | {"challengers": [asdict(one) for one in found], "margins": [asdict(one) for one in by_worth]}))
        return
    out = console()
    out.print(
        f"{len(scored):,} payments with {int(scored.is_fraud.sum()):,} frauds on {scored.source}; the champion's AP is {champion:.3f}."
        " Loss: amount, up to 500 EUR, and fee of each fraud let through; reviews; honest payers declined."
    )
    _print_models(found, overlaps, out)
    _print_sizes(found, by_worth, out)
    out.print(
        "[dim]A split's payments are those of both arms. times: how many more it needs, cards allowed for, and if payments of one card were"
        " independent. An effect whose interval holds 0 says little of its own size.[/]"
    )
    out.print(f"\n[bold]Say it:[/] {_sentence(found, by_worth)}")


def _print_models(found: list[Comparison], overlaps: dict[str, float], out: "Console") -> None:
    lines = table("beside the champion", "AP", "loss, 95 %", "differ", "shared", "SD, EUR")
    for one in found:
        spread = f"{one.paired_sd:.1f} / {one.split_sd:.1f}"
        cells = (f"{one.average_precision:.3f}", change(one.loss_change), f"{one.alerts_differ:.1%}", f"{overlaps[one.name]:.0%}", spread)
        lines.add_row(one.name, *cells)
    out.print(lines)
    out.print(
        "[dim]differ: payments on which one alone alerts; shared: of the frauds that the better one lets through, those that both do;"
        " SD: of one payment's loss difference, paired / split.[/]\n"
    )


def _print_sizes(found: list[Comparison], by_worth: tuple[Margin, ...], out: "Console") -> None:
    lines = table("payments for 80 % power", "paired", "split", "times", "if independent")
    lines.add_row("its own effect")
    for one in found:
        times = f"{one.independent_times:.0f}"
        lines.add_row(f"  {one.name}", amount(one.paired_payments), amount(one.split_payments), number(one.times), times)
    lines.add_row(f"a margin of {MARGIN:.0%}, a fraud counting")
    for margin in by_worth:
        lines.add_row(f"  {margin.worth}", amount(margin.paired_payments), amount(margin.split_payments), number(margin.times), "")
    out.print(lines)


def _sentence(found: list[Comparison], by_worth: tuple[Margin, ...]) -> str:
    times, constant, whole = [one.times.value for one in found], by_worth[-1], by_worth[0]
    return (
        f"my models disagree on {min(one.alerts_differ for one in found):.1%} to {max(one.alerts_differ for one in found):.1%} of payments,"
        f" so scoring the same payments twice needs {min(times):.0f} to {max(times):.0f} times fewer of them than splitting the traffic."
        f" To show 'not worse by {MARGIN:.0%}' I still need {amount(whole.paired_payments)}; counting every fraud alike needs"
        f" {amount(constant.paired_payments)}, as a few large amounts no longer decide."
    )
