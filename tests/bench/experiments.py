"""Experiments as `lab ab` runs them, at length, beside their goals: plans, A/A, peeking, pairs, people, bandits. H8 is the table of pairs.

python -m tests.bench.experiments --quick   # a minute, and half a minute once for the models
python -m tests.bench.experiments --full    # more replays, and the table of pairs on three worlds

Prints the tables and goals, and writes bench/experiments.json under LAB_HOME. On the user's own models and payments where there are
enough; otherwise on the synthetic world's.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from data.costs import DecisionCosts
from data.environment import prepare_environment
from data.settings import Settings
from labs.commands import ab_bandit, ab_paired, ab_people
from labs.commands.ab_words import amount, change, number, share, signed
from labs.contenders import from_world, own_or_world
from labs.exercises.contract import plain
from pipelines.experiments import friction, interference, novelty
from pipelines.experiments.aa import BROKEN, RIGHT, Replays, aa_replays, draw_positions
from pipelines.experiments.paired import Comparison
from pipelines.experiments.peeking import Peeking, peeking
from pipelines.experiments.scored import Scored
from tests.bench.drift_goals import Goal
from tests.bench.experiments_plan import judge_plan, measure_plan
from tests.bench.table import conclude, publish

# Mean traffic to the challenger, by recall and delay, that an independent simulation measured before this one was written.
BANDIT_TRAFFIC = {(0.31, 7): 0.51, (0.34, 7): 0.70, (0.34, 30): 0.59, (0.25, 7): 0.17, (0.25, 30): 0.34}
FEWEST_TIMES = 7.0  # H8: a split needs 7 to 14 times the payments of a paired shadow


@dataclass(frozen=True)
class Length:
    """How often each thing is repeated."""

    aa: int
    peeking: int
    people: int
    bandit: int
    plan: int
    worlds: int  # of the table of pairs; more than one: also worlds of other seeds


LENGTHS = {"quick": Length(200, 400, 200, 400, 400, 1), "full": Length(1_000, 4_000, 1_000, 2_000, 4_000, 3)}


def aa_goals(scored: Scored, runs: int, seed: int) -> list[Goal]:
    """The product's split and three broken ones."""
    drawn = draw_positions(scored.cards, runs, seed)
    found = [aa_replays(scored, splitter, drawn, share=0.1, seed=seed) for splitter in (RIGHT, *BROKEN)]
    names = ("right", "by payment", "no salt", "1.2 x share")
    rows: list[list[object]] = []
    for name, one in zip(names, found, strict=True):
        cards = amount(one.cards_until_doubt) if one.cards_until_doubt > 0 else "–"
        doubted = share(one.ratio_doubted_any_time)
        rows.append([name, share(one.false), f"{one.uniform:.2g}", doubted, cards, f"{one.both_arms:.0%}", f"{one.kept:.0%}"])
    columns = ["split", "p < .05", "KS", "ratio off", "cards", "both", "again"]
    publish("experiments_aa", f"A/A, {runs} replays, 10 % of the cards", columns, rows, {})
    return [_sound(found[0]), *_signs(found)]


def _sound(right: Replays) -> Goal:
    reached = right.uniform > 0.01 and right.false.low <= 0.05 <= right.false.high and right.covered.low <= 0.95 <= right.covered.high
    doubted = share(right.ratio_doubted_any_time)
    said = f"KS p {right.uniform:.2g}; {share(right.false)} below .05; {share(right.covered)} cover; ratio doubted in {doubted}"
    target = "KS p > .01; 5 % and 95 % in the intervals; ratio doubted in ≤ 0.5 %"
    return Goal("X2", "A/A of the product's split", target, said, reached and right.ratio_doubted_any_time.value <= 0.005)


def _signs(found: Sequence[Replays]) -> list[Goal]:
    _, by_payment, unsalted, leaky = found
    said = (
        f"{by_payment.both_arms:.0%} of cards in both arms; {unsalted.kept:.0%} of cards again; ratio doubted in"
        f" {share(leaky.ratio_doubted_any_time)}, after {amount(leaky.cards_until_doubt)} cards"
    )
    reached = by_payment.both_arms > 0.5 and unsalted.kept > 0.99 and leaky.ratio_doubted_any_time.value > 0.95
    return [Goal("X3", "three broken splits", "each shows its sign (> 50 %, > 99 %, > 95 %)", said, reached)]


def peeking_goal(scored: Scored, runs: int, seed: int) -> Goal:
    """Daily looks at A/A, and with a fifth fewer planted."""
    found: Peeking = peeking(scored, share=0.5, effect=-0.2, alpha=0.05, runs=runs, seed=seed)
    ways = (("z, one look", "one_look"), ("z, daily", "peeked"), ("e-process, daily", "any_time"))
    rows = [[name, share(getattr(found.nothing, way)), share(getattr(found.planted, way))] for name, way in ways]
    title = f"Peeking, {runs} replays of {found.days} days, {found.events} events, alpha 5 %"
    publish("experiments_peeking", title, ["says fewer", "A/A: false", "a fifth fewer: true"], rows, {})
    days = " and ".join(f"{day:.0f}" for day in found.planted.any_time_days)
    said = f"{share(found.nothing.any_time)}; peeked {share(found.nothing.peeked)}; a fifth fewer found in {days} days (50 %, 80 %)"
    reached = found.nothing.any_time.value <= 0.05 and found.nothing.peeked.low > 0.15
    return Goal("X4", "false promotions, looked at daily", "e-process ≤ 5 %, z peeked at > 15 %", said, reached)


def paired_goal(worlds: Sequence[Scored], seed: int) -> Goal:
    """H8: every challenger of every world."""
    every: list[Comparison] = []
    for scored in worlds:
        found, by_worth = ab_paired.measure(scored, seed)
        every += found
        models: list[list[object]] = []
        for one in found:
            sd = f"{one.paired_sd:.1f}/{one.split_sd:.1f}"
            models.append([one.name, f"{one.average_precision:.3f}", change(one.loss_change), f"{one.alerts_differ:.1%}", sd])
        columns = ["challenger", "AP", "loss, 95 %", "differ", "SD, EUR"]
        publish("experiments_models", f"Beside the champion, {scored.source}", columns, models, {})
        sizes = [[one.name, amount(one.paired_payments), amount(one.split_payments), number(one.times)] for one in found]
        for margin in by_worth:
            name = f"5 %: {margin.worth}"
            sizes.append([name, amount(margin.paired_payments), amount(margin.split_payments), number(margin.times)])
        columns = ["its own effect, or 5 %", "paired", "split", "times"]
        publish("experiments_paired", f"Payments for 80 % power, {scored.source}", columns, sizes, {})
    low, high = min(one.times.value for one in every), max(one.times.value for one in every)
    plainly = [one.independent_times for one in every]
    said = f"{low:.0f} to {high:.0f} times by card ({min(plainly):.0f} to {max(plainly):.0f} if payments were independent)"
    target = f"≥ {FEWEST_TIMES:.0f} times for every challenger (7–14 known)"
    return Goal("H8", f"a split's payments over a shadow's, {len(every)} challengers", target, said, low >= FEWEST_TIMES)


def interference_goal(runs: int, seed: int) -> Goal:
    """Bias by level of the split, where rings give up and where they move on."""
    rows, wrong = [], set()
    for mobility in ab_people.MOBILITIES:
        rings = interference.Rings(0.5, 0.6, mobility)
        for level in interference.LEVELS:
            one = interference.interference(rings, level, count=ab_people.RINGS, runs=runs, seed=seed)
            wrong |= {(mobility, level)} if one.misleads else set()
            rows.append([f"{mobility:.0%}", level, signed(one.truth), change(one.measured), signed(one.champion_arm)])
    publish("experiments_interference", "Interference", ["goes on", "split by", "truth", "measured", "champion's arm"], rows, {})
    said = ", ".join(f"{level} at {mobility:.0%}" for mobility, level in sorted(wrong))
    reached = {(1.0, "card"), (0.0, "payment")} <= wrong and not any(level == "ring" for _, level in wrong)
    return Goal("X5", "splits that mislead where fraudsters move", "card at 100 %, payment at 0 %, ring never", said, reached)


def novelty_goal(runs: int, seed: int) -> Goal:
    """A week against four."""
    people = novelty.Adversaries()
    trials = novelty.short_and_long(people, ab_people.LENGTHS, share=0.5, frauds_per_day=250, runs=runs, seed=seed)
    rows = [[one.days, change(one.measured), share(one.better), share(one.worse), signed(one.last_day)] for one in trials]
    publish("experiments_novelty", "Novelty, half of the cards", ["days", "measured", "better", "worse", "true that day"], rows, {})
    week, month = trials[2], trials[-1]
    said = f"{share(week.better)} say better after 7 days, {share(month.worse)} worse after 28"
    reached = week.better.value >= 0.8 and month.worse.value >= 0.8
    return Goal("X6", "a short and a long test under novelty", "≥ 80 % better, then ≥ 80 % worse", said, reached)


def friction_goal(scored: Scored, seed: int) -> Goal:
    """The metric wins, the guardrail trips, and all costs together say no."""
    found = friction.friction(scored, friction.harsher(scored), DecisionCosts(), seed=seed)
    rows = [[one.name, f"{one.champion:.2f}", f"{one.challenger:.2f}", f"{one.difference.low:+.2f} to {one.difference.high:+.2f}"]
            for one in found.measures]  # fmt: skip
    publish("experiments_friction", "Friction, per thousand payments", ["", "champion", "challenger", "difference, 95 %"], rows, {})
    fraud, _, declined, total = found.measures
    tripped = f"tripped after {amount(found.tripped_at or float('inf'))} payments"
    said = f"fraud {signed(fraud.difference.value / fraud.champion)}, {tripped}, costs {total.difference.value:+.0f} EUR per thousand"
    reached = fraud.difference.high < 0 < declined.difference.low and found.tripped_at is not None
    return Goal("X7", "less fraud, more friction", "fraud falls, guardrail trips", said, reached)


def bandit_goals(runs: int, seed: int) -> list[Goal]:
    """Every pair of recalls and delay, and the distance to the figures known before."""
    rows, off = [], {}
    for arms in ab_bandit.cells(0.31, ab_bandit.CHALLENGERS, ab_bandit.DELAYS):
        ways, look = ab_bandit.measure(arms, runs, seed)
        known = BANDIT_TRAFFIC.get((arms.challenger_recall, arms.delay_days))
        off |= {} if known is None else {(arms.challenger_recall, arms.delay_days): ways[0].traffic.value - known}
        rows.append([f"{arms.champion_recall:g} v {arms.challenger_recall:g}, {arms.delay_days} d", "", "", "", ""])
        for way in ways:
            rows.append([f"  {way.name}", f"{way.traffic.value:.0%}", share(way.right), share(way.wrong), number(way.lost)])
        if arms.challenger_recall > arms.champion_recall:
            rows.append(["  log, one look", "", share(look), "", ""])
    columns = ["recall, delay", "traffic", "right", "wrong", "frauds lost"]
    publish("experiments_bandit", f"Bandits, {runs} runs", columns, rows, {})
    worst = max(off.values(), key=abs)
    return [Goal("X8", "Thompson's traffic beside the known table", "within 0.05", f"at most {worst:+.3f} off", abs(worst) <= 0.05)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 0 when every goal is reached."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.experiments", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    chosen = parser.add_mutually_exclusive_group()
    for name in LENGTHS:
        chosen.add_argument(f"--{name}", dest="length", action="store_const", const=name, default="quick")
    length = LENGTHS[parser.parse_args(arguments).length]
    prepare_environment()
    settings = Settings.load()
    scored, seed = own_or_world(settings, models=2), settings.seed
    others = [from_world(settings.model_copy(update={"seed": seed + k})) for k in range(1, length.worlds)]
    goals = [
        judge_plan(measure_plan(length.plan, seed)),
        *aa_goals(scored, length.aa, seed),
        peeking_goal(scored, length.peeking, seed),
        paired_goal([scored, *others], seed),
        interference_goal(length.people, seed),
        novelty_goal(length.people, seed),
        friction_goal(scored, seed),
        *bandit_goals(length.bandit, seed),
    ]
    rows: list[list[object]] = [[goal.name, goal.what, goal.target, goal.measured, goal.verdict] for goal in goals]
    facts = plain({"source": scored.source, "goals": [asdict(goal) for goal in goals]})
    publish("experiments", "Goals", ["", "what", "target", "measured", ""], rows, facts)
    return conclude([f"{goal.name} {goal.what}: {goal.measured}; {goal.target} wanted" for goal in goals if not goal.reached])


if __name__ == "__main__":
    sys.exit(main())
