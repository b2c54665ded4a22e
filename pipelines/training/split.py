"""Cut the rows by time, with the gap that late labels force. Pure; called by training and by the labs.

    | train | gap | validation | test | unsettled | cut
              ^ nothing here        ^ labels of these rows are still arriving

- `gap_days` lie unused between the training rows and the rows that judge them: on the day a model goes live, the
  labels of the last days are not known yet. Without the gap a model learns the outcome of campaigns that are still
  running in the rows that judge it, and the score is inflated.
- Rows younger than `settle_days` at the cut have no settled label and are used nowhere.
- Validation only chooses a handful of numbers (rounds, two calibration numbers, one threshold), so test follows it
  without a gap of its own; a gap there would cost another week of training rows.
- The model that is judged is the model that ships: there is no refit on rows it was judged by.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from data.errors import NotEnoughLabels, OneClass
from data.schema import event_seconds

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SplitPlan:
    """Lengths in days, counted back from the cut. The published protocol of the Fraud Detection Handbook is 7/7/7."""

    settle_days: int = 7
    test_days: int = 7
    validation_days: int = 7
    gap_days: int = 7
    train_days: int = 45  # older rows tell little more and cost time
    least_frauds: int = 50  # in training; below, average precision moves by a tenth with the seed
    least_judging_frauds: int = 20  # in validation and in test, each

    @classmethod
    def for_retraining(cls) -> "SplitPlan":
        """A tighter cut for a world that has just changed: the new rows must reach the training set.

        Without a gap the test is optimistic by the staleness that a gap would show; the shadow, which judges on
        payments made after the training, is not.
        """
        return cls(test_days=5, validation_days=3, gap_days=0)


@dataclass(frozen=True)
class Span:
    """A part of the rows: event times in [start, end)."""

    start: datetime
    end: datetime

    def mask(self, event_s: NDArray[np.int64]) -> Mask:
        """Which rows of `event_s` (n,), seconds since 1970, lie inside."""
        return (event_s >= event_seconds(self.start)) & (event_s < event_seconds(self.end))


@dataclass(frozen=True)
class Split:
    """The three parts."""

    train: Span
    validation: Span
    test: Span


def split_at(cut: datetime, plan: SplitPlan) -> Split:
    """The parts of a training that happens at `cut`, when nothing later is known."""
    test_end = cut - timedelta(days=plan.settle_days)
    validation_end = test_end - timedelta(days=plan.test_days)
    validation_start = validation_end - timedelta(days=plan.validation_days)
    train_end = validation_start - timedelta(days=plan.gap_days)
    return Split(
        Span(train_end - timedelta(days=plan.train_days), train_end),
        Span(validation_start, validation_end),
        Span(validation_end, test_end),
    )


def check_labels(split: Split, plan: SplitPlan, event_s: NDArray[np.int64], is_fraud: Mask) -> None:
    """Raise NotEnoughLabels when a part holds fewer frauds or genuine rows than learning from it or judging by it needs.

    OneClass, one of its kind, says that there is nothing to tell apart at all.
    """
    for name, span, least in (
        ("training", split.train, plan.least_frauds),
        ("validation", split.validation, plan.least_judging_frauds),
        ("test", split.test, plan.least_judging_frauds),
    ):
        labels = is_fraud[span.mask(event_s)]
        frauds, genuine = int(labels.sum()), int((~labels).sum())
        if frauds < least or genuine < least:
            raise (OneClass if (frauds == 0) != (genuine == 0) else NotEnoughLabels)(
                f"The {name} rows ({span.start:%Y-%m-%d} to {span.end:%Y-%m-%d}) hold {frauds} settled frauds and {genuine} other "
                f"payments; {least} of each are needed.",
                next_step="Wait for labels to mature, or train on a longer history (LAB_WORLD_DAYS).",
                where=name,
            )
