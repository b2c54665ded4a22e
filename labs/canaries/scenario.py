"""What a canary exercise is made of: who the challenger is, what is wrong with it or around it, and how the rollout must end."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pipelines.rollout.actions import Result

Challenger = Literal["same", "better", "stale", "skewed", "uncalibrated"]
CHALLENGERS: Final[dict[Challenger, str]] = {
    "same": "the champion's own model once more",
    "better": "four weeks of rows instead of one",
    "stale": "only rows from before fraudsters changed their tactics",
    "skewed": "the better model, served features that are off by one column",
    "uncalibrated": "the better model with three times its scores, as without its calibrator; the ranking is the same",
}
Worth = Literal["better", "equal", "worse"]  # than the champion, all things considered: what a rollout is to find out


@dataclass(frozen=True)
class Fault:
    """What goes wrong. Shares are of payments that the challenger scores or, where latency is concerned, answers."""

    fails: float = 0.0  # it raises; never less often than both models do anyway
    fails_live: float | None = None  # in place of `fails` in a running lab, whose champion never fails
    poison: float = 0.0  # its score is no probability
    slow: float = 0.0  # its answers take longer than the objective allows; never less often than all do
    slow_above_per_hour: int | None = None  # only those beyond so many answers of its own in an hour
    in_canary: bool = False  # from its first answer on; in the shadow it was well
    refuses_to_load: bool = False
    router_factor: float = 1.0  # times the share that the plan declares
    payments_stop_on: int | None = None  # day of the rollout from which no payment reaches the log
    labels_stop_on: int | None = None  # and no report
    shoppers_move_on: int | None = None  # shoppers change their ways, in both arms
    registry_down_s: int = 0  # from the moment the first canary is to begin
    kills: bool = False  # the controller, once in every change of who serves
    second_rollout: bool = False  # somebody starts another one meanwhile
    override: str = ""  # an operator promotes it on the third day, for this reason


@dataclass(frozen=True)
class Expectation:
    """How the rollout must end; the scenario's own, or as a team has written down."""

    results: tuple[Result, ...]  # any of these is right
    says: str = ""  # words that a reason, of the end or of a pause, must hold
    pauses: bool = False  # it must have stood still once before it ended
    exposed_at_most: int | None = None  # payments of the challenger's cards until it ended
    noticed_at_most: int | None = None  # payments that it scored until the judge first objected, by a pause or a rollback


@dataclass(frozen=True)
class Canary:
    """One exercise of the catalogue."""

    name: str
    catalogue_id: str
    mechanism: str  # what happens, for people
    challenger: Challenger
    worth: Worth
    expected: Expectation
    fault: Fault = field(default_factory=Fault)
    plan: Path | None = None  # that its rollout over a running lab is to be judged by; None: the default
