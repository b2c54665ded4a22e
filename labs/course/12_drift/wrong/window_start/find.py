"""Step 3: which payments, since when, by how much. Yours for the next incident, too."""

import numpy as np
from compare import compare_column


def find(reference, window, column):
    """What happened to `column` (numbers) in `window`: a dictionary of dimension, level, since and factor."""

    def left(dimension, level):
        """What of the change is left without those payments."""
        now, before = window[window[dimension] != level], reference[reference[dimension] != level]
        return compare_column(now[column], before[column]).distance

    kinds = [(dimension, level) for dimension in ("channel", "category") for level in window[dimension].astype(str).unique()]
    dimension, level = min(kinds, key=lambda kind: left(*kind))
    now, before = (frame[frame[dimension] == level] for frame in (window, reference))
    shift = np.log(now[column].clip(lower=1e-9)) - np.log(before[column].median())
    day = now["event_time"].dt.floor("D")

    def gap(first):
        """How well two levels, before and from `first` on, explain the days: what is left, in squares."""
        late = shift[day >= first]
        early = np.log(before[column].clip(lower=1e-9)) - np.log(before[column].median())
        return ((late - late.mean()) ** 2).sum() + ((shift[day < first] - early.mean()) ** 2).sum()

    since = day.min()
    factor = float(now.loc[day >= since, column].median() / before[column].median())
    return {"dimension": dimension, "level": level, "since": f"{since:%Y-%m-%d}", "factor": factor}
