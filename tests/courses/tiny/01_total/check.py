"""Checks of a function that the learner writes."""

from labs.engine import Incorrect, Passed, Workplace


def adds_up(at: Workplace) -> Passed:
    told = at.load("total.py").call("total", [1.0, 2.0, 3.0])
    if told == 0:
        raise Incorrect("It is more than nothing.", "total.py")
    if told == 12:
        raise Incorrect("That is twice what was paid.", "total.py")
    return Passed({"paid": told})


def bears_nothing(at: Workplace) -> Passed:
    if at.load("total.py").call("total", []) != 0:
        raise Incorrect("Nothing is nothing.", "total.py")
    return Passed()
