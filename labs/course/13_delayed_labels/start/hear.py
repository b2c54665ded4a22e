"""Yours: hear from the reports themselves, one after another, that the model misses more than it used to."""


def hear(caught: list[bool], usual: float) -> int | None:
    """The place (from 0) of the report with which you raise the alarm; None: never.

    `caught`: reported frauds in the order of their reports: had the model alerted? `usual`: the share it does in quiet weeks. At a
    place you know nothing of the reports after it. Of twenty quiet stretches of 300 reports one may raise an alarm; an alarm that
    the share fell to a third should come after some sixty reports.
    """
    raise NotImplementedError("Write `hear` in hear.py.")
