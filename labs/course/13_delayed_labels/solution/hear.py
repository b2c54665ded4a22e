"""Yours: hear from the reports themselves, one after another, that the model misses more than it used to."""

from math import log

FALLEN = 0.4  # of the usual share: what is listened for
ENOUGH = 6.5  # chosen on quiet stretches: one in twenty-five of 300 reports gets there


def hear(caught, usual):
    """A cumulative sum of evidence (Page 1954): each report speaks for the usual share or for the fallen one; below 0 it starts anew."""
    evidence = 0.0
    for place, alerted in enumerate(caught):
        evidence += log(FALLEN) if alerted else log((1 - FALLEN * usual) / (1 - usual))
        evidence = max(0.0, evidence)
        if evidence >= ENOUGH:
            return place
    return None
