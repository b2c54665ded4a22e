"""Card numbers that belong to nobody, and where they are found again, however they are written."""

import re
from collections.abc import Iterator

import numpy as np


def card_numbers(n: int) -> Iterator[str]:
    """Numbers of 13 to 19 digits that pass the Luhn check and belong to nobody: 9 is no scheme's first digit."""
    rng = np.random.default_rng(14)
    for _ in range(n):
        payload = [9, *rng.integers(0, 10, size=int(rng.integers(11, 18))).tolist()]
        doubled = [d * 2 - 9 if d > 4 else d * 2 for d in payload[::-1][::2]]
        check = -(sum(doubled) + sum(payload[::-1][1::2])) % 10
        yield "".join(map(str, [*payload, check]))


def grouped(number: str, separator: str) -> str:
    """As people and programs write it: 4929 0000 0000 0006."""
    return separator.join(re.findall(".{1,4}", number))


def digits_of(content: bytes) -> bytes:
    """The content without what may stand between two digits of one number."""
    return re.sub(rb"(?<=\d)(?:[ ._:-]|%20)(?=\d)", b"", content)
