"""Step 4: which scale_pos_weight?"""

from statistics import mean

from verdict import verdict


def choose(sweep):
    """The weight that saves most among those that save more than the smallest one beyond noise; that one, where none does."""
    saved = {}
    for fit in sweep:
        saved.setdefault(fit["weight"], []).append(fit["saved"])
    smallest = min(saved)
    better = [weight for weight, values in saved.items() if weight != smallest and verdict(saved[smallest], values) == "up"]
    return max(better, key=lambda weight: mean(saved[weight]), default=smallest)
