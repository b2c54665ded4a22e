"""What is odd about the payments that are answered: fields without a value, words never heard of, values no training row had.

Counted in groups, some hundred payments behind, and whenever Prometheus asks, so that an answer hardly pays for it. It tells of messages in
minutes; whether a column has drifted is for monitoring to say, against its reference (`pipelines/monitoring/`). Belongs to the event
loop's thread.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data.features import FEATURE_COUNT, FEATURES
from data.prediction_store import PredictionRecord
from data.schema import CATEGORIES, CHANNELS
from services.scoring.tally import Tally

GROUP: Final = 128  # payments counted together: 0.2 ms, which is less than one sync of the log
_KNOWN: Final = frozenset(CATEGORIES)
_UNKNOWN: Final = "unknown"  # what a sender says where it does not know a level


class InputQuality:
    """Counts what was odd in answered payments. Labels hold fields, features and channels, and nothing that a caller writes."""

    def __init__(self) -> None:
        count = self.settle
        self.payments = Tally("fraud_payments", "payments that were looked at, the denominator of the three below", ["channel"], count)
        self.nulls = Tally("fraud_null_values", "fields without a value: null, or the level `unknown`", ["field", "channel"], count)
        self.unseen = Tally("fraud_unseen_levels", "words that no model knows", ["field"], count)
        self.out_of_range = Tally(
            "fraud_out_of_range_values", "values beyond the least and the largest of the champion's training rows", ["feature"], count
        )
        for channel in CHANNELS:  # there from the start: a series that begins with its first fault shows no rise
            self.payments.counts[channel,] = 0
            for field in ("place", "device_id", "category"):
                self.nulls.counts[field, channel] = 0
        self.unseen.counts["category",] = 0
        self.out_of_range.counts.update(dict.fromkeys([(feature,) for feature in FEATURES], 0))
        self.newest_event_s = 0  # event time of the newest payment, seconds since 1970; 0 before the first
        self._waiting: list[PredictionRecord] = []
        self._ranges: NDArray[np.float64] | None = None

    def follow(self, ranges: NDArray[np.float64]) -> None:
        """From now on values are held against these, (2, FEATURE_COUNT): the least and the largest, infinite where nothing is known.

        Ranges of another shape are those of a model that does not say: nothing is held against them.
        """
        self._ranges = ranges if ranges.shape == (2, FEATURE_COUNT) else None

    def take(self, record: PredictionRecord) -> None:
        """One answered payment."""
        self._waiting.append(record)
        if len(self._waiting) >= GROUP:
            self.settle()

    def settle(self) -> None:
        """Count what waits."""
        group, self._waiting = self._waiting, []
        if not group:
            return
        self._count_fields(group)
        ranges = self._ranges
        if ranges is not None:
            values = np.concatenate([record.features for record in group]).reshape(len(group), FEATURE_COUNT)
            for feature in np.flatnonzero(count := ((values < ranges[0]) | (values > ranges[1])).sum(axis=0)).tolist():  # no NaN is either
                self.out_of_range.counts[FEATURES[feature],] += int(count[feature])

    def _count_fields(self, group: Sequence[PredictionRecord]) -> None:
        nulls = self.nulls.counts
        for record in group:
            _, _, _, _, _, _, channel, category, latitude, longitude, device_id = record.payment
            self.payments.counts[channel,] += 1
            if latitude is None or longitude is None:
                nulls["place", channel] += 1
            if device_id is None:
                nulls["device_id", channel] += 1
            if category == _UNKNOWN:
                nulls["category", channel] += 1
            elif category not in _KNOWN:
                self.unseen.counts["category",] += 1
        self.newest_event_s = max(self.newest_event_s, max([record.payment.event_time_ms for record in group]) // 1000)
