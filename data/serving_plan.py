"""Who answers: the champion, and a challenger in its shadow or on a share of the cards.

The plan rests as a tag of the registered model, signed: whoever may write to the registry may still not say who serves. The
scoring service follows it; registering a first model makes it, and only a rollout changes it.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from data.errors import BadInput, PlanRefused
from data.keys import is_signed, sign
from data.schema import Arm

Mode = Literal["champion_only", "shadow", "canary", "soak"]


@dataclass(frozen=True)
class ServingPlan:
    """One consistent statement of who serves. `epoch` grows by one with every change."""

    epoch: int
    champion: str  # registered version
    challenger: str | None = None
    mode: Mode = "champion_only"
    share: float = 0.0  # of cards answered by the challenger: between 0 and 1 in a canary, 1 in the soak, where the champion still scores
    rollout_id: str = ""  # also the salt of the split: each rollout draws its own cards

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise _unusable("its share of cards is outside 0 to 1")
        if self.mode not in get_args(Mode):
            raise _unusable(f"its mode is none of {', '.join(get_args(Mode))}")
        if self.mode == "soak" and self.share != 1.0:
            raise _unusable("a soak gives all cards to the challenger")
        if self.mode != "champion_only" and self.challenger in (None, self.champion):
            raise _unusable(f"a {self.mode} needs a challenger that is not the champion")

    def arm(self, card_id: str) -> Arm:
        """The arm that answers this card: sticky, and nested, so that raising `share` moves no card back."""
        if self.mode == "soak":
            return "challenger"
        if self.mode != "canary":
            return "champion"
        return "challenger" if card_position(card_id, self.rollout_id) < self.share else "champion"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> "ServingPlan":
        """The reverse of `to_json`. Raises BadInput for anything else: a plan that is half understood must not serve."""
        try:
            return cls(**facts)
        except TypeError:
            raise _unusable("its fields are not those of a serving plan") from None


def seal(plan: ServingPlan, model: str, key_folder: Path) -> str:
    """The plan of one registered model with the lab's signature, as a line of JSON."""
    return json.dumps({"plan": plan.to_json(), "signature": sign(key_folder, _signed(plan, model)).hex()})


def unseal(sealed: str, model: str, key_folder: Path) -> ServingPlan:
    """The reverse. Raises PlanRefused unless the signature is this lab's over this plan of this model, BadInput for an unusable plan."""
    try:
        facts = json.loads(sealed)
        plan, signature = ServingPlan.from_json(facts["plan"]), bytes.fromhex(facts["signature"])
        signed = is_signed(key_folder, _signed(plan, model), signature)
    except (ValueError, TypeError, KeyError, RecursionError):
        signed = False
    if not signed:
        raise PlanRefused(
            "The registry's serving plan is not signed with this lab's key.",
            next_step="Who serves stays. See who else can write to the registry; the next rollout or `lab rollback` signs a plan again.",
            where="serving_plan",
        )
    return plan


def _signed(plan: ServingPlan, model: str) -> bytes:
    return f"serving plan of {model}\n{json.dumps(plan.to_json(), sort_keys=True)}".encode()


def card_position(card_id: str, salt: str) -> float:
    """A card's fixed place in [0, 1) for one salt: the first 8 bytes of BLAKE2b as a fraction."""
    digest = hashlib.blake2b(f"{salt}:{card_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _unusable(fault: str) -> BadInput:
    return BadInput(
        f"This serving plan cannot be followed: {fault}.", next_step="Set all cards to the champion again.", where="serving_plan"
    )
