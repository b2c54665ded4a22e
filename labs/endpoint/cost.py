"""What a second model in the same process costs: memory, and time by the service's own log, one model and two side by side."""

import time
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from labs.endpoint.bodies import made_up
from labs.endpoint.process import START_S, ServiceProcess
from labs.endpoint.trial import ONE
from labs.engine.outcome import Incorrect

_WARM_UP: Final = 100  # payments, before anything is measured


class Cost(NamedTuple):
    """Added by the second model, beside what one process takes. Milliseconds are the service's own `latency_ms`."""

    second_model_mb: float
    second_process_mb: float
    one_median_ms: float
    one_p99_ms: float
    median_ms: float
    p99_ms: float
    p99_noise_ms: float  # standard error over the rounds


def measure(one: ServiceProcess, two: ServiceProcess, *, rounds: int, each: int) -> Cost:
    """Of two services that are ready, `two` with a challenger: both get the same payments in turn."""
    for number in range(_WARM_UP + rounds * each):
        for service in (one, two):
            service.client.post(ONE, made_up("cost", number))
    took = [_took(service, rounds, each) for service in (one, two)]
    medians, slow = (np.array([np.percentile(each_took, percent, axis=1) for each_took in took]) for percent in (50, 99))
    added = slow[1] - slow[0]
    return Cost(
        second_model_mb=two.memory_mb - one.memory_mb,
        second_process_mb=one.memory_mb,
        one_median_ms=float(medians[0].mean()),
        one_p99_ms=float(slow[0].mean()),
        median_ms=float((medians[1] - medians[0]).mean()),
        p99_ms=float(added.mean()),
        p99_noise_ms=float(added.std(ddof=1) / np.sqrt(rounds)),
    )


def await_challenger(service: ServiceProcess, version: str) -> list[dict[str, Any]]:
    """Send payments until the log names this challenger; returns those that were sent. Raises Incorrect when it never does."""
    sent: list[dict[str, Any]] = []
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        sent.append(made_up("waiting", len(sent)))
        service.client.post(ONE, sent[-1])
        if service.logged()[-1:] and service.logged()[-1].get("challenger_version") == version:
            return sent
        time.sleep(0.05)
    raise Incorrect(
        f"The registry's alias challenger names version {version}, and the log never has it as challenger_version.",
        "Load it beside the champion, score with both, log challenger_version and challenger_score.",
    )


def _took(service: ServiceProcess, rounds: int, each: int) -> NDArray[np.float64]:
    """Milliseconds of each payment after the warm-up, shape (rounds, each)."""
    lines = service.logged()[-rounds * each :]
    return np.array([float(line["latency_ms"]) for line in lines]).reshape(rounds, each)
