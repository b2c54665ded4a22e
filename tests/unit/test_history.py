"""A history rests in a file, and a wrong file is refused with the next thing to do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.errors import BadInput, DiskFull
from data.history import History, build_features
from data.history_layout import POOLS, run_capacity
from data.settings import REPOSITORY
from tests.unit.feature_reference import Payment, tables

PAYMENTS = [
    Payment(f"tx_{i}", 1_767_571_200 + 60 * i, f"card_{i % 7}", f"term_{i % 3}", 100 + i, report_time=1_767_571_200 + 90 * i)
    for i in range(50)
]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "history" / "state.npz"
    build_features(*tables(PAYMENTS))[1].save(path)
    return path


def test_a_saved_history_comes_back_the_same(saved: Path) -> None:
    assert History.load(saved).digest() == build_features(*tables(PAYMENTS))[1].digest()


def test_the_first_payments_after_a_start_copy_no_pool(tmp_path: Path) -> None:
    """Copying one takes tens of milliseconds, in which nobody is answered."""
    cards, first = 300, PAYMENTS[0].time
    before = [Payment(f"tx_{i}", first + i, f"card_{i % cards}", f"term_{i % 20}", 100) for i in range(6 * cards)]
    build_features(*tables(before))[1].save(tmp_path / "snapshot")
    history = History.load(tmp_path / "snapshot")
    pools = [id(getattr(history._state, pool)) for pool in POOLS]
    for i in range(2 * cards):
        history.advance(f"card_{i % cards}", f"term_{i % 20}", first + 6 * cards + i, 100, "chip", "grocery", None, None, None)
    assert [id(getattr(history._state, pool)) for pool in POOLS] == pools


@pytest.mark.parametrize(("size", "room"), [(0, 0), (1, 8), (7, 8), (8, 16), (15, 16), (16, 32), (1000, 1024), (1024, 2048)])
def test_a_run_that_comes_from_a_file_has_a_place_free(size: int, room: int) -> None:
    assert run_capacity(np.array([size], np.int32)).tolist() == [room]


def test_the_digest_does_not_depend_on_the_order_in_which_cards_are_met() -> None:
    digests = set()
    for cards in (("card_1", "card_2"), ("card_2", "card_1")):
        rows = [Payment(f"tx_{card}", 1_767_571_200, card, f"term_{card}", 100) for card in cards]
        digests.add(build_features(*tables(rows))[1].digest())
    assert len(digests) == 1


def test_the_digest_sees_one_more_payment() -> None:
    assert build_features(*tables(PAYMENTS[:-1]))[1].digest() != build_features(*tables(PAYMENTS))[1].digest()


def test_it_knows_its_newest_payment_whatever_came_after(saved: Path) -> None:
    history = History.load(saved)
    assert History().newest_s() == 0 and history.newest_s() == PAYMENTS[-1].time
    history.advance("card_1", "term_9", PAYMENTS[0].time - 5, 100, "chip", "fuel", None, None, None)  # late
    history.report(card_id="card_1", terminal_id="term_10", report_time_s=PAYMENTS[-1].time + 9)  # no payment
    assert history.newest_s() == PAYMENTS[-1].time


@pytest.mark.parametrize("cut", [0, 1, 100, 0.5, -1])
def test_a_truncated_file_is_refused(saved: Path, cut: float) -> None:
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(cut * len(whole)) if 0 < cut < 1 else int(cut)])
    with pytest.raises(BadInput, match="Delete the file"):
        History.load(saved)


def test_a_flipped_bit_is_refused(saved: Path) -> None:
    whole = bytearray(saved.read_bytes())
    whole[len(whole) // 2] ^= 1
    saved.write_bytes(whole)
    with pytest.raises(BadInput, match="Delete the file"):
        History.load(saved)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Delete the file"):
        History.load(tmp_path / "nothing.npz")


def test_a_history_of_other_features_is_refused(saved: Path) -> None:
    with np.load(saved) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["schema"] = np.array("0" * 64)
    np.savez(saved, **arrays)
    with pytest.raises(BadInput, match="other features"):
        History.load(saved)


def test_a_failed_save_leaves_the_earlier_file_whole(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()
    monkeypatch.setattr("os.fsync", _disk_full)
    with pytest.raises(DiskFull):
        History().save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def _disk_full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_importing_the_history_loads_neither_pandas_nor_numba() -> None:
    code = "import sys, data.history; print(sorted({'pandas', 'numba'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
