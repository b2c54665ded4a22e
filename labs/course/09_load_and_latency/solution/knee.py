"""The knee of a ladder: the fewest callers who already get 90 % of the highest throughput."""


def knee(ladder: list[dict[str, float]]) -> float:
    enough = 0.9 * max(rung["per_s"] for rung in ladder)
    return min(rung["users"] for rung in ladder if rung["per_s"] >= enough)
