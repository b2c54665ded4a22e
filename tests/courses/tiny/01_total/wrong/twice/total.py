"""What was paid."""


def total(amounts: list[float]) -> float:
    return 2 * sum(amounts)
