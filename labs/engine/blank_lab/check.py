"""@ID@: one function for each check of lab.toml."""

import random

from labs.engine import Incorrect, Passed, Workplace


def share_is_right(at: Workplace) -> Passed:
    draw = random.Random(7)
    labels = [draw.random() < 0.005 for _ in range(20_000)]
    told = at.load("answer.py").call("share_of_frauds", labels, timeout_s=5)
    right, frauds = sum(labels) / len(labels), sum(labels)
    if told == frauds / (len(labels) - frauds):
        raise Incorrect("You divide by the genuine ones; a share is one of all.", "answer.py: the divisor")
    if told == 100 * right:
        raise Incorrect("That is per cent, and a share was asked for.", "answer.py: the unit")
    if not 0 <= told <= 1:
        raise Incorrect("That is a number of payments; a share lies between 0 and 1.", "answer.py: what is it a share of?")
    if abs(told - right) > 1e-12:
        raise Incorrect(f"You say {told:.5f}, and {frauds} of {len(labels)} are frauds.", "answer.py")
    return Passed({"share": told})
