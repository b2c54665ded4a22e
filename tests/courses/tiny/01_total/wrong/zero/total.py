"""What was paid."""


def total(amounts: list[float]) -> float:
    return 0
