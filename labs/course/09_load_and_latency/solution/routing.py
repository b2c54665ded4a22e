"""Where the front sends a request: by the card, so that the card's history stays in one place."""

from hashlib import blake2b


def pick(card_id: str, alive: list[str]) -> str:
    """Rendezvous hashing: the replica with the highest draw for this card. When one leaves, only its own cards move."""
    return max(alive, key=lambda url: blake2b(f"{url} {card_id}".encode()).digest())


def ask_another(attempt: int, failure: str) -> bool:
    """A payment that nobody answered may be asked again, as an id is stored once. Who is overloaded wants fewer requests, not more."""
    return failure == "gone" and attempt <= 2
