"""The catalogue of canaries, C0 to C15: named, seeded challengers with a known fault, and the end that each rollout must come to.

Ids are those of the canary catalogue; where several exercises share one, they are its levels. Bounds of exposure count payments of the
challenger's cards: a failure among them was answered by the champion. They hold for one rollout, near the most that any of 16 seeds needed;
the medians are judged by `make bench-canary` (H2, H3).
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from data.errors import BadInput
from labs.canaries.scenario import Canary, Expectation, Fault
from pipelines.rollout.actions import Result

PROMOTED: Final = ("promoted",)
ROLLED_BACK: Final = ("rolled_back",)
KEPT: Final = ("promoted", "inconclusive")  # no rollback
STOPPED: Final = ("inconclusive", "rolled_back")  # an honest end too, where evidence is short; the champion stays
# Slow share, exposure at most, end. The default plan's 1 % step sees some 300 answers at 4,000 payments a day, and 2 % slow is told
# from the 1 % allowed after some 1,300.
LATENCY: Final[tuple[tuple[float, int, tuple[Result, ...]], ...]] = (
    (0.20, 80, ROLLED_BACK),
    (0.05, 300, ROLLED_BACK),
    (0.02, 1_400, STOPPED),
)
SLOW_BLEED_PLAN: Final = Path(__file__).with_name("slow_bleed.toml")

CANARIES: Final[dict[str, Canary]] = {
    canary.name: canary
    for canary in (
        Canary("identical", "C0", "the champion's own model is the challenger", "same", "equal", Expectation(PROMOTED)),
        Canary("better_model", "C1", "a model that learned from four weeks instead of one", "better", "better", Expectation(PROMOTED)),
        Canary(
            "crash_on_load", "C2", "half of its file is missing, under a valid seal", "better", "worse",
            Expectation(("aborted",), exposed_at_most=0), Fault(refuses_to_load=True),
        ),
        Canary(
            "crash_on_first_request", "C2", "it raises on every payment from its first answer on", "better", "worse",
            Expectation(ROLLED_BACK, "failures", exposed_at_most=3), Fault(fails=1.0, in_canary=True),
        ),
        *(
            Canary(
                f"errors_{share:.0%}".rstrip("%"), "C3", f"it raises on {share:.0%} of payments from its first answer on",
                "better", "worse", Expectation(ROLLED_BACK, "failures", exposed_at_most=most), Fault(fails=share, in_canary=True),
            )
            for share, most in ((0.30, 15), (0.05, 70), (0.01, 1_000))
        ),
        *(
            Canary(
                f"slow_{share:.0%}".rstrip("%"), "C4", f"{share:.0%} of its answers take longer than the objective allows",
                "better", "worse", Expectation(ends, "slow", exposed_at_most=most), Fault(slow=share),
            )
            for share, most, ends in LATENCY
        ),
        Canary(
            "slow_under_load", "C5", "its answers beyond 30 an hour take longer than the objective allows", "better", "worse",
            Expectation(ROLLED_BACK, "slow", exposed_at_most=3_600), Fault(slow=1.0, slow_above_per_hour=30),
        ),
        Canary(
            "poisoned_score", "C6", "one score in 10,000 is no probability", "better", "worse",
            Expectation(ROLLED_BACK, "probability", exposed_at_most=1_400), Fault(poison=1e-4, in_canary=True),
        ),
        Canary(  # 2,000 payments are enough for the judge; it looks six hours apart, and those are another thousand here
            "skewed_features", "C7", "its features are off by one column", "skewed", "worse",
            Expectation(ROLLED_BACK, exposed_at_most=0, noticed_at_most=3_000),
        ),
        Canary(
            "stale_model", "C8", "it learned only from before fraudsters changed their tactics", "stale", "worse",
            Expectation(STOPPED, pauses=True, exposed_at_most=0),
        ),
        Canary(
            "lost_calibrator", "C9", "its scores are three times too high, their ranking intact", "uncalibrated", "worse",
            Expectation(STOPPED, "recalibrate", exposed_at_most=0),
        ),
        Canary(
            "wide_router", "C10", "the router gives it a fifth more cards than the plan says", "better", "better",
            Expectation(STOPPED, "answered by another", pauses=True, exposed_at_most=4_100),
            Fault(router_factor=1.2),
        ),
        Canary(
            "moving_shoppers", "C11", "on the fourth day shoppers move online, in both arms", "better", "better",
            Expectation(KEPT), Fault(shoppers_move_on=3),
        ),
        Canary(
            "telemetry_stops", "C12", "on the twelfth day payments cease to reach the log", "better", "better",
            Expectation(ROLLED_BACK, "no payment", pauses=True), Fault(payments_stop_on=11),
        ),
        Canary(
            "labels_stop", "C12", "on the second day reports of fraud cease", "better", "better",
            Expectation(ROLLED_BACK, "no label", pauses=True), Fault(labels_stop_on=1),
        ),
        Canary(
            "killed_controller", "C13", "the controller is killed in each of its actions and started again", "same", "equal",
            Expectation(PROMOTED), Fault(kills=True),
        ),
        Canary(
            "registry_away", "C13", "the registry is away for 30 seconds as a step begins", "same", "equal",
            Expectation(PROMOTED), Fault(registry_down_s=30),
        ),
        Canary(  # a running champion fails on none: a doubling of that is told at once, so a rarer failure under a stricter plan stands in
            "slow_bleed", "C14", "it fails on 0.4 % of payments, twice as often as both models do by chance", "same", "worse",
            Expectation(STOPPED), Fault(fails=0.004, fails_live=4e-5), plan=SLOW_BLEED_PLAN,
        ),
        Canary(
            "two_rollouts", "C15", "somebody starts a second rollout on the third day", "same", "equal",
            Expectation(PROMOTED), Fault(second_rollout=True),
        ),
        Canary(
            "operator_override", "C15", "an operator promotes it on the third day", "same", "equal",
            Expectation(PROMOTED), Fault(override="the old one is to be switched off today"),
        ),
    )
}  # fmt: skip


def chosen(names: Sequence[str], known: Mapping[str, Canary] = CANARIES) -> list[Canary]:
    """The exercises of these names; an id stands for all that bear it. All of them when none is named. Raises BadInput."""
    found: dict[str, Canary] = {}
    for name in names or known:
        same = [one for one in known.values() if name.lower() in (one.name, one.catalogue_id.lower())]
        if not same:
            words = [*known, *{one.catalogue_id for one in known.values()}]
            close = get_close_matches(name, words, n=1)
            raise BadInput(
                "There is no such canary.",
                next_step=f"Did you mean {close[0]}?" if close else "`lab canary list` names them.",
                where="canary",
            )
        found |= {one.name: one for one in same}
    return list(found.values())
