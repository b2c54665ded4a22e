"""A merchant category as the number that the model was trained with. From the notebook of a colleague; it worked there."""

import pandas as pd


def encode(words: list[str], known: tuple[str, ...]) -> list[int]:
    """The code of each word; `known`: the categories of the training, in the order of their codes. -1: never seen."""
    return [int(code) for code in pd.Series(words).astype("category").cat.codes]
