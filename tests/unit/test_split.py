"""The cut by time: order, gaps, and refusal where labels are too few."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from data.errors import NotEnoughLabels
from data.schema import event_seconds
from pipelines.training.split import SplitPlan, check_labels, split_at

CUT = datetime(2026, 3, 6, tzinfo=UTC)


def test_parts_follow_one_another_and_keep_the_gaps_they_promise() -> None:
    split = split_at(CUT, SplitPlan(settle_days=7, test_days=6, validation_days=5, gap_days=4, train_days=30))
    assert CUT - split.test.end == timedelta(days=7)
    assert split.test.end - split.test.start == timedelta(days=6)
    assert split.validation.end == split.test.start
    assert split.validation.end - split.validation.start == timedelta(days=5)
    assert split.validation.start - split.train.end == timedelta(days=4)
    assert split.train.end - split.train.start == timedelta(days=30)


def test_a_row_belongs_to_at_most_one_part_and_none_is_younger_than_the_settling_time() -> None:
    plan = SplitPlan()
    split = split_at(CUT, plan)
    event_s = np.arange(event_seconds(CUT - timedelta(days=80)), event_seconds(CUT), 3_600, dtype=np.int64)
    masks = [span.mask(event_s) for span in (split.train, split.validation, split.test)]
    assert np.sum(masks, axis=0).max() == 1
    youngest = event_s[np.any(masks, axis=0)].max()
    assert youngest < event_seconds(CUT - timedelta(days=plan.settle_days))


def test_no_training_label_could_have_been_unknown_when_the_validation_rows_were_made() -> None:
    plan = SplitPlan()
    split = split_at(CUT, plan)
    assert split.validation.start - split.train.end >= timedelta(days=plan.settle_days)


def test_a_retraining_reaches_closer_to_the_present_than_a_first_training() -> None:
    first, again = split_at(CUT, SplitPlan()), split_at(CUT, SplitPlan.for_retraining())
    assert again.train.end - first.train.end >= timedelta(days=10)


@pytest.mark.parametrize("starved", ["train", "validation", "test"])
def test_a_part_with_too_few_frauds_is_refused_by_name(starved: str) -> None:
    plan = SplitPlan(least_frauds=5, least_judging_frauds=5)
    split = split_at(CUT, plan)
    event_s = np.arange(event_seconds(split.train.start), event_seconds(split.test.end), 600, dtype=np.int64)
    is_fraud = np.arange(len(event_s)) % 20 == 0
    check_labels(split, plan, event_s, is_fraud)
    is_fraud[getattr(split, starved).mask(event_s)] = False
    name = {"train": "training"}.get(starved, starved)
    with pytest.raises(NotEnoughLabels, match=f"The {name} rows .* hold 0 settled frauds") as refused:
        check_labels(split, plan, event_s, is_fraud)
    assert refused.value.where == name
