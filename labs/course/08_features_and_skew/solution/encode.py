"""A merchant category as the number that the model was trained with."""


def encode(words: list[str], known: tuple[str, ...]) -> list[int]:
    """The code of each word; `known`: the categories of the training, in the order of their codes. -1: never seen."""
    codes = {word: code for code, word in enumerate(known)}
    return [codes.get(word, -1) for word in words]
