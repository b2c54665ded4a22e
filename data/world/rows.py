"""Payments in the making: the columns of a day before they become tables. For the files of `data/world/` only."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

NEVER = -1  # a report time: nobody ever reports this payment
NO_DEVICE = 0


@dataclass(frozen=True)
class Rows:
    """Equally long columns, one entry per payment. People and shops are slots of the population, not ids."""

    time_ms: NDArray[np.int64]  # since 1970
    card: NDArray[np.int32]
    terminal: NDArray[np.int32]
    amount: NDArray[np.float32]  # EUR before the shop rounds its prices
    channel: NDArray[np.int8]  # index into CHANNELS
    device: NDArray[np.uint64]  # NO_DEVICE where none is involved
    campaign: NDArray[np.uint64]  # 0 = none
    kind: NDArray[np.int8]  # index into tactics.KINDS, -1 = none
    fraud: NDArray[np.bool_]
    report_ms: NDArray[np.int64]  # since 1970, or NEVER
    source: NDArray[np.int8]  # index into LABEL_SOURCES

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, which: NDArray[np.integer] | NDArray[np.bool_]) -> "Rows":
        """The rows at these positions, or where this mask is true."""
        return Rows(*(getattr(self, f.name)[which] for f in fields(self)))


def genuine_rows(
    time_ms: NDArray[np.int64],
    card: NDArray[np.int32],
    terminal: NDArray[np.int32],
    amount: NDArray[np.float32],
    channel: NDArray[np.int8],
    device: NDArray[np.uint64],
) -> Rows:
    """Rows that belong to no campaign and that nobody reports."""
    n = len(time_ms)
    return Rows(
        time_ms, card, terminal, amount, channel, device,
        campaign=np.zeros(n, np.uint64), kind=np.full(n, -1, np.int8), fraud=np.zeros(n, bool),
        report_ms=np.full(n, NEVER), source=np.zeros(n, np.int8),
    )  # fmt: skip


def concatenate(parts: Sequence[Rows]) -> Rows:
    """All rows of all parts (at least one), in their order."""
    return Rows(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Rows)))
