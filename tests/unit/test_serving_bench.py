"""The serving bench's own arithmetic: wrk's report, a process tree's CPU time, ratios by round, and what counts as met."""

import math
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from data.errors import StepFailed
from data.prediction_log import PredictionLog
from tests.bench.serving_goals import Finding, figure, judge_load, spread
from tests.bench.serving_load import Run, check_log
from tests.bench.serving_process import Server
from tests.bench.serving_variants import ANCHOR, BUFFERED, MLFLOW, OURS, SHADOW
from tests.bench.wrk import Load, read_report
from tests.records import record

SUMMARY = "Running 2s test @ http://127.0.0.1:18999/v1/score\n  9492 requests in 2.01s, 2.10MB read\nRequests/sec:   4727.87\n"
REPORT = '{"requests":9492,"seconds":2.007669,"refused":%d,"broken":%d,"p50_us":1023,"p99_us":10131}\n'


def run(variant: str, number: int, rate: float, cpu_us: float = 100.0) -> Run:
    load = Load(requests=int(rate), seconds=1.0, p50_us=100, p99_us=150, generator_share=0.3)
    return Run(variant, number, {1: load, 8: load, 64: load}, {1: cpu_us, 8: cpu_us, 64: cpu_us}, 100.0, 0.5, 0.0)


def test_wrks_report_is_the_line_that_the_script_adds_to_its_summary() -> None:
    load = read_report(SUMMARY + REPORT % (0, 0), cpu_s=1.0)
    assert (load.requests, load.p50_us, load.p99_us) == (9492, 1023, 10131)
    assert load.rate == pytest.approx(9492 / 2.007669)
    assert load.generator_share == pytest.approx(1 / 2.007669)


def test_what_was_refused_now_and_then_is_not_counted_as_answered() -> None:
    load = read_report(SUMMARY + REPORT % (94, 0), cpu_s=1.0)
    assert (load.requests, load.refused) == (9398, 94)


@pytest.mark.parametrize("output", [SUMMARY, SUMMARY + REPORT % (95, 0), SUMMARY + REPORT % (0, 1)])
def test_a_load_with_many_refused_or_one_failed_request_or_no_report_gives_no_figures(output: str) -> None:
    with pytest.raises(StepFailed):
        read_report(output, cpu_s=1.0)


def test_cpu_time_and_memory_of_a_server_include_its_children() -> None:
    busy = "while True: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent], start_new_session=True)
    tree = psutil.Process(process.pid)
    try:
        server, deadline = Server(tree, port=0, first_answer_s=0.0), time.monotonic() + 60
        while not tree.children() or server.cpu_seconds() < sum(tree.cpu_times()[:2]) + 0.2:
            assert time.monotonic() < deadline, "the child's CPU time is not counted"
        assert server.memory_mb() > tree.memory_info().rss / 2**20
    finally:
        for child in tree.children(recursive=True):
            child.kill()
        process.wait(60)


def test_cpu_time_of_a_child_that_has_ended_is_kept() -> None:
    child = "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    parent = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {child!r}]); print('over', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == b"over\n"
        assert Server(psutil.Process(process.pid), port=0, first_answer_s=0.0).cpu_seconds() > 0.3
    finally:
        process.kill()
        process.communicate()


def test_a_ratio_is_taken_within_its_round_and_shown_with_least_and_most() -> None:
    runs = [run(ANCHOR.name, n, rate) for n, rate in enumerate((1_000, 2_000, 4_000))]
    runs += [run(MLFLOW.name, n, 50) for n in range(3)]
    ours = [OURS.name, BUFFERED.name, SHADOW.name]
    runs += [run(name, n, rate, cpu_us=40.0) for name in ours for n, rate in enumerate((3_000, 4_000, 8_400))]
    found = {finding.what: finding for finding in judge_load(runs) if finding.of == BUFFERED.name}
    over_empty = found["req/s over the empty one's, c=64"]
    assert over_empty.values == [3.0, 2.0, 2.1]
    assert over_empty.met and over_empty.cell() == "2.10 (2.00–3.00) ✓"
    assert found["CPU/request over the empty one's, c=64"].met
    assert not found["p99 over the empty one's p50, c=1"].met  # 150 us over 100 us, where 1.1 is the most


def test_only_one_service_is_judged_and_the_others_are_shown() -> None:
    runs = [run(name, 0, 1_000) for name in (ANCHOR.name, MLFLOW.name, OURS.name, BUFFERED.name, SHADOW.name)]
    assert {finding.of for finding in judge_load(runs) if finding.judged} == {BUFFERED.name}


def test_a_missing_score_is_no_equal_score() -> None:
    assert Finding("difference", OURS.name, [0.0], 0.0, "at most").met
    assert not Finding("difference", OURS.name, [math.nan], 0.0, "at most").met


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.019, "0.019"), (0.181, "0.181"), (2.289, "2.29"), (20.41, "20.4"), (5254.4, "5,254"), (2e-16, "2e-16")],
)
def test_figures_have_three_digits(value: float, shown: str) -> None:
    assert figure(value) == shown
    assert spread([value]) == shown


def test_an_answer_that_the_log_lacks_spoils_the_run(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "predictions.db")
    log.append([record(n) for n in range(3)])
    log.close()
    check_log(log.path, run(OURS.name, 0, rate=1))
    with pytest.raises(StepFailed, match="answered 6 payments and stored 3"):
        check_log(log.path, run(OURS.name, 0, rate=2))
