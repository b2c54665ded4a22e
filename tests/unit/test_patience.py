"""How long a challenger may take before it is taken out."""

import pytest

from services.scoring.patience import FACTOR, FLOOR_S, MOST_FAILURES, MOST_LATE, WINDOW, Patience

CHAMPION_S = 2 * FLOOR_S  # so that the champion is the measure


class Bench:
    """Keeps who was benched, and why."""

    def __init__(self) -> None:
        self.why: dict[str, str] = {}

    def __call__(self, version: str, why: str) -> None:
        self.why[version] = why


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_challenger_of_ten_times_the_time_is_out_within_a_window(bench: Bench) -> None:
    patience = Patience(bench)
    for _ in range(MOST_LATE):
        patience.took("2", 1, CHAMPION_S, 10 * CHAMPION_S)
    assert bench.why == {}
    patience.took("2", 1, CHAMPION_S, 10 * CHAMPION_S)
    assert bench.why == {"2": "slow: 51 of 51 calls took more than 4 times as long as the champion's"}


def test_a_call_for_many_rows_counts_as_one(bench: Bench) -> None:
    """A pause in it is one pause, however many rows were there."""
    patience = Patience(bench)
    for call in range(5 * WINDOW):
        patience.took("2", 1_000, 1_000 * CHAMPION_S, (100_000 if call % 10 == 0 else 1_000) * CHAMPION_S)
    assert bench.why == {}


@pytest.mark.parametrize("factor", [1.0, 3.0, 0.99 * FACTOR])
def test_a_larger_model_within_the_factor_stays(bench: Bench, factor: float) -> None:
    patience = Patience(bench)
    for _ in range(5 * WINDOW):
        patience.took("2", 1, CHAMPION_S, factor * CHAMPION_S)
    assert bench.why == {}


def test_long_pauses_in_some_calls_bench_nobody(bench: Bench) -> None:
    """A pause of 0.3 s, 15,000 times the call, in every tenth call of the challenger."""
    patience = Patience(bench)
    for call in range(5 * WINDOW):
        patience.took("2", 1, CHAMPION_S, 0.3 if call % 10 == 5 else 2 * CHAMPION_S)
    assert bench.why == {}


def test_pauses_of_the_champion_hide_no_slow_challenger(bench: Bench) -> None:
    patience = Patience(bench)
    for call in range(WINDOW):
        patience.took("2", 1, 0.3 if call % 10 == 5 else CHAMPION_S, 20 * CHAMPION_S)
    assert "2" in bench.why


def test_a_challenger_that_is_slow_for_many_payments_only_is_out(bench: Bench) -> None:
    patience = Patience(bench)
    for call in range(WINDOW):
        patience.took("2", 1, CHAMPION_S, (100 if call % 5 < 2 else 1) * CHAMPION_S)
    assert "2" in bench.why


def test_where_nobody_is_hurt_nobody_is_slow(bench: Bench) -> None:
    patience = Patience(bench)
    for _ in range(5 * WINDOW):
        patience.took("2", 1, FLOOR_S / 50, 0.9 * FLOOR_S)
    assert bench.why == {}


def test_the_next_challenger_is_judged_by_its_own_calls(bench: Bench) -> None:
    patience = Patience(bench)
    for version in ("2", "3"):
        for _ in range(MOST_LATE):
            patience.took(version, 1, CHAMPION_S, 10 * CHAMPION_S)
    assert bench.why == {}


def test_failures_that_are_not_in_a_row_are_counted_and_bench_nobody(bench: Bench) -> None:
    heard: list[None] = []
    patience = Patience(bench, lambda: heard.append(None))
    for _ in range(100):
        for _ in range(MOST_FAILURES - 1):
            patience.failed("2", "RuntimeError")
            assert not patience.is_out("2")
        patience.scored()
    assert (len(heard), bench.why) == (100 * (MOST_FAILURES - 1), {})


def test_many_failures_in_a_row_bench_with_the_last_one(bench: Bench) -> None:
    patience = Patience(bench)
    for _ in range(MOST_FAILURES):
        assert not patience.is_out("2")
        patience.failed("2", "RuntimeError")
    assert patience.is_out("2")
    assert bench.why == {"2": "20 failures in a row: RuntimeError"}


def test_one_score_that_is_no_probability_is_enough(bench: Bench) -> None:
    Patience(bench).poisoned("2", "not a number")
    assert bench.why == {"2": "its score was not a number"}
