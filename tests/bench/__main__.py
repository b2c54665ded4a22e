"""Measure what the documents claim: `python -m tests.bench [name ...] [--quick | --full]`, every bench when none is named.

A bench prints its tables, keeps them as JSON under LAB_HOME/bench, and misses or reaches its own goals; the exit status
is 1 when one missed. A bench whose published data is not on this machine is skipped, and says so.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from data.environment import prepare_environment
from data.errors import MissingFile

Run = Callable[[Sequence[str] | None], int]


@dataclass(frozen=True)
class Bench:
    """How one bench is asked for less or more than its usual length."""

    shows: str
    quick: tuple[str, ...]
    full: tuple[str, ...] = ()

    def arguments(self, length: str) -> tuple[str, ...]:
        return {"quick": self.quick, "full": self.full}.get(length, ())


BENCHES: Mapping[str, Bench] = {
    "world": Bench("realism, leaks, difficulty and speed of the synthetic world", ("--quick",), ("--full",)),
    "features": Bench("speed of the features, batch and online, beside pandas", ("--rounds", "1"), ("--rounds", "5")),
    "forest": Bench("our evaluator of LightGBM models beside LightGBM's own", ("--quick",)),
    "handbook": Bench("the Fraud Detection Handbook's published figures, by its protocol", ("--quick",)),
    "ulb": Bench("LightGBM's defaults and ours on real card fraud", ("--quick",)),
    "serving": Bench("the scoring service beside an empty endpoint and what people write instead", ("--quick",), ("--full",)),
    "batch_scoring": Bench("Parquet scored out of core, beside the model alone and MLflow's own way", ("--quick",), ("--full",)),
    "scale_out": Bench("one, two and four scoring processes over a shared store", ("--quick",), ("--full",)),
    "drift": Bench("the report card of drift monitoring, and what a retraining wins back", ("--quick",), ("--nightly",)),
    "canary": Bench("our canary rule beside the others': false rollbacks and exposure, goals H1 to H13", ("--ci",), ("--nightly",)),
    "canaries": Bench("the catalogue of canaries as CI runs it: how each ended, equal bytes, time", ("--quick",), ("--full",)),
    "rollout": Bench("how soon a rollback is felt, fuzzed scores, a controller killed at random", ("--quick",)),
    "experiments": Bench("plans kept, A/A, peeking, pairs against splits, people and bandits", ("--quick",), ("--full",)),
    "distributed": Bench("a fit that one Dask worker has no memory for, on several, beside one machine", ("--quick",), ("--full",)),
    "selective": Bench("what declining hides from recall and average precision, and what a random hold-out tells", ("--seeds", "3")),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benches that `arguments` name; 0 when all that ran reached their goals."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="\n".join(f"{name:<14}{bench.shows}" for name, bench in BENCHES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="name", help="a bench; all of them when none is named")
    length = parser.add_mutually_exclusive_group()
    for name, text in (("quick", "minutes, on smaller draws; the goals stay"), ("full", "the longest runs that each has")):
        length.add_argument(f"--{name}", dest="length", action="store_const", const=name, default="usual", help=text)
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.names) - set(BENCHES))
    if unknown:
        parser.error(f"no bench is called {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    prepare_environment()
    return run_benches({name: BENCHES[name].arguments(given.length) for name in given.names or BENCHES}, _bench)


def run_benches(wanted: Mapping[str, Sequence[str]], find: Callable[[str], Run]) -> int:
    """Run each with its arguments, whatever became of those before it, and sum up; 1 when one missed its goals."""
    results: dict[str, str] = {}
    for name, arguments in wanted.items():
        _say(f"\n=== {name} {' '.join(arguments)}".rstrip())
        began = time.monotonic()
        try:
            missed = find(name)(arguments)
        except MissingFile as error:
            results[name] = f"skipped: {error}"
        else:
            results[name] = f"{'goals missed' if missed else 'goals reached'} in {time.monotonic() - began:.0f} s"
    _say("")
    for name, result in results.items():
        _say(f"{name:<14}{result}")
    return int(any(result.startswith("goals missed") for result in results.values()))


def _bench(name: str) -> Run:
    run: Run = import_module(f"tests.bench.{name}").main
    return run


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
