"""`lab ab bandit`: Thompson sampling with late rewards, beside a split and a shadow log."""

from dataclasses import asdict

from data.settings import Settings
from labs.commands.ab_words import number, share
from labs.exercises.contract import plain
from labs.terminal import console, print_json, table
from pipelines.experiments.bandit import SURE, Arms, Learned, fixed_split, mcnemar_power, paired_log, thompson
from pipelines.metrics import Interval

CHALLENGERS = (0.31, 0.34, 0.25)  # equal, better, worse
DELAYS = (7, 30)  # days


def cells(recall: float, challengers: tuple[float, ...], delays: tuple[int, ...]) -> list[Arms]:
    """The lines of the table."""
    return [Arms(recall, challenger, delay) for challenger in challengers for delay in delays]


def measure(arms: Arms, runs: int, seed: int) -> tuple[list[Learned], Interval]:
    """All three ways of learning, and what one look at the shadow log of the whole run says."""
    return [way(arms, runs=runs, seed=seed) for way in (thompson, fixed_split, paired_log)], mcnemar_power(arms, runs=runs, seed=seed)


def bandit(recall: float, challenger: float | None, delay: int | None, runs: int, *, as_json: bool) -> None:
    """Print the table. Raises BadInput."""
    settings = Settings.load()
    asked = cells(recall, CHALLENGERS if challenger is None else (challenger,), DELAYS if delay is None else (delay,))
    found = [(arms, *measure(arms, runs, settings.seed)) for arms in asked]
    if as_json:
        print_json(plain([{"arms": asdict(arms), "ways": [asdict(way) for way in ways], "mcnemar": look} for arms, ways, look in found]))
        return
    out, first = console(), asked[0]
    out.print(
        f"Simulated: {first.days} days, {first.frauds_per_day} frauds a day, {runs} runs. The reward, a fraud caught, is known after the"
        f" delay. Traffic is the challenger's; right and wrong: where a run ends (Thompson: over {SURE:.0%} of traffic)."
    )
    lines = table("recall, delay", "", "traffic, %", "right, %", "wrong, %", "frauds lost")
    for arms, ways, _ in found:
        head = f"{arms.champion_recall:g} v {arms.challenger_recall:g}, {arms.delay_days} d"
        for way in ways:
            traffic = number(Interval(*(100 * part for part in way.traffic)))
            lines.add_row(head if way is ways[0] else "", way.name, traffic, _percent(way.right), _percent(way.wrong), number(way.lost))
    out.print(lines)
    out.print("[dim]Ranges: 5-95 % of runs for traffic and frauds, 95 % intervals for shares. Undecided stays with the champion.[/]")
    for arms, ways, look in found:
        if arms.gap and (arms is found[-1][0] or arms.challenger_recall > arms.champion_recall):
            out.print(f"\n[bold]Say it:[/] {_sentence(arms, ways, look)}")


def _percent(found: Interval) -> str:
    return share(found).replace("%", "")


def _sentence(arms: Arms, ways: list[Learned], look: Interval) -> str:
    sampling, _, log = ways
    better = "better" if arms.challenger_recall > arms.champion_recall else "worse"
    text = (
        f"with a challenger that is {better} by {arms.gap:.2f} of recall and labels after {arms.delay_days} days, Thompson sampling had"
        f" settled on the right model in {sampling.right.value:.0%} of runs after {arms.days} days, for {sampling.lost.value:.0f} frauds;"
        f" the shadow log, read daily, in {log.right.value:.0%}, for {log.lost.value:.0f}."
    )
    if better == "worse":
        return f"{text} In the shadow nobody ever met the worse model."
    return f"{text} One planned look at the log on the last day is right in {look.value:.0%}."
