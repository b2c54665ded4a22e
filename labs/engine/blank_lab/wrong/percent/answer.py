"""The share of frauds among payments."""


def share_of_frauds(labels: list[bool]) -> float:
    """`labels`: True for each fraud."""
    return 100 * (sum(labels) / len(labels))
