"""As the notebook has it, with -1 for what is unknown."""

import pandas as pd


def encode(words: list[str], known: tuple[str, ...]) -> list[int]:
    codes = pd.Series([word if word in known else None for word in words]).astype("category").cat.codes
    return [int(code) for code in codes]
