"""What the serving bench measures without wrk: equal scores, batches, starts, and what a known card costs."""

import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from data.features import CATEGORICAL_FEATURES, FEATURE_INDEX
from data.history import History
from data.prediction_frames import window_frame, window_matrix
from tests.bench.serving_load import serving
from tests.bench.serving_material import Material
from tests.bench.serving_process import Cores, pinned, post
from tests.bench.serving_variants import OURS, SHADOW, Variant
from tests.bundles import CALIBRATION

EVER = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
BATCH = 1_000  # the most that the API takes


def equal_scores(material: Material, cores: Cores, folder: Path, rows: int = 3_000) -> dict[str, float]:
    """Payments through the running service, one by one and in batches, then their logged features through `Booster.predict`.

    Every fourth has a category that no model saw, every third has lost its place; the history starts empty, so early
    rows miss most features. Both models are compared: the champion's answers, the challenger's logged scores.
    """
    payments = [_disturbed(payment, number) for number, payment in enumerate(material.payments[:rows])]
    answered: dict[str, float] = {}
    with serving(SHADOW, material, cores, folder, empty_history=True) as server:
        connection = server.connect()
        for payment in payments[: rows // 2]:
            answer = json.loads(post(connection, "/v1/score", json.dumps(payment).encode()))
            answered[answer["transaction_id"]] = answer["score"]
        for start in range(rows // 2, rows, 250):
            body = json.dumps({"transactions": payments[start : start + 250]}).encode()
            answers = json.loads(post(connection, "/v1/score/batch", body))["predictions"]
            answered |= {answer["transaction_id"]: answer["score"] for answer in answers}
        connection.close()
        memory = server.memory_mb()
    log = folder / "home" / "predictions.db"
    frame, matrix = window_frame(log, *EVER), window_matrix(log, *EVER)
    here = frame["transaction_id"].isin(answered.keys()).to_numpy()  # not the one that waited for the start
    frame, matrix = frame[here], matrix[here]
    champion, challenger = (
        CALIBRATION.probabilities(booster.predict(matrix, raw_score=True, num_threads=1)) for booster in material.boosters
    )
    codes = matrix[:, [FEATURE_INDEX[name] for name in CATEGORICAL_FEATURES]]
    return {
        "rows": len(frame),
        "rows_missing_a_value": int(np.isnan(matrix).any(axis=1).sum()),
        "rows_with_an_unseen_category": int((codes == -1).any(axis=1).sum()),
        "answered_to_booster": _worst(frame["transaction_id"].map(answered).to_numpy(), champion),
        "challenger_to_booster": _worst(frame["challenger_score"].to_numpy(), challenger),
        "memory_two_models_mb": memory,
    }


def batches(variant: Variant, material: Material, cores: Cores, folder: Path, calls: int) -> dict[str, list[float]]:
    """Rows per second of calls of BATCH payments, and of `Booster.predict` with one thread on the same rows' features, in turn."""
    bodies = [json.dumps({"transactions": material.payments[n * BATCH : (n + 1) * BATCH]}).encode() for n in range(calls + 1)]
    service, model, cpu = [], [], []
    with serving(variant, material, cores, folder) as server:
        connection = server.connect()
        for number, body in enumerate(bodies):
            before = server.cpu_seconds()
            with pinned(cores.load):
                began = time.perf_counter()
                post(connection, "/v1/score/batch", body)
                service.append(BATCH / (time.perf_counter() - began))
            cpu.append((server.cpu_seconds() - before) / BATCH * 1e6)
            rows = material.features[number * BATCH : (number + 1) * BATCH]
            with pinned(cores.server):
                began = time.perf_counter()
                material.boosters[0].predict(rows, raw_score=True, num_threads=1)
                model.append(BATCH / (time.perf_counter() - began))
        connection.close()
    return {"service": service[1:], "model": model[1:], "service_cpu_us_per_row": cpu[1:]}  # the first call of each warms up


def starts(material: Material, cores: Cores, folder: Path, times: int) -> dict[str, list[float]]:
    """Seconds from the start of a process with an empty history to its first score, by the clock and of CPU time."""
    wall, cpu = [], []
    for _ in range(times):
        with serving(OURS, material, cores, folder, empty_history=True) as server:
            wall.append(server.first_answer_s)
            cpu.append(server.cpu_seconds())
    return {"wall_s": wall, "cpu_s": cpu}


def disk_sync_us(folder: Path, times: int = 300) -> tuple[float, float]:
    """Median and 99th percentile, in us, of appending 4 KB and waiting for the disk: what no durable answer can beat."""
    taken = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - began) * 1e6)
    median, p99 = np.percentile(taken, [50, 99])
    return float(median), float(p99)


def card_megabytes(cards: int, payments: int = 8) -> float:
    """MB of resident memory for a million known cards, scaled from `cards` in a new process; a MB is 2**20 bytes."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_memory_of_cards, cards, payments).result() / cards * 1e6 / 2**20


def _memory_of_cards(cards: int, payments: int) -> int:
    """Bytes by which this process grows when so many cards pay so often, a second apart, at one terminal for every 100 cards."""
    history, before = History(), 0
    for number in range(-1, cards * payments):  # the first payment loads the compiled kernel
        if number == 0:
            before = psutil.Process().memory_info().rss
        history.advance(
            card_id=f"card_{number % cards:010x}",
            terminal_id=f"term_{number % (cards // 100):06d}",
            event_time_s=1_767_571_200 + number,
            amount_minor=1_000 + number % 977,
            channel="chip",
            category="grocery",
            latitude=48.2,
            longitude=16.4,
            device_id=None,
        )
    return int(psutil.Process().memory_info().rss - before)


def _disturbed(payment: dict[str, Any], number: int) -> dict[str, Any]:
    changed = payment | ({"category": f"unheard_of_{number % 7}"} if number % 4 == 0 else {})
    return {name: value for name, value in changed.items() if number % 3 or name not in ("latitude", "longitude")}


def _worst(found: "np.ndarray[Any, Any]", expected: "np.ndarray[Any, Any]") -> float:
    """The largest difference; NaN, which is equal to nothing, when a score is missing."""
    return float(np.max(np.abs(found.astype(np.float64) - expected)))
