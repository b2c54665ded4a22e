"""How fraudsters work: each kind of campaign as data, to be read and changed.

A campaign has victims; each victim goes through one or more phases; each phase is a few uses of the card. The numbers
are the lab's own, tuned to the bands of `validation.py`: fraud is cheap and quick rather than big (half of the frauds
in the ULB set are below 9.25 EUR), most stolen cards are used once or twice, and the holder goes on shopping meanwhile.
For the files of `data/world/` only.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Phase:
    """One step against a victim."""

    categories: tuple[str, ...]
    median: float  # EUR
    spread: float  # standard deviation of the logarithm
    ticket: float  # 0: own amounts; 1: what the shop's goods cost
    chance: float = 1.0  # of a victim reaching this phase
    uses: float = 1.0  # mean, geometric
    delay_days: float = 0.0  # mean, exponential, after the campaign's start
    gap_s: float = 1_800.0  # median between uses
    hours: str = "night"  # a rhythm of habits.py, or "burst": within a quarter of an hour of each other
    online: float = 1.0
    device: Literal["fresh", "ring", "own"] = "fresh"
    merchants: int = 0  # the campaign's own few shops; 0 = any
    home: bool = True  # in the victim's town, else wherever the campaign works


@dataclass(frozen=True)
class Tactic:
    """One kind of campaign."""

    kind: str
    weight: float  # share of the fraud payments of its playbook
    victims: float  # mean, geometric
    phases: tuple[Phase, ...]
    copied_at_terminal: bool = False  # victims' cards are read at one till, by an honest payment, days before


PLAYBOOK: Final = (
    Tactic("card_testing", 0.32, 16, (
        Phase(("digital_goods", "services", "entertainment", "transport"), 1.8, 0.8, 0.1, hours="burst", device="ring", merchants=1),
        Phase(("electronics", "gift_cards", "fashion", "home"), 130, 0.7, 0.4, chance=0.22, uses=1.06, delay_days=3, gap_s=240,
              merchants=2),
    )),
    Tactic("stolen_card", 0.12, 1, (
        Phase(("grocery", "gift_cards", "electronics", "pharmacy", "fuel", "cash"), 44, 0.15, 0.15, uses=1.35, delay_days=0.3, gap_s=150,
              hours="evening", online=0.05),
    )),
    Tactic("account_takeover", 0.14, 1.3, (
        Phase(("electronics", "gift_cards", "jewellery", "travel", "fashion"), 165, 0.7, 0.4, uses=1.16, delay_days=2, gap_s=150),
    )),
    Tactic("compromised_terminal", 0.25, 10, (
        Phase(("electronics", "fashion", "gift_cards", "grocery", "home", "travel"), 72, 0.8, 0.5, uses=1.06, delay_days=6, gap_s=150,
              online=0.6, merchants=2, home=False),
    ), copied_at_terminal=True),
    Tactic("bust_out", 0.02, 1, (
        Phase(("electronics", "jewellery", "travel", "cash", "home", "fashion"), 260, 0.6, 0.3, uses=2.6, delay_days=1, gap_s=60_000,
              hours="shop", online=0.5, device="own"),
    )),
    Tactic("device_ring", 0.14, 14, (
        Phase(("digital_goods", "gift_cards", "entertainment", "fashion"), 26, 0.6, 0.7, uses=1.05, delay_days=1, gap_s=300, device="ring",
              merchants=2),
    )),
)  # fmt: skip

# What fraudsters do after a `new_tactic` change: by day, with the victim's own phone, modest amounts, everyday trades.
NEW_PLAYBOOK: Final = (
    Tactic("mule_merchant", 0.6, 16, (
        Phase(("services", "home", "pharmacy"), 46, 0.3, 0.1, uses=1.1, delay_days=0.7, gap_s=300, hours="working_day", device="own",
              merchants=1),
    )),
    Tactic("quiet_takeover", 0.4, 2, (
        Phase(("grocery", "restaurant", "transport"), 85, 0.35, 0.1, uses=1.2, delay_days=1, gap_s=300, hours="working_day",
              device="own"),
    )),
)  # fmt: skip

TACTICS: Final = PLAYBOOK + NEW_PLAYBOOK
KINDS: Final = (*(tactic.kind for tactic in TACTICS), "friendly_fraud")  # the last is no campaign: label noise
FRIENDLY_FRAUD: Final = len(KINDS) - 1
