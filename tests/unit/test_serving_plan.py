"""The split is sticky, nested and fair; a plan that cannot be followed is refused."""

from dataclasses import replace
from itertools import pairwise

import pytest

from data.errors import BadInput
from data.serving_plan import ServingPlan, card_position

CANARY = ServingPlan(3, "1", "2", "canary", 0.05, "rollout-1")
CARDS = [f"card_{n}" for n in range(20_000)]


def challengers(plan: ServingPlan) -> set[str]:
    return {card for card in CARDS if plan.arm(card) == "challenger"}


def test_raising_the_share_moves_no_card_back() -> None:
    steps = [*(replace(CANARY, share=share) for share in (0.01, 0.05, 0.25, 0.5)), replace(CANARY, mode="soak", share=1.0)]
    groups = [challengers(step) for step in steps]
    for smaller, larger in pairwise(groups):
        assert smaller < larger


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_share_of_cards_is_the_share_declared(share: float) -> None:
    found = len(challengers(replace(CANARY, share=share))) / len(CARDS)
    assert found == pytest.approx(share, abs=4 * (share * (1 - share) / len(CARDS)) ** 0.5)


def test_another_rollout_draws_other_cards() -> None:
    first, second = challengers(CANARY), challengers(replace(CANARY, rollout_id="rollout-2"))
    assert len(first & second) < 0.1 * len(first)  # 5 % of them by chance


def test_a_shadow_answers_nobody() -> None:
    assert not challengers(replace(CANARY, mode="shadow", share=1.0))


def test_a_soak_leaves_no_card_with_the_champion() -> None:
    assert len(challengers(replace(CANARY, mode="soak", share=1.0))) == len(CARDS)


def test_a_position_is_the_same_on_every_machine() -> None:
    assert card_position("card_1", "rollout-1") == 0.720069037728463


def test_a_plan_survives_json() -> None:
    assert ServingPlan.from_json(CANARY.to_json()) == CANARY


@pytest.mark.parametrize(
    "facts",
    [
        {"share": 1.5},
        {"share": -0.1},
        {"share": float("nan")},
        {"mode": "blue_green"},
        {"mode": "soak", "share": 0.9},
        {"challenger": None},
        {"challenger": "1"},
        {"unknown": 1},
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="serving plan cannot be followed"):
        ServingPlan.from_json({**CANARY.to_json(), **facts})


def test_a_plan_with_a_field_missing_is_refused() -> None:
    with pytest.raises(BadInput, match="fields"):
        ServingPlan.from_json({"epoch": 1})
