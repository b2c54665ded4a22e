"""The larger mean wins."""

from statistics import mean


def verdict(plain, treated):
    if mean(treated) == mean(plain):
        return "noise"
    return "up" if mean(treated) > mean(plain) else "down"
