"""`lab ab plan`: payments, events and days of an experiment, in each of the ways to run it."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from data.costs import DecisionCosts
from data.settings import Settings
from labs.commands.ab_words import amount
from labs.exercises.contract import plain
from labs.terminal import console, print_json, table
from pipelines.experiments.plan import Design, Traffic, designs
from pipelines.experiments.power import Question

if TYPE_CHECKING:
    from pipelines.experiments.money_plan import MoneyPlan


@dataclass(frozen=True)
class Asked:
    """The options of the command, as they were given."""

    base_rate: float
    effect: float
    alpha: float
    power: float
    share: float
    traffic: float | None
    label_delay: float | None
    overlap: float


def plan(asked: Asked, *, money: bool, as_json: bool) -> None:
    """Print the designs. Raises BadInput naming the option that makes no sense."""
    settings = Settings.load()
    traffic = Traffic(
        settings.transactions_per_day if asked.traffic is None else asked.traffic,
        settings.label_delay_days if asked.label_delay is None else asked.label_delay,
    )
    question = Question(asked.base_rate, asked.effect, asked.alpha, asked.power, asked.share, asked.overlap)
    if money:
        _in_money(question, traffic, settings, as_json=as_json)
        return
    found = designs(question, traffic)
    if as_json:
        print_json(plain({"question": asdict(question), "traffic": asdict(traffic), "designs": [asdict(one) for one in found]}))
        return
    out = console()
    rate = f"{1000 * question.changed_rate:g} events per thousand payments where there were {1000 * question.base_rate:g}"
    out.print(f"To find [bold]{rate}[/]: {_terms(question, traffic)}")
    out.print(_designs(found, "events"))
    out.print(f"[dim]Pairs share {question.overlap:.0%} of the events here (--overlap); `lab ab paired` says what your models share.[/]")
    out.print(f"\n[bold]Say it:[/] {_sentence(question, found)}")


def _terms(question: Question, traffic: Traffic) -> str:
    return (
        f"power {question.power:g}, alpha {question.alpha:g} one-sided, {traffic.per_day:,.0f} payments a day, {question.share:.0%} of the"
        f" cards for the challenger in a split, labels after {traffic.label_delay_days:g} days."
    )


def _designs(found: tuple[Design, ...], events: str) -> Any:
    rows = table("", "payments", "half of the runs by", events, "days")
    for one in found:
        typical = amount(one.typical) if one.peeking else ""
        rows.add_row(one.name, amount(one.payments), typical, amount(one.events), amount(one.days))
    return rows


def _sentence(question: Question, found: tuple[Design, ...]) -> str:
    split, split_any, pair, pair_any = found
    return (
        f"to see {abs(question.effect):.0%} {'fewer' if question.effect < 0 else 'more'} events I need {amount(split.payments)} payments"
        f" in a split, {amount(split.days)} days with the wait for labels. Looking whenever I like costs"
        f" {split_any.payments / split.payments:.1f} times the payments at the same power, though half of the runs end by"
        f" {amount(split_any.typical)}. A paired shadow needs {amount(pair.payments)}, {split.payments / pair.payments:.1f} times fewer:"
        f" {amount(pair.days)} days, or {amount(pair_any.days)} if I may look."
    )


def _in_money(question: Question, traffic: Traffic, settings: Settings, *, as_json: bool) -> None:
    from labs.commands.ab_payments import payments_of
    from pipelines.experiments.money_plan import money_plan

    scored = payments_of(settings, models=2)
    found = money_plan(scored, DecisionCosts(), question, traffic, seed=settings.seed)
    if as_json:
        print_json(plain({"question": asdict(question), "traffic": asdict(traffic), "source": scored.source} | asdict(found)))
        return
    out = console()
    out.print(
        f"On {scored.source}: {len(scored):,} payments, {int(scored.is_fraud.sum()):,} frauds. The champion costs"
        f" [bold]{1000 * found.loss:.0f} EUR[/] per thousand payments (frauds let through, up to 100 EUR and a fee; reviews; honest"
        f" payers declined). To find {question.effect:+.0%} of that beside '{found.challenger}': {_terms(question, traffic)}"
    )
    out.print(_designs(found.designs, "frauds"))
    out.print(f"\n[bold]Say it:[/] {_money_sentence(found, question)}")


def _money_sentence(found: "MoneyPlan", question: Question) -> str:
    split, pair, _ = found.designs
    return (
        f"the losses of two payments, one in each arm, differ by {found.split_sd:.1f} EUR (SD); those of two models on the same payment by"
        f" {found.paired_sd:.1f}; the effect is {abs(question.effect) * found.loss:.3f} EUR. So a split needs {amount(split.payments)}"
        f" payments ({amount(split.days)} days) and a shadow {amount(pair.payments)} ({amount(pair.days)} days). If the challenger is worse"
        f" by as much, the split loses {amount(found.split_price)} EUR on its cards before it says so; the shadow loses nothing."
    )
