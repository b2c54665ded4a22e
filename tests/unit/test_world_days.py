from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from data.dataset import Dataset
from data.world import Change, WorldConfig, make_days

CONFIG = WorldConfig(transactions_per_day=500)
END = CONFIG.start + timedelta(days=10)


def written(folder: Path) -> dict[str, int]:
    return {file.stem: file.stat().st_mtime_ns for file in (folder / "transactions").glob("*.parquet")}


def test_two_processes_write_the_same_bytes_as_one(tmp_path):
    one, two = Dataset(tmp_path / "one"), Dataset(tmp_path / "two")
    make_days(CONFIG, one, 10, workers=1)
    make_days(CONFIG, two, 10, workers=2)
    assert one.days() == two.days() == [CONFIG.start + timedelta(n) for n in range(10)]
    assert one.digest(CONFIG.start, END) == two.digest(CONFIG.start, END)


def test_days_that_stand_are_kept_and_each_day_is_told(tmp_path):
    dataset, told = Dataset(tmp_path), list[date]()
    make_days(CONFIG, dataset, 3)
    before = written(tmp_path)
    make_days(CONFIG, dataset, 5, on_day=told.append)
    assert before.items() <= written(tmp_path).items()
    assert told == dataset.days()


def test_only_days_that_another_world_would_make_differently_are_made_again(tmp_path):
    dataset, fresh = Dataset(tmp_path / "kept"), Dataset(tmp_path / "fresh")
    make_days(CONFIG, dataset, 10)
    before = written(tmp_path / "kept")
    changed = replace(CONFIG, changes=(Change("inflation", CONFIG.start + timedelta(days=6), 0.2),))
    make_days(changed, dataset, 10)
    after = written(tmp_path / "kept")
    assert [day for day in sorted(before) if before[day] != after[day]] == ["2026-01-11", "2026-01-12", "2026-01-13", "2026-01-14"]
    make_days(changed, fresh, 10)
    assert dataset.digest(CONFIG.start, END) == fresh.digest(CONFIG.start, END)


def test_a_dataset_says_which_world_made_it(tmp_path):
    dataset = Dataset(tmp_path)
    make_days(CONFIG, dataset, 2)
    facts = dataset.description()
    assert facts["source"] == "world"
    assert facts["config"]["seed"] == CONFIG.seed
    assert facts["digest"] == CONFIG.digest(CONFIG.start + timedelta(days=1))


def test_a_half_written_day_is_made_whole(tmp_path):
    dataset = Dataset(tmp_path)
    make_days(CONFIG, dataset, 2)
    whole = dataset.digest(CONFIG.start, END)
    dataset.path("transactions", CONFIG.start).unlink()  # as a killed writer leaves it: transactions come last
    make_days(CONFIG, dataset, 2)
    assert dataset.digest(CONFIG.start, END) == whole
