"""The knee of a ladder: the fewest callers who already get 90 % of the highest throughput."""


def knee(ladder: list[dict[str, float]]) -> float:
    """Its number of callers.

    One dict a rung, fewest callers first: `users`, `per_s` (payments answered per second), `p50_ms`, `p99_ms`, `refused` (a share).
    """
    raise NotImplementedError("Write `knee` in knee.py.")
