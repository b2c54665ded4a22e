"""A canary's outcome made by hand, for tests of what is made of it."""

from dataclasses import replace
from typing import Any

from labs.canaries.catalogue import CANARIES
from labs.canaries.outcome import Check, LookOutcome, Outcome, StepOutcome, Truth


def canary_outcome(**changes: Any) -> Outcome:
    """A challenger that fails on a twentieth of its payments, rolled back in its first canary."""
    canary = CANARIES["errors_5"]
    starts = ("2026-03-09T00:00:00+00:00", "2026-03-14T10:35:00+00:00", "2026-03-14T21:10:00+00:00")
    failing = {"errors": 6.2, "latency": -0.4, "fails_no_more": -8.0}
    made = Outcome(
        scenario=canary.name,
        catalogue_id=canary.catalogue_id,
        seed=7,
        source="synthetic world, seed 7",
        plan_digest="0" * 64,
        truth=Truth(canary.mechanism, "four weeks of rows", canary.worth, -26.0, (-43.0, -9.0), (14.3, 12.7), holds=True),
        ended="rolled_back",
        ended_at=starts[2],
        reasons_given=("failures: on 158 cards its own, on 48 the champion's <over a million to 1>",),
        pauses=(),
        steps=(
            StepOutcome("shadow", "shadow", 0.0, starts[0], starts[1], 20_619, 0, "advance", ("20,619 payments",), {"errors": 0.1}),
            StepOutcome("canary 1 %", "canary", 0.01, starts[1], starts[2], 3_005, 30, "roll_back", ("failures",), failing),
        ),
        looks=(
            LookOutcome(starts[1], "shadow", 0.0, "advance", {"errors": 0.1, "latency": 0.0, "fails_no_more": 2.0}),
            LookOutcome(starts[2], "canary 1 %", 0.01, "roll_back", failing),
        ),
        exposed=30,
        seen=23_624,
        noticed=23_624,
        checks=(Check("one champion", held=True),),
        expected=canary.expected,
    )
    return replace(made, **changes)
