"""The features are right, and the same for a table of payments and for one payment at a time."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from data.errors import BadInput
from data.features import CARD_MEMORY, FEATURE_COUNT, FEATURE_INDEX, FEATURES
from data.history import History, build_features
from tests.unit.feature_reference import DAY, EARTH_KM, HOUR, Payment, expected, online, payed, tables

START = 1_767_571_200  # 2026-01-05, a Monday, 00:00 UTC
# Steps that land before, on and after the borders of windows, and long silences.
STEPS = [
    0,
    0,
    1,
    59,
    HOUR - 1,
    HOUR,
    HOUR + 1,
    5 * HOUR,
    DAY - 1,
    DAY,
    DAY + 1,
    3 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    30 * DAY,
    31 * DAY,
    45 * DAY,
]
LATE = [0, 0, 0, 0, 1, 60, HOUR, DAY - 1, DAY, DAY + 1, 5 * DAY, 40 * DAY]
PLACES = [
    (math.nan, math.nan),
    (48.2082, 16.3738),
    (48.2083, 16.3738),
    (-33.8688, 151.2093),
    (0.0, 180.0),
    (0.0, -180.0),
    (90.0, 0.0),
    (48.2, math.nan),
]
DELAYS = [None, None, 0, 1, HOUR, 6 * DAY, 7 * DAY, 20 * DAY, 60 * DAY]


@st.composite
def histories(draw: st.DrawFn) -> list[Payment]:
    """Payments in order of arrival: ties, silences, late ones, repeats, unknown places and devices, unseen levels, late labels."""
    now, payments = START + draw(st.integers(0, DAY)), []
    cards, terminals = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    for number in range(draw(st.integers(1, 40))):
        if payments and draw(st.integers(0, 11)) == 0:
            payments.append(draw(st.sampled_from(payments)))
            continue
        now += draw(st.sampled_from(STEPS))
        time = now - draw(st.sampled_from(LATE))
        place, delay = draw(st.sampled_from(PLACES)), draw(st.sampled_from(DELAYS))
        payments.append(
            Payment(
                transaction_id=f"tx_{number}",
                time=time,
                card=f"card_{draw(st.integers(1, cards))}",
                terminal=f"term_{draw(st.integers(1, terminals))}",
                amount=draw(st.sampled_from([1, 1, 999, 1000, 1001, 123_456, 1_000_000_000])),
                channel=draw(st.sampled_from(["chip", "online", "telepathy"])),
                category=draw(st.sampled_from(["grocery", "unknown", "time_travel"])),
                latitude=place[0],
                longitude=place[1],
                device=draw(st.sampled_from([None, "phone", "laptop"])),
                report_time=None if delay is None else time + delay,
            )
        )
    return payments


def busy_card(payments: int, seed: int) -> list[Payment]:
    """One card that pays far more than it can remember, some of it late, at few terminals."""
    random = np.random.default_rng(seed)
    times = START + np.cumsum(random.integers(0, 3 * HOUR, payments)) - random.choice([0, 0, 0, 2 * HOUR, 2 * DAY], payments)
    return [
        Payment(
            f"tx_{i}", int(times[i]), "card_1", f"term_{random.integers(6)}", int(random.lognormal(8, 1)) + 1,
            latitude=float(random.uniform(46, 49)), longitude=float(random.uniform(9, 17)), device=f"device_{random.integers(3)}",
            report_time=int(times[i]) + 7 * DAY if random.random() < 0.1 else None,
        )
        for i in range(payments)
    ]  # fmt: skip


def assert_same_bits(left: NDArray[np.float64], right: NDArray[np.float64]) -> None:
    """Equal to the last bit. A NaN is a NaN: IEEE 754 gives its sign and payload no meaning, and LightGBM none either."""
    assert left.shape == right.shape
    same = (left.view(np.int64) == right.view(np.int64)) | (np.isnan(left) & np.isnan(right))
    assert same.all(), [(int(i), FEATURES[j], left[i, j], right[i, j]) for i, j in np.argwhere(~same)[:5]]


def assert_right(found: NDArray[np.float64], want: NDArray[np.float64], payments: list[Payment]) -> None:
    """Within 1e-9; distances within the half metre per thousand kilometres that float32 points allow, measured as chords."""
    assert found.shape == want.shape
    for name, column in FEATURE_INDEX.items():
        left, right = found[:, column], want[:, column]
        if name.startswith("card_distance_km"):
            left, right = np.sin(left / EARTH_KM / 2), np.sin(right / EARTH_KM / 2)
            np.testing.assert_allclose(left, right, rtol=0, atol=2.5e-7, err_msg=name)
        elif name == "speed_kmh":
            np.testing.assert_allclose(left, right, rtol=1e-3, atol=10, err_msg=name)  # exact distances are checked above
        else:
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12, err_msg=name)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_every_feature_agrees_with_the_slow_reference(payments: list[Payment]) -> None:
    found, _ = build_features(*tables(payments))
    assert_right(found, expected(payments), payments)


def test_a_card_beyond_its_memory_agrees_with_the_slow_reference() -> None:
    payments = busy_card(2 * CARD_MEMORY + 100, seed=1)
    found, _ = build_features(*tables(payments))
    assert_right(found, expected(payments), payments)
    assert found[:, FEATURE_INDEX["card_count_30d"]].max() <= CARD_MEMORY


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_batch_equals_online_to_the_last_bit(payments: list[Payment]) -> None:
    batch, _ = build_features(*tables(payments))
    assert_same_bits(batch, online(payments, History()))


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.integers(1, 7))
def test_payments_taken_together_get_what_each_would_get_alone(payments: list[Payment], together: int) -> None:
    unique = [payed(p) for p in {p.transaction_id: p for p in payments}.values()]
    alone, lumps = History(), History()
    one_by_one = np.array([alone.advance(*payment) for payment in unique])
    assert_same_bits(np.concatenate([lumps.advance_many(unique[i : i + together]) for i in range(0, len(unique), together)]), one_by_one)
    assert lumps.digest() == alone.digest()


def test_payments_taken_together_are_refused_whole() -> None:
    history = History()
    before = history.digest()
    with pytest.raises(BadInput):
        history.advance_many([payed(Payment("tx_1", 1_767_571_200, "card_1", "term_1", 100)), payed(Payment("tx_2", -1, "card_1", "t", 1))])
    assert history.digest() == before


def test_batch_equals_online_to_the_last_bit_for_a_card_beyond_its_memory() -> None:
    payments = busy_card(3 * CARD_MEMORY, seed=2)
    batch, after = build_features(*tables(payments))
    one_at_a_time = History()
    assert_same_bits(batch, online(payments, one_at_a_time))
    for late in sorted(p.report_time for p in payments if p.report_time and p.report_time > max(q.time for q in payments)):
        fraud = next(p for p in payments if p.report_time == late)
        one_at_a_time.report(card_id=fraud.card, terminal_id=fraud.terminal, report_time_s=late)
    assert after.digest() == one_at_a_time.digest()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(payments=histories(), cuts=st.lists(st.integers(0, 40), max_size=3))
def test_a_table_in_pieces_with_saving_and_restoring_between_equals_the_whole(
    payments: list[Payment], cuts: list[int], tmp_path: Path
) -> None:
    unique = list({p.transaction_id: p for p in payments}.values())  # across pieces, repeats are the caller's to drop
    whole, after = build_features(*tables(unique))
    history, rows = History(), []
    for start, end in itertools.pairwise([0, *sorted(min(cut, len(unique)) for cut in cuts), len(unique)]):
        piece, history = build_features(*tables(unique[start:end]), history)
        rows.append(piece)
        history.save(tmp_path / "history.npz")
        history = History.load(tmp_path / "history.npz")
    assert_same_bits(whole, np.concatenate(rows))
    assert history.digest() == after.digest()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.data())
def test_no_feature_changes_when_later_rows_or_labels_not_yet_known_change(payments: list[Payment], data: st.DataObject) -> None:
    last = data.draw(st.integers(0, len(payments) - 1))
    now = max(p.time for p in payments[: last + 1])
    other = data.draw(st.sampled_from([None, 1, DAY]))
    past = [
        replace(p, report_time=None if other is None else now + other) if p.report_time is not None and p.report_time > now else p
        for p in payments[: last + 1]
    ]
    ids = {p.transaction_id for p in past}
    future = [replace(p, amount=p.amount + 1, card="card_1", terminal="term_1", report_time=now) for p in payments[last + 1 :]]
    changed = [*past, *(p for p in future if p.transaction_id not in ids)]
    before, _ = build_features(*tables(payments))
    after, _ = build_features(*tables(changed))
    assert_same_bits(before[: last + 1], after[: last + 1])


def test_a_payment_never_sees_its_own_label() -> None:
    first = Payment("tx_1", START, "card_1", "term_1", 1000, report_time=START)
    second = Payment("tx_2", START, "card_1", "term_1", 1000)
    rows, _ = build_features(*tables([first, second]))
    assert rows[:, FEATURE_INDEX["terminal_reports_1d"]].tolist() == [0, 1]


def test_windows_open_after_their_border_and_close_at_the_payment() -> None:
    times = [START, START + 1, START + HOUR, START + HOUR]
    rows, _ = build_features(*tables([Payment(f"tx_{i}", t, "card_1", "term_1", 100) for i, t in enumerate(times)]))
    assert rows[:, FEATURE_INDEX["card_count_1h"]].tolist() == [0, 1, 1, 2]


def test_a_repeated_transaction_gets_the_first_ones_features_and_changes_nothing() -> None:
    first, second = Payment("tx_1", START, "card_1", "term_1", 1000), Payment("tx_2", START + 5, "card_1", "term_1", 1000)
    rows, after = build_features(*tables([first, first, second]))
    alone, want = build_features(*tables([first, second]))
    assert_same_bits(rows, alone[[0, 0, 1]])
    assert after.digest() == want.digest()


def test_different_transactions_of_one_hash_are_not_taken_for_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    payments = busy_card(50, seed=3)
    want, after = build_features(*tables(payments))
    monkeypatch.setattr("data.history._may_repeat", lambda names: True)
    rows, history = build_features(*tables(payments))
    assert_same_bits(rows, want)
    assert history.digest() == after.digest()


def test_an_empty_table_has_no_rows() -> None:
    rows, _ = build_features(*tables([]))
    assert rows.shape == (0, FEATURE_COUNT)


@pytest.mark.parametrize("change", [{"amount": -1}, {"amount": 2**31}, {"time": -1}])
def test_a_number_that_does_not_fit_is_refused_in_both_paths(change: dict[str, int]) -> None:
    payment = replace(Payment("tx_1", START, "card_1", "term_1", 1000), **change)
    with pytest.raises(BadInput):
        online([payment], History())
    with pytest.raises(BadInput):
        build_features(*tables([payment]))
