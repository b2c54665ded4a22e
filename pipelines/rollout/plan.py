"""What a rollout promises before it starts: steps, least evidence, margins, error budgets. One file, under review like code.

`pipelines/rollout/rollout.toml` holds the default plan; the reason for each number stands beside its field here. The judge and the
controller read it; a rollout never changes it.
"""

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from data.errors import BadInput, MissingFile

StepMode = Literal["shadow", "canary", "soak"]
Share = Annotated[float, Field(ge=0, le=1)]
Chance = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
DEFAULT_PLAN = Path(__file__).with_name("rollout.toml")


@dataclass(frozen=True)
class Step:
    """One stretch of a rollout. It ends when its evidence is in, a guardrail trips, or `max_days` of event time have passed."""

    __pydantic_config__: ClassVar = STRICT

    name: str
    mode: StepMode
    share: Share  # of cards that the challenger answers: 0 in shadow, 1 in soak
    min_payments: Count  # scored by the challenger in shadow, answered by it later
    max_days: Positive
    needs_money: bool  # leave only after the challenger is shown not to cost more


@dataclass(frozen=True)
class Budgets:
    """Chance of a false alarm over the whole rollout, however often one looks: 1 % together, so 0.8 % to be rolled back for nothing."""

    __pydantic_config__: ClassVar = STRICT

    errors: Chance = 0.003
    latency: Chance = 0.002  # half for "over the objective"; a quarter for "slower than the champion", and for the champion's own
    alerts: Chance = 0.002  # half for more, half for fewer
    money: Chance = 0.001
    scores: Chance = 0.001  # pauses
    sample_ratio: Chance = 0.001  # pauses


@dataclass(frozen=True)
class RolloutPlan:
    """Everything that a rollout is judged by. Rates are per payment unless the name says otherwise."""

    __pydantic_config__: ClassVar = STRICT

    steps: tuple[Step, ...]
    budgets: Budgets = field(default_factory=Budgets)
    seed: int = 7  # part of the salt that draws the canary's cards

    first_look_minutes: Positive = 5.0  # looks start short, so that a broken model meets few cards,
    longest_look_hours: Positive = 6.0  # and double up to this: evidence may be looked at any number of times

    maturity_days: NotNegative = 7.0  # a payment is judged once, by what was reported when it was this old
    promotion_alpha: Chance = 0.05  # chance to go on with a challenger that is worse than a margin allows, for each margin
    money_margin: NotNegative = 0.05  # "not worse" means: costs at most this share more. Less cannot be shown in weeks of traffic
    amount_cap_eur: Positive = 100.0  # of a missed fraud's loss: else a few large amounts decide alone. On our world's drift, evidence
    # for a better model after 24 days was 10^9 to 1 with this cap, 10^5 with 200 and 10^2.5 with 500
    count_loss_eur: Positive = 50.0  # of every missed fraud, where frauds are counted: about the median amount of one
    min_matured_payments: Count = 5_000  # less, and one campaign of fraud is all the evidence
    min_matured_frauds: Count = 25

    tolerance: Factor = 1.2  # times the failing or slow answers of the champion: a model just loaded has cold caches
    slow_ms: Positive = 50.0  # an answer above this is slow: the objective's p99
    slow_share: Chance = 0.01  # and this share of answers may be
    slow_margin: Chance = 0.05  # to go on, at most this share of its answers may be slow; 92 fast ones in a row say so
    error_margin: Chance = 0.005  # to go on, it may fail on at most this share of payments more than the champion
    alert_ratio: Factor = 1.25  # of the champion's alerts on the same payments; more, or fewer by it, waits for labels,
    alert_ceiling_per_thousand: Positive = 20.0  # and above this (twice what the team can review) there is no reason for more
    alert_floor_per_thousand: NotNegative = 0.5  # a model that alerts on less than a tenth of the usual frauds is mute
    score_factor: Factor = 2.0  # between scores of the same payment: a lost calibrator makes it 3 and more
    expected_factor: Factor = 1.5  # between the frauds that both models expect: two calibrated ones expect the same number
    reported_factor: Factor = 2.0  # what differs by either waits until labels show that it is worth it, and that it expects at most this
    # many times the frauds reported and no fewer than one in so many; on our world 3 in 10 are reported after the age of maturity

    silence_hours: Positive = 24.0  # without payments: pause; three times as long: roll back
    label_silence_days: Positive = 3.0  # the same for labels

    def __post_init__(self) -> None:
        modes = [step.mode for step in self.steps]
        shares = [step.share for step in self.steps]
        fault = ""
        if len(modes) < 2 or modes != ["shadow", *["canary"] * (len(modes) - 2), "canary" if shares[-1] < 1 else "soak"]:
            fault = "the first step must be a shadow, all others canaries, the last one a soak if all cards are its"
        elif shares[0] != 0 or shares != sorted(set(shares)) or shares[-1] > 1:
            fault = "shares must grow from step to step, from 0 in the shadow to 1 in the soak"
        elif not self.steps[-1].needs_money:
            fault = "the last step must need money evidence: nothing else shows that the challenger is worth it"
        elif sum(asdict(self.budgets).values()) > 0.01 + 1e-9:
            fault = "the error budgets may not exceed 1 % together"
        if fault:
            raise BadInput(f"This rollout plan cannot be kept: {fault}.", next_step="Correct it and start again.", where="rollout plan")

    @property
    def maturity(self) -> timedelta:
        return timedelta(days=self.maturity_days)

    @property
    def digest(self) -> str:
        """Identity of the plan: a resumed rollout must run under the plan it was started with."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def load(cls, path: Path = DEFAULT_PLAN) -> "RolloutPlan":
        """Read a plan file. Raises MissingFile, and BadInput naming what is wrong in it."""
        try:
            return cls.from_json(tomllib.loads(path.read_text(encoding="utf-8-sig")))
        except OSError:
            raise MissingFile(f"There is no rollout plan to read at {path}.", next_step="Name another file.", where=str(path)) from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the plan"
            raise BadInput(
                f"{path.name} is no rollout plan: {place}: {first['msg']}.", next_step="Compare it with rollout.toml.", where=place
            ) from None
        except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
            raise BadInput(
                f"{path.name} is no rollout plan: {error}.", next_step="Compare it with rollout.toml.", where=path.name
            ) from None

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "RolloutPlan":
        """The reverse of `to_json`; what is left out has its default. Raises pydantic's ValidationError, and BadInput as ever."""
        return _PLAN.validate_json(json.dumps(facts, default=str))


_PLAN = TypeAdapter(RolloutPlan)
