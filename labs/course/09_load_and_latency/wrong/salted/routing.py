def pick(card_id: str, alive: list[str]) -> str:
    return max(alive, key=lambda url: hash((url, card_id)))


def ask_another(attempt: int, failure: str) -> bool:
    return failure == "gone"
