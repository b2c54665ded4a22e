"""Promise 13: the machine's clock may be wrong, and the senders' clocks may disagree: no decision depends on it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from data.features import FEATURES
from tests.chaos.load import Load, Payment, payment
from tests.chaos.scoreboard import Scoreboard
from tests.chaos.service import Lab
from tests.chaos.stored import StoredAnswers
from tests.chaos.wraps import wrapped
from tests.records import START

PAYMENTS = 600
HOUR_S = 3_600
APART = timedelta(minutes=5)  # between the clocks of two senders
FEW_CARDS = 11  # so that both senders see each card
TODAYS = 50  # payments of a service that is up to date, with each clock
FAR_AHEAD_H = (3, 12, 24, 24 * 30)
SPARE = 100_000  # numbers that no other payment here has
# What may be below zero by its meaning: a deviation, and the code of a level that no model knows.
SIGNED = {"amount_to_card_deviation", "channel", "category"}


def test_no_decision_and_no_window_depends_on_a_clock(lab: Lab, scoreboard: Scoreboard, tmp_path_factory: pytest.TempPathFactory) -> None:
    answers: list[dict[str, bytes]] = []
    matrices = []
    for seconds in (0, -HOUR_S, HOUR_S):
        with another_home(lab, tmp_path_factory) as own:
            own.start(wrapped(f"clock={seconds}"))
            assert abs(wrong_by(own) - seconds) < 60, "the clock was not changed"
            with Load(own.port, from_two_hosts(), clients=1) as load:
                pass
            own.kill()
            answers.append(load.acknowledged)
            matrices.append(StoredAnswers(own.log).matrix)
    columns = [i for i, name in enumerate(FEATURES) if name not in SIGNED]
    negative = int((matrices[0][:, columns] < 0).sum())
    changed = sum(answers[0][key] != other.get(key) for other in answers[1:] for key in answers[0])
    off = sum(not np.array_equal(matrices[0], other, equal_nan=True) for other in matrices[1:])
    missing = 3 * PAYMENTS - sum(map(len, answers))
    scoreboard.record(
        promise=13,
        name="a clock an hour off, and two senders 5 min apart, change no decision",
        n=3 * PAYMENTS,
        failures=negative + changed + off + missing,
        figure=f"{changed} changed, {negative} negative windows, {missing} unanswered",
        passed=negative + changed + off + missing == 0,
    )


def test_a_payment_from_too_far_ahead_is_refused(lab: Lab, scoreboard: Scoreboard) -> None:
    lab.start()
    now = datetime.now(UTC)
    ahead = [timedelta(hours=h) for h in (3, 24, 24 * 30, 24 * 365 * 10)]
    with Load(lab.port, (payment(i, event_time=now + each) for i, each in enumerate(ahead))) as load:
        pass
    with Load(lab.port, (payment(100 + i, event_time=now + timedelta(minutes=m)) for i, m in enumerate((-60, -5, 0, 4)))) as near:
        pass
    taken = sum(answer.status != 422 or b'"event_time"' not in answer.body for answer in load.answers.values()) + len(load.unanswered)
    scoreboard.record(
        promise=13,
        name="a payment from 3 h or more ahead gets 422, one from 4 min ahead an answer",
        n=len(ahead) + len(near.answers),
        failures=taken + near.failures,
        figure=f"{taken} taken, {near.failures} refused wrongly",
        passed=taken + near.failures == 0,
    )


def test_among_todays_payments_one_from_hours_ahead_is_refused_whatever_this_clock_says(lab: Lab, scoreboard: Scoreboard) -> None:
    """The clock of a service that is up to date is set back an hour, and forward, while payments come in."""
    now = datetime.now(UTC)
    moments = {number: now + timedelta(seconds=number) for number in range(3 * TODAYS)}
    refused_wrongly = taken = 0
    for turn, seconds in enumerate((0, -HOUR_S, HOUR_S)):
        lab.start(wrapped(f"clock={seconds}"))
        assert abs(wrong_by(lab) - seconds) < 60, "the clock was not changed"
        todays = range(turn * TODAYS, (turn + 1) * TODAYS)
        with Load(lab.port, (payment(number, event_time=moments[number]) for number in todays), clients=1) as load:
            pass
        newest = moments[todays[-1]]
        with Load(lab.port, (payment(SPARE * (turn + 1) + h, event_time=newest + timedelta(hours=h)) for h in FAR_AHEAD_H)) as far:
            pass
        refused_wrongly += load.failures
        taken += sum(answer.status != 422 for answer in far.answers.values()) + len(far.unanswered)
        lab.kill()
    scoreboard.record(
        promise=13,
        name="of today's payments one from 3 h ahead gets 422, with this clock an hour off too",
        n=3 * (TODAYS + len(FAR_AHEAD_H)),
        failures=refused_wrongly + taken,
        figure=f"{taken} taken, {refused_wrongly} refused wrongly",
        passed=refused_wrongly + taken == 0,
    )


def from_two_hosts() -> Iterator[Payment]:
    """Every second payment comes from a host whose clock is five minutes behind the other's."""
    for number in range(PAYMENTS):
        moment = START + timedelta(seconds=7 * number) - (APART if number % 2 else timedelta(0))
        yield payment(number, card_id=f"card_{number % FEW_CARDS}", event_time=moment)


def another_home(lab: Lab, factory: pytest.TempPathFactory) -> Lab:
    """A lab that follows the same registry, with a log of its own."""
    return Lab(factory.mktemp("lab") / "home", lab.registry, key_folder=(lab.home / "keys").resolve())


def wrong_by(lab: Lab) -> float:
    """By how many seconds the process's clock is ahead: what it wrote down, against the file system's time of writing."""
    file = lab.home / "models" / "last_good.json"
    wrote = datetime.fromisoformat(json.loads(file.read_bytes())["confirmed_at"])
    return wrote.timestamp() - file.stat().st_mtime
