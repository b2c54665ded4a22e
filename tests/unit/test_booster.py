"""The C-library booster: the same numbers as the package, from a process that never loads the package."""

import math
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from data.booster import FastBooster
from data.errors import BundleRefused
from tests.bundles import random_features, train_booster


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("booster") / "model.lgb"
    train_booster().save_model(file)
    return file


def test_scores_equal_the_package_to_the_last_bit_with_nan_and_unseen_categories(model_file: Path) -> None:
    rows = random_features(3_000, seed=9)
    assert np.isnan(rows).any() and (rows[:, 4] > 9).any()
    expected = train_booster().predict(rows, raw_score=True, num_threads=1)
    booster = FastBooster(model_file)
    assert np.array_equal(booster.predict_many(rows), expected)


def test_contributions_equal_the_package_and_sum_to_the_margin(model_file: Path) -> None:
    rows = random_features(300, seed=11)
    booster = FastBooster(model_file)
    found = booster.contributions(rows)
    assert found.shape == (300, booster.feature_count + 1)
    assert np.array_equal(found, train_booster().predict(rows, pred_contrib=True, num_threads=1))
    assert np.abs(found.sum(axis=1) - booster.predict_many(rows)).max() < 1e-9
    assert np.unique(found[:, -1]).size == 1 and np.ptp(found[:, :-1], axis=0).max() > 0.1


def test_one_booster_per_thread_gives_right_answers_in_all_of_them(model_file: Path) -> None:
    rows = random_features(2_000, seed=10)
    expected = FastBooster(model_file).predict_many(rows).tolist()
    boosters = [FastBooster(model_file) for _ in range(4)]
    found: dict[int, list[float]] = {}

    def work(i: int) -> None:
        found[i] = [boosters[i].predict_many(row[np.newaxis]).item() for row in rows]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[i] == expected for i in range(4))


def test_a_row_of_another_width_is_refused(model_file: Path) -> None:
    booster = FastBooster(model_file)
    with pytest.raises(ValueError, match="features"):
        booster.predict_many(np.zeros((3, booster.feature_count - 1)))
    with pytest.raises(ValueError, match="features"):
        booster.contributions(np.zeros((3, booster.feature_count + 1)))


def test_a_text_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.lgb").write_text("not a model")
    with pytest.raises(BundleRefused, match=r"model\.lgb"):
        FastBooster(tmp_path / "model.lgb")


def test_using_it_does_not_import_the_lightgbm_package(model_file: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np; from data.booster import FastBooster;"
        f"b = FastBooster(Path({str(model_file)!r})); print(b.predict_many(np.zeros((1, b.feature_count))).item());"
        "assert 'lightgbm' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert math.isfinite(float(done.stdout))
