"""One hundredth is an effect, whatever is measured."""

from statistics import mean


def verdict(plain, treated):
    difference = mean(treated) - mean(plain)
    if abs(difference) < 0.01:
        return "noise"
    return "up" if difference > 0 else "down"
