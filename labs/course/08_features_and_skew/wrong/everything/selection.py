"""Keeps what is there: one never knows."""

from data.features import FEATURES


def chosen() -> list[str]:
    return list(FEATURES)
