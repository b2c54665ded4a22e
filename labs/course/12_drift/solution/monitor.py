"""Step 1: the input monitor."""

from compare import TRAFFIC, compare

BUDGET = 0.01  # for all columns, distance and missing values together
# Quiet days stray so far by themselves (`python floor.py`): no alarm below, however sure a test is that something differs.
STRAYS, TRAFFIC_STRAYS, MISSING_STRAYS = 0.035, 0.1, 0.015


def alarms(window, reference):
    """The columns that drifted, the clearest first: a list of names; empty where nothing did."""
    found = compare(window, reference)
    level = BUDGET / (2 * len(found))
    drifted = [one for one in found if (one.p_value < level and one.distance >= _strays(one)) or _is_missing(one, window, reference)]
    return [one.column for one in sorted(drifted, key=lambda one: -one.distance)]


def _strays(one):
    return TRAFFIC_STRAYS if one.column in TRAFFIC else STRAYS


def _is_missing(one, window, reference):
    """Far more, or fewer, missing values than chance and a quiet day explain."""
    n, m = len(window), len(reference)
    usual = (one.missing * n + one.missing_before * m) / (n + m)
    error = (usual * (1 - usual) * (1 / n + 1 / m)) ** 0.5
    return abs(one.missing - one.missing_before) > max(4 * error, TRAFFIC_STRAYS if one.column in TRAFFIC else MISSING_STRAYS)
