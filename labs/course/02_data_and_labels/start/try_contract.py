"""Given: `python try_contract.py` holds ten batches against your contract, and against the product's."""

from datetime import timedelta

from batches import ten
from contract import problems

from data.settings import Settings
from labs.stream import open_stream
from pipelines.training.validate import check_transactions

stream = open_stream(Settings.load(), None, 0)
day, before = (stream.day(stream.live + timedelta(days=n)).transactions for n in (1, 0))
tried = ten(day, before, seed=1)
try:
    problems(tried[0].frame, tried[0].now)
except NotImplementedError as left_open:
    raise SystemExit(str(left_open)) from None
print(f"{'':<32}{'yours':<10}{'the schema':<12}wanted")
for batch in tried:
    yours, schema = problems(batch.frame, batch.now), check_transactions(batch.frame)
    words = ["refused" if found else "let in" for found in (yours, schema, batch.broken)]
    print(f"{batch.name:<32}{words[0]:<10}{words[1]:<12}{words[2]}" + (f" ({batch.broken})" if batch.broken else ""))
    if yours:
        print("    " + "; ".join(yours)[:74])
