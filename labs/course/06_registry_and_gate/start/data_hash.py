"""Given: the hash of the training rows, made anew from the days on disk. `python data_hash.py`"""

import hashlib

from data.settings import Settings
from labs.stream import Stream, midnight, open_stream
from pipelines.training.split import SplitPlan, split_at
from pipelines.training.table import dataset_table


def data_hash(stream: Stream) -> str:
    """Of every value of every training, validation and test row, features and labels."""
    cut = midnight(stream.live)
    split = split_at(cut, SplitPlan())
    table, _ = dataset_table(stream.dataset, keep_from=split.train.start, until=cut, cut=cut)
    parts = (table.part(span).digest for span in (split.train, split.validation, split.test))
    return hashlib.sha256("".join(parts).encode()).hexdigest()


if __name__ == "__main__":
    print(data_hash(open_stream(Settings.load(), None, 0)))
