"""Promise 12: a share of the cards is that share, a card stays where it is, and a larger share moves nobody back."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from scipy.stats import binom

from data.serving_plan import ServingPlan
from tests.chaos.load import Load, payment
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab, wait_until

SHARES = (0.01, 0.05, 0.20, 0.50)
PER_BATCH = 500
LEVEL = 0.999


def test_the_split_is_exact_sticky_and_nested(lab: Lab, scoreboard: Scoreboard, tier: Callable[[int, int], int]) -> None:
    cards = tier(5_000, 20_000)  # one payment of each, at each share
    alone = cards // 5  # of them also on their own: another path through the service
    arms: list[dict[str, str]] = []  # card -> arm, by share
    outside: list[str] = []
    moved = failures = 0
    lab.start()
    for epoch, share in enumerate(SHARES, start=1):
        lab.registry.set_plan(ServingPlan(epoch, "1", "2", "canary", share, "r1"))
        wait_until(lambda epoch=epoch: lab.follows(epoch), "the plan is followed")  # type: ignore[misc]
        arm = batches(lab, epoch, cards)
        with Load(lab.port, (payment(number_of(2 * epoch + 1, i, cards), card_id=card(i)) for i in range(alone))) as load:
            pass
        failures += load.failures
        moved += sum(arm[card(int(key[3:]) % cards)] != json.loads(answer.body)["arm"] for key, answer in load.answers.items())
        arms.append(arm)
        low, high = binom.interval(LEVEL, cards, share)
        canary = sum(where == "challenger" for where in arm.values())
        if not low <= canary <= high:
            outside.append(f"{share:.0%}: {canary} of {cards}")
    back = sum(arms[i][c] == "challenger" != arms[i + 1][c] for i in range(len(SHARES) - 1) for c in arms[i])
    assert "challenger" in arms[0].values() and "champion" in arms[-1].values(), "no split was made"
    shares = "/".join(f"{100 * sum(a == 'challenger' for a in arm.values()) / cards:.2f}" for arm in arms)
    scoreboard.record(
        promise=12,
        name="the split is exact, sticky and nested",
        n=len(SHARES) * (cards + alone),
        failures=failures + moved + back + len(outside),
        figure=f"{shares} % of cards at 1/5/20/50, {moved} moved, {back} back",
        passed=failures + moved + back == 0 and not outside,
    )


def batches(lab: Lab, epoch: int, cards: int) -> dict[str, str]:
    """card -> arm of one payment of every card."""
    found: dict[str, str] = {}
    for bodies in chunks(epoch, cards):
        content = b'{"transactions":[' + b",".join(bodies) + b"]}"
        answer = lab.http.post("/v1/score/batch", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 200, answer.text
        predictions: list[dict[str, Any]] = answer.json()["predictions"]
        found |= {card(int(each["transaction_id"][3:]) % cards): str(each["arm"]) for each in predictions}
    assert len(found) == cards
    return found


def chunks(epoch: int, cards: int) -> Iterator[list[bytes]]:
    for start in range(0, cards, PER_BATCH):
        yield [payment(number_of(2 * epoch, i, cards), card_id=card(i)).body for i in range(start, start + PER_BATCH)]


def number_of(turn: int, place: int, cards: int) -> int:
    """A payment of its own for each card in each turn, from which the card can be told."""
    return turn * cards + place


def card(place: int) -> str:
    return f"card_{place:05d}"
