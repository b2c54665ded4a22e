"""Payments delivered twice, told from payments that share an id: what the service does by its log, for a stream of pieces.

A payment repeated within a piece or within the piece before it gets its first answer and moves no history; one with
the same id and another body is refused. Memory stays bounded, so a repeat from farther back counts as a new payment.
Pure but for the two pieces it holds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

CONFLICT = "transaction_id names another payment"


class Repeats:
    """Passes each payment on once. Pieces come in order of arrival."""

    def __init__(self, answer: Callable[[pa.Table], pa.Table]) -> None:
        """`answer` gives a row for each of the payments it gets, in order."""
        self._answer = answer
        self._before: tuple[pa.Table, pa.Table] | None = None

    def answers(self, rows: pa.Table) -> tuple[pa.Table, NDArray[np.int64]]:
        """The answers to all rows but the refused ones, in order, and the positions of those refused."""
        known = rows if self._before is None else pa.concat_tables([self._before[0], rows]).unify_dictionaries().combine_chunks()
        old = known.num_rows - rows.num_rows
        firsts = _first_places(known["transaction_id"])
        repeated = np.flatnonzero(firsts < np.arange(len(firsts)))
        repeated = repeated[repeated >= old]
        refused = repeated[_differ(known.take(pa.array(repeated)), known.take(pa.array(firsts[repeated])))]
        fresh = np.ones(rows.num_rows, dtype=bool)
        fresh[repeated - old] = False
        answered = self._answer(rows.filter(pa.array(fresh)) if len(repeated) else rows)
        kept = np.ones(rows.num_rows, dtype=bool)
        kept[refused - old] = False
        if len(repeated):
            answered = self._with_repeats(answered, firsts[old:], fresh, old).filter(pa.array(kept))
        self._before = (rows.filter(pa.array(kept)) if len(refused) else rows), answered
        return answered, refused - old

    def _with_repeats(self, answered: pa.Table, firsts: NDArray[np.int64], fresh: NDArray[np.bool_], old: int) -> pa.Table:
        """An answer for every row: that of its first place, in the piece before (places below `old`) or in this one."""
        places = np.cumsum(fresh) - 1 + old  # of this piece's fresh rows among all answers
        taken = np.where(firsts < old, firsts, places[np.maximum(firsts - old, 0)])
        everything = answered if self._before is None else pa.concat_tables([self._before[1], answered]).unify_dictionaries()
        return everything.combine_chunks().take(pa.array(taken))


def _first_places(names: Any) -> NDArray[np.int64]:
    """Where each name stands first."""
    codes: NDArray[np.int32] = names.combine_chunks().dictionary_encode().indices.to_numpy()
    first = np.empty(codes.max(initial=-1) + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    places: NDArray[np.int64] = first[codes]
    return places


def _differ(some: pa.Table, others: pa.Table) -> NDArray[np.bool_]:
    """Which rows differ in any column; two nulls, or two NaN, are the same."""
    different = np.zeros(some.num_rows, dtype=bool)
    for name in some.column_names:
        one, other = (_plain(table[name]) for table in (some, others))
        equal = pc.or_(pc.equal(one, other).fill_null(False), pc.and_(_absent(one), _absent(other)))
        different |= ~equal.to_numpy()
    return different


def _plain(column: Any) -> Any:
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


def _absent(column: Any) -> Any:
    return pc.is_null(column, nan_is_null=True)
