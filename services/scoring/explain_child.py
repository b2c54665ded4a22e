"""The process that takes scores apart. `services/scoring/explain_process.py` starts it, and nobody else:

    python -m services.scoring.explain_child <models folder> <key folder>

Its standard input is a socket: a question in, an answer out (`services/scoring/explain_wire.py`). When the service's end
closes, it ends. No model reaches LightGBM's parser unverified here either: every question checks the bundle's seal anew (2 ms for
300 trees), and a bundle is parsed once as long as it stays the same.
"""

import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from data.booster import FastBooster
from data.bundle import MODEL, read_calibration, read_policy, verify_bundle
from data.contributions import attribution
from data.errors import LabError, ModelGone
from services.scoring.explain_wire import Finding, Question, problem_line

NICENESS = 10  # scoring comes first: at equal demand for one core, this gets a tenth of it
MEMORY_LIMIT_BYTES = 2 * 2**30  # of address space, as of a trial
MOST_MODELS = 4  # parsed ones that are kept: champion, challenger, and what served before


def explain(models: Path, key_folder: Path, question: Question) -> Finding:
    """Take the score of one row apart. Raises ModelGone, BundleRefused, ModelFailed, MissingLibrary."""
    folder = models / question.version
    if not folder.is_dir():
        raise ModelGone(
            "The model version that decided is no longer on this machine.",
            next_step="Its bundle is in the registry (`lab registry`); it comes back here when it serves again.",
            where="model_version",
        )
    booster = _booster(folder / MODEL, verify_bundle(folder, key_folder=key_folder).digest)
    row = np.array([question.features])
    (margin,), (contributions,) = booster.predict_many(row).tolist(), booster.contributions(row)
    return Finding(attribution(contributions, margin), read_calibration(folder), read_policy(folder))


@lru_cache(MOST_MODELS)
def _booster(model_file: Path, digest: str) -> FastBooster:  # noqa: ARG001  another digest is another model
    return FastBooster(model_file)


def _answer(models: Path, key_folder: Path, line: bytes) -> bytes:
    try:
        return explain(models, key_folder, Question.of(line)).line()
    except LabError as error:
        return problem_line(error)


def main(models: str, key_folder: str) -> None:
    """Answer line by line until the other end closes."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the service, which closes its end
    # The service may die at any moment; then nobody waits for the answer.
    with suppress(ConnectionError), socket.socket(fileno=sys.stdin.fileno()) as service, service.makefile("rwb") as lines:
        for line in lines:
            lines.write(_answer(Path(models), Path(key_folder), line))
            lines.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
