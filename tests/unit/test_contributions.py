"""Contributions add up, belong to something that people know, and are refused when their sum is wrong."""

import math
import re

import numpy as np
import pytest

from data.contributions import GROUPS, UNSEEN, attribution, by_group, by_size, level
from data.errors import ModelFailed
from data.features import CATEGORICAL_FEATURES, FEATURE_COUNT, FEATURE_INDEX, FEATURES
from data.schema import CATEGORIES, CHANNELS

PARTS = np.random.default_rng(3).normal(size=FEATURE_COUNT)
ROW = np.append(PARTS, -4.5)
MARGIN = math.fsum(ROW)


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_is_about_exactly_one_thing(feature: str) -> None:
    assert sum(bool(re.fullmatch(group.pattern, feature)) for group in GROUPS) == 1


def test_the_groups_sum_to_what_their_features_sum_to_and_the_strongest_is_first() -> None:
    sums = by_group(PARTS.tolist())
    assert {group.name for group, _ in sums} == {group.name for group in GROUPS} and len(sums) == len(GROUPS)
    assert math.fsum(total for _, total in sums) == pytest.approx(math.fsum(PARTS), abs=1e-12)
    assert [abs(total) for _, total in sums] == sorted((abs(total) for _, total in sums), reverse=True)
    device = next(total for group, total in sums if group.name == "device")
    assert device == PARTS[FEATURE_INDEX["seconds_since_card_device"]]


def test_contributions_are_ranked_by_size_whatever_their_sign() -> None:
    assert by_size([0.1, -3.0, 0.0, 2.0]) == [1, 3, 0, 2]


def test_a_row_that_sums_to_the_margin_is_taken() -> None:
    found = attribution(ROW, MARGIN)
    assert (found.base, found.contributions, found.margin) == (-4.5, tuple(PARTS.tolist()), MARGIN)


@pytest.mark.parametrize(
    ("row", "margin"), [(ROW, MARGIN + 1e-8), (ROW, math.nan), (np.append(PARTS, math.nan), MARGIN), (ROW[1:], MARGIN)]
)
def test_a_row_that_does_not_sum_to_the_margin_is_refused(row: np.ndarray, margin: float) -> None:
    with pytest.raises(ModelFailed, match="margin"):
        attribution(row, margin)


def test_codes_of_categorical_features_have_words() -> None:
    for feature, words in zip(CATEGORICAL_FEATURES, (CHANNELS, CATEGORIES), strict=True):
        assert [level(feature, float(code)) for code in range(len(words))] == list(words)
        assert level(feature, -1.0) == level(feature, float(len(words))) == level(feature, math.nan) == UNSEEN
    assert level("amount", 3.0) is None
