"""What was paid."""


def total(amounts: list[float]) -> float:
    return amounts[0] + sum(amounts[1:])
