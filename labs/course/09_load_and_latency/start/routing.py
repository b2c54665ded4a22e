"""Where the front sends a request, and what it does when there is no answer."""

import random


def pick(card_id: str, alive: list[str]) -> str:
    """The replica, one of `alive`, that is to answer a payment of this card."""
    return random.choice(alive)


def ask_another(attempt: int, failure: str) -> bool:
    """Whether to ask another replica after `attempt` of them failed (1, 2, …).

    `failure` of the last: "gone" (no answer, the connection broke), "overloaded" (429 or 503), "refused" (any other 4xx or 5xx).
    """
    return False
