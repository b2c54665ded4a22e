"""One of several processes that score over a shared store: `python -m tests.shared_worker <home> <url> <first> <last> <step>`.

Scores payments `first`, `first + step`, ... before `last` of `tests.records.transaction`, eight at a time, and prints the number of
each that was answered. A test starts several over the same numbers.
"""

import asyncio
import sys
from pathlib import Path

from tests.records import transaction
from tests.scorers import scoring

TOGETHER = 8


async def work(home: Path, url: str, numbers: range) -> None:
    rest = iter(numbers)
    async with scoring(home, url) as here:

        async def client() -> None:
            for number in rest:
                answer = await here.engine.score(transaction(number))
                sys.stdout.write(f"{number} {answer.score!r}\n")
                sys.stdout.flush()

        await asyncio.gather(*(client() for _ in range(TOGETHER)))


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], range(*map(int, sys.argv[3:6]))))
