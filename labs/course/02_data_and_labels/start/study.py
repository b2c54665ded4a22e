"""Given: your colleague's notebook, as a script. `python study.py` says what its model promises, and what it delivered afterwards.

What is wrong with it is in two files of yours: `leak.toml` names fields to leave out, and `split.py` says which rows teach and which
judge, and from when a label counts. `python study.py random` also says what a random split would promise for the same judging rows.
"""

import sys
import tomllib
from pathlib import Path

import split
from rows import KNOWN_OF_ROWS, Model, features_of, payments, random_instead, reached


def main() -> None:
    """One study, with your files as they are."""
    left_out = tomllib.loads(Path("leak.toml").read_text())["leave_out"]
    rows, labels, today = everything = payments()
    features = features_of(labels.assign(report_time=split.counts_from(labels)))
    teach, judge, known = split.parts(rows[KNOWN_OF_ROWS], today)
    model = Model(features, left_out).learn(teach, known)
    delivered = model.scores(everything.later, served=features_of(labels))
    print(f"{teach.sum():,} payments teach, {judge.sum():,} judge")
    print(f"promised   {reached(model.scores(judge), judge):.3f}  average precision")
    if sys.argv[1:] == ["random"]:
        print(f"           {random_instead(features, left_out, judge):.3f}  for the same payments, by a random split")
    print(f"delivered  {reached(delivered, everything.later):.3f}  in the two weeks after")
    print("largest shares of gain")
    for name, share in model.gains()[:4]:
        print(f"{share:10.3f}  {name}")


if __name__ == "__main__":
    main()
