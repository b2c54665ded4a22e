"""The signatures of `lab ab`, for `labs/cli.py`; each command imports its work when it is called."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the facts as JSON for a program.")]
Share = Annotated[float, typer.Option(help="Of the cards, for the challenger.")]
Runs = Annotated[int, typer.Option(min=20, max=20_000, help="How often to repeat it.")]
Recall = Annotated[float, typer.Option(help="Share of frauds that the champion catches.")]
ChallengerRecall = Annotated[float, typer.Option(help="Share of frauds that the challenger catches.")]

ab_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Plan an experiment, try the plan out, and see what fools it.")


@ab_app.command()
def plan(
    base_rate: Annotated[float, typer.Option(help="Share of payments with the event: a fraud let through.")] = 0.0025,
    effect: Annotated[float, typer.Option(help="Smallest relative change worth finding; -0.2 is a fifth fewer.")] = -0.2,
    alpha: Annotated[float, typer.Option(help="Chance to find it where there is none, one-sided.")] = 0.05,
    power: Annotated[float, typer.Option(help="Chance to find it where it is.")] = 0.8,
    share: Share = 0.5,
    traffic: Annotated[float | None, typer.Option(help="Payments a day; LAB_TRANSACTIONS_PER_DAY when absent.")] = None,
    label_delay: Annotated[float | None, typer.Option(help="Days until an outcome is known; LAB_LABEL_DELAY_DAYS when absent.")] = None,
    overlap: Annotated[
        float, typer.Option(help="Of the events of the model with fewer, the share that the other has too: what pairs gain from.")
    ] = 0.9,
    money: Annotated[bool, typer.Option("--money", help="In EUR, from your models' own decisions; --effect is of the loss.")] = False,
    json: Json = False,
) -> None:
    """Say how many payments and days an experiment takes."""
    from labs.commands import ab_plan

    asked = ab_plan.Asked(base_rate, effect, alpha, power, share, traffic, label_delay, overlap)
    ab_plan.plan(asked, money=money, as_json=json)


@ab_app.command()
def aa(
    share: Share = 0.1,
    runs: Runs = 200,
    payments: Annotated[Path | None, typer.Option(help="IN of a `lab score-batch`, with --scored.")] = None,
    scored: Annotated[Path | None, typer.Option(help="OUT of it. Served payments, or the world's, when absent.")] = None,
    json: Json = False,
) -> None:
    """Test a model against itself: does nothing look like nothing?"""
    from labs.commands import ab_replays

    ab_replays.aa(share, runs, payments, scored, as_json=json)


@ab_app.command()
def peek(
    share: Share = 0.5,
    effect: Annotated[float, typer.Option(help="To plant in the second half of the table; -0.2 is a fifth fewer.")] = -0.2,
    alpha: Annotated[float, typer.Option(help="Of both tests, one-sided.")] = 0.05,
    runs: Runs = 400,
    json: Json = False,
) -> None:
    """Look at a test daily, and count how often it lies."""
    from labs.commands import ab_replays

    ab_replays.peek(share, effect, alpha, runs, as_json=json)


@ab_app.command()
def paired(json: Json = False) -> None:
    """Compare your models in money, paired and split."""
    from labs.commands import ab_paired

    ab_paired.paired(as_json=json)


@ab_app.command()
def interference(
    recall: Recall = 0.5,
    challenger_recall: ChallengerRecall = 0.6,
    share: Share = 0.5,
    runs: Runs = 200,
    json: Json = False,
) -> None:
    """Let fraudsters go where less is caught."""
    from labs.commands import ab_people

    ab_people.interference(recall, challenger_recall, share, runs, as_json=json)


@ab_app.command()
def novelty(
    share: Share = 0.5,
    frauds_per_day: Annotated[float, typer.Option(min=1, help="Frauds tried a day.")] = 250,
    runs: Runs = 400,
    json: Json = False,
) -> None:
    """Let fraudsters learn: it wins on day 1, loses on day 14."""
    from labs.commands import ab_people

    ab_people.novelty(share, frauds_per_day, runs, as_json=json)


@ab_app.command()
def friction(json: Json = False) -> None:
    """Stop more fraud, and decline more honest payers."""
    from labs.commands import ab_people

    ab_people.friction(as_json=json)


@ab_app.command()
def bandit(
    recall: Recall = 0.31,
    challenger_recall: Annotated[
        float | None, typer.Option(help="Share of frauds that the challenger catches; 0.31, 0.34 and 0.25 in turn when absent.")
    ] = None,
    delay: Annotated[int | None, typer.Option(help="Days until a fraud is known; 7 and 30 when absent.")] = None,
    runs: Runs = 400,
    json: Json = False,
) -> None:
    """Learn by Thompson sampling from late labels."""
    from labs.commands import ab_bandit

    ab_bandit.bandit(recall, challenger_recall, delay, runs, as_json=json)
