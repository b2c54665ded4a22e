"""Tries judge.py on canaries played with the payments of this system's week: `python replays.py`, a few seconds.

The catalogue's challengers (`lab canary list`), as far as they fail; each replay draws other cards and other failures.
"""

from datetime import timedelta
from functools import cache
from statistics import median
from typing import NamedTuple

import numpy as np

from data.prediction_frames import window_frame
from data.settings import Settings
from labs.canaries.catalogue import CANARIES
from labs.canaries.played import FAILING
from labs.stream import midnight, open_stream

VERDICTS = ("roll_back", "promote", "hold", "inconclusive")


class Setting(NamedTuple):
    """Which challenger, on how many cards, for how long, how often."""

    canary: str
    share: float
    days: float
    runs: int


SETTINGS = {
    "itself": Setting("identical", 0.05, 7, 300),
    "scarce": Setting("identical", 0.01, 1, 60),
    "crash": Setting("errors_30", 0.05, 7, 50),
    "faulty": Setting("errors_5", 0.05, 7, 50),
    "bleeding": Setting("errors_1", 0.05, 7, 100),
}


class Judged(NamedTuple):
    """What a rule made of a setting: one verdict for each replay, and the payments of the challenger's cards by then."""

    verdicts: list
    exposed: list

    def share(self, verdict):
        return self.verdicts.count(verdict) / len(self.verdicts)


class Week(NamedTuple):
    """The week that the champion served alone: each payment's card as a number, and when it came (s)."""

    card: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(cls, log):
        """From a frame of the prediction log."""
        times = (log["event_time"] - log["event_time"].iloc[0]).dt.total_seconds()
        return cls(log["card_id"].cat.codes.to_numpy(), times.to_numpy())


def first_week(settings):
    """That week's frame."""
    began = midnight(open_stream(settings, None, 0).live)
    return window_frame(settings.log_place, began, began + timedelta(days=7))


def judge_all(rule, week, setting):
    """Let `rule` judge every replay of a setting. Raises ValueError for an answer that is none."""
    verdicts, exposed = [], []
    for run in range(setting.runs):
        looks = play(week, setting, run)
        for number, (challenger, champion) in enumerate(looks):
            last = number == len(looks) - 1
            verdict = rule(challenger, champion, setting.share, last)
            if verdict not in VERDICTS or (last and verdict == "hold"):
                raise ValueError(f"judge.py answers {verdict!r}{' at the last look' if last else ''}")
            if verdict != "hold":
                break
        verdicts.append(verdict)
        exposed.append(challenger[1])
    return Judged(verdicts, exposed)


def play(week, setting, run):
    """One replay: at each look ((failed, payments) of the challenger's cards, the same of the champion's)."""
    random = np.random.Generator(np.random.Philox([15, run]))
    n = int(np.searchsorted(week.seconds, setting.days * 86_400))
    card, seconds = week.card[:n], week.seconds[:n]
    mine = (random.random(week.card.max() + 1) < setting.share)[card]
    fails = max(FAILING, CANARIES[setting.canary].fault.fails)
    failed = random.random(n) < np.where(mine, fails, FAILING)
    at = np.searchsorted(seconds, looks_of(setting.days))
    sides = []
    for side in (mine, ~mine):
        bad, all_ = (np.concatenate(([0], np.cumsum(some)))[at].tolist() for some in (side & failed, side))
        sides.append(list(zip(bad, all_, strict=True)))
    return list(zip(*sides, strict=True))


@cache
def looks_of(days):
    """Seconds from the beginning: after five minutes, then twice as far apart each time up to six hours, and at the end."""
    found, distance = [300.0], 600.0
    while found[-1] + distance < days * 86_400:
        found.append(found[-1] + distance)
        distance = min(2 * distance, 21_600.0)
    return (*found, days * 86_400)


def main():
    from judge import verdict

    week = Week.of(first_week(Settings.load()))
    print(f"{'':10}{'cards':>6}{'days':>5}{'fails on':>10}   roll back  promote  undecided  payments met")
    for name, setting in SETTINGS.items():
        found = judge_all(verdict, week, setting)
        fails = max(FAILING, CANARIES[setting.canary].fault.fails)
        shares = [found.share(one) for one in ("roll_back", "promote", "inconclusive")]
        print(f"{name:10}{setting.share:>6.0%}{setting.days:>5}{fails:>10.1%}{shares[0]:>12.0%}{shares[1]:>9.0%}{shares[2]:>11.0%}"
              f"{median(found.exposed):>14,.0f}")  # fmt: skip
    print(f"The champion fails on {FAILING:.1%}, and so does `itself`: it is the same model.")


if __name__ == "__main__":
    main()
