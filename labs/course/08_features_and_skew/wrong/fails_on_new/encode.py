"""A dictionary of the training's codes."""


def encode(words: list[str], known: tuple[str, ...]) -> list[int]:
    codes = {word: code for code, word in enumerate(known)}
    return [codes[word] for word in words]
