"""An explanation's words, and the process that works them out: what it may do to the service when it fails, which is nothing."""

import asyncio
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.bundle import MODEL, SIGNATURE, Calibration, seal_bundle
from data.contributions import Attribution
from data.costs import Policy
from data.errors import BundleRefused, ExplainerFailed, ModelGone
from data.features import FEATURE_COUNT, FEATURE_INDEX
from services.scoring.edge import Overloaded
from services.scoring.explain import explanation
from services.scoring.explain_child import NICENESS
from services.scoring.explain_process import MOST_ASKED, ExplainProcess, child_command
from services.scoring.explain_wire import Finding, Question, problem_line
from tests.bundles import make_bundle, random_features
from tests.records import record

PARTS = tuple(np.random.default_rng(4).normal(size=FEATURE_COUNT).tolist())
FINDING = Finding(Attribution(-4.0, PARTS, -4.0 + math.fsum(PARTS)), Calibration(0.9, -0.1), Policy(0.3, 0.75))
ROW = np.zeros(FEATURE_COUNT)
# Children that keep to the wire and know nothing of models: a line is answered with our finding, or as the code says.
GREETING = "import os, socket, time; s = socket.socket(fileno=0); lines = s.makefile('rwb');"
ANSWER = f"lines.write({FINDING.line()!r}); lines.flush();"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with version 1 in models/, its key beside it."""
    root = tmp_path_factory.mktemp("explain")
    make_bundle(root / "models" / "1", root / "keys")
    return root


@pytest.fixture
def processes() -> Iterator[list[ExplainProcess]]:
    started: list[ExplainProcess] = []
    yield started
    for process in started:
        process.close()


def child(processes: list[ExplainProcess], code: str) -> ExplainProcess:
    processes.append(ExplainProcess([sys.executable, "-S", "-c", GREETING + code], time_limit_s=20.0))
    return processes[-1]


def real_child(processes: list[ExplainProcess], home: Path) -> ExplainProcess:
    processes.append(ExplainProcess(child_command(home / "models", home / "keys"), time_limit_s=60.0))
    return processes[-1]


def pid(process: ExplainProcess) -> int:
    assert process._child is not None
    return process._child._process.pid


def test_what_is_listed_and_what_is_not_sum_to_the_margin() -> None:
    for top in (1, 10, FEATURE_COUNT):
        told = explanation(record(8), FINDING, top)
        assert len(told.contributions) == top and told.remainder.features == FEATURE_COUNT - top
        listed = math.fsum(part.contribution for part in told.contributions)
        assert told.base_margin + listed + told.remainder.contribution == pytest.approx(told.margin, abs=1e-12)
        assert told.base_margin + math.fsum(part.contribution for part in told.groups) == pytest.approx(told.margin, abs=1e-12)
        sizes = [abs(part.contribution) for part in told.contributions]
        assert sizes == sorted(sizes, reverse=True)


def test_a_missing_value_is_null_and_a_code_has_its_word() -> None:
    given = record(8)
    given.features[FEATURE_INDEX["channel"]] = 2.0
    told = {part.feature: part for part in explanation(given, FINDING, FEATURE_COUNT).contributions}
    missing = [name for name, part in told.items() if part.value is None]
    assert [FEATURE_INDEX[name] for name in missing] == np.flatnonzero(np.isnan(given.features)).tolist() == [8]
    assert (told["channel"].value, told["channel"].level, told["hour"].level) == (2.0, "online", None)


@pytest.mark.parametrize(
    ("score", "decision", "decided_by"),
    [(0.2, "approve", "policy"), (0.3, "review", "policy"), (0.2, "decline", "rules"), (0.8, "decline", "policy")],
)
def test_it_says_whether_the_score_or_a_rule_decided(score: float, decision: str, decided_by: str) -> None:
    assert explanation(record(8, score=score, decision=decision), FINDING, 1).decided_by == decided_by


def test_the_rules_that_fire_and_the_reasons_that_were_given_are_in_words() -> None:
    given = record(8)
    for name, value in {"terminal_reports_7d": 4.0, "terminal_risk_7d": 0.5, "channel": 0.0}.items():
        given.features[FEATURE_INDEX[name]] = value
    told = explanation(given, FINDING, 1)
    assert [(rule.code, rule.action) for rule in told.rules] == [("rule_terminal_compromised", None)]
    assert [reason.code for reason in told.reasons] == list(given.reasons) and all(reason.meaning for reason in told.reasons)


def test_questions_findings_and_problems_survive_the_wire() -> None:
    question = Question("3", [1 / 3, math.nan, -1e300])
    back = Question.of(question.line())
    assert back.version == "3" and np.array_equal(back.features, question.features, equal_nan=True)
    assert Finding.of(FINDING.line()) == FINDING
    with pytest.raises(ModelGone) as caught:
        Finding.of(problem_line(ModelGone("Gone.", next_step="Look.", where="model_version")))
    assert (caught.value.message, caught.value.next_step, caught.value.where) == ("Gone.", "Look.", "model_version")


def test_one_child_answers_one_question_after_the_other_whatever_is_printed(processes: list[ExplainProcess]) -> None:
    process = child(processes, f"\nfor line in lines: print('chatter', flush=True); {ANSWER}")
    assert asyncio.run(process.ask("3", ROW)) == FINDING
    first = pid(process)
    assert asyncio.run(process.ask("3", ROW)) == FINDING and pid(process) == first


def test_a_child_that_dies_costs_one_question_and_is_started_again(processes: list[ExplainProcess], tmp_path: Path) -> None:
    mark = str(tmp_path / "died")
    process = child(
        processes, f"lines.readline(); died = os.path.exists({mark!r}); open({mark!r}, 'w').close(); died or os._exit(9); {ANSWER}"
    )
    with pytest.raises(ExplainerFailed, match="died"):
        asyncio.run(process.ask("3", ROW))
    assert asyncio.run(process.ask("3", ROW)) == FINDING


def test_a_child_that_cannot_be_started_is_a_failure_like_its_death(processes: list[ExplainProcess]) -> None:
    processes.append(ExplainProcess(["/nonexistent/python"]))
    with pytest.raises(ExplainerFailed):
        asyncio.run(processes[0].ask("3", ROW))


def test_a_child_that_takes_too_long_is_ended(processes: list[ExplainProcess]) -> None:
    process = child(processes, f"lines.readline(); {ANSWER} time.sleep(600)")
    assert asyncio.run(process.ask("3", ROW)) == FINDING
    number = pid(process)
    assert process._child is not None
    process._child._socket.settimeout(0.05)  # it has started, so that only the answer is short of time
    with pytest.raises(ExplainerFailed, match="longer than 20 s"):
        asyncio.run(process.ask("3", ROW))
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_more_questions_than_a_few_are_turned_away_at_once(processes: list[ExplainProcess], tmp_path: Path) -> None:
    """The child waits for a file; only when all others were turned away is it made."""
    go = tmp_path / "go"
    process = child(processes, f"\nfor line in lines:\n while not os.path.exists({str(go)!r}): time.sleep(0.01)\n {ANSWER}")

    async def flood() -> list[Finding | BaseException]:
        waiting = [asyncio.create_task(process.ask("3", ROW)) for _ in range(MOST_ASKED)]
        await asyncio.sleep(0)
        refused = await asyncio.gather(*(process.ask("3", ROW) for _ in range(20)), return_exceptions=True)
        go.touch()
        return [*refused, *await asyncio.gather(*waiting)]

    answers = asyncio.run(flood())
    assert [type(answer) for answer in answers] == [Overloaded] * 20 + [Finding] * MOST_ASKED
    assert asyncio.run(process.ask("3", ROW)) == FINDING


def test_a_caller_who_leaves_gives_its_place_back_and_shifts_no_answer(processes: list[ExplainProcess]) -> None:
    process = child(processes, f"\nfor line in lines: {ANSWER}")

    async def leave() -> None:
        for _ in range(3 * MOST_ASKED):
            task = asyncio.create_task(process.ask("3", ROW))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await patiently(process) == FINDING

    asyncio.run(leave())


async def patiently(process: ExplainProcess) -> Finding:
    while True:
        try:
            return await process.ask("3", ROW)
        except Overloaded:
            await asyncio.sleep(0)


def test_the_real_child_works_at_low_priority_and_ends_by_itself_when_the_service_is_gone(
    processes: list[ExplainProcess], home: Path
) -> None:
    process = real_child(processes, home)
    row = random_features(1, seed=5)[0]
    found = asyncio.run(process.ask("1", row)).attribution
    assert found.base + math.fsum(found.contributions) == pytest.approx(found.margin, abs=1e-9)
    assert os.getpriority(os.PRIO_PROCESS, pid(process)) == NICENESS
    assert process._child is not None
    process._child._lines.close()
    process._child._socket.close()  # as the kernel does for a service that was killed
    assert process._child._process.wait(30) == 0


def test_no_unverified_model_reaches_the_parser_of_the_child(processes: list[ExplainProcess], home: Path, tmp_path: Path) -> None:
    process = real_child(processes, tmp_path)
    (tmp_path / "models").mkdir()
    for folder in ("keys", "models/1"):
        (tmp_path / folder).mkdir()
        for file in (home / folder).iterdir():
            (tmp_path / folder / file.name).write_bytes(file.read_bytes())
    assert asyncio.run(process.ask("1", ROW)).calibration
    alive, model = pid(process), tmp_path / "models" / "1" / MODEL
    crash(model)
    with pytest.raises(BundleRefused, match=r"expected .*(sha256|bytes)"):
        asyncio.run(process.ask("1", ROW))
    with pytest.raises(ModelGone):
        asyncio.run(process.ask("2", ROW))
    assert pid(process) == alive
    (model.parent / SIGNATURE).unlink()  # correctly sealed, and it kills whoever parses or walks it
    seal_bundle(model.parent, key_folder=tmp_path / "keys", sequence=2, facts={})
    with pytest.raises(ExplainerFailed, match="died"):
        asyncio.run(process.ask("1", ROW))


def crash(model: Path) -> None:
    """Children far outside their tree: a text that parses and then reads memory that is not its own."""
    text = model.read_text().splitlines()
    lines = ["left_child=" + " ".join(["99999999"] * 14) if line.startswith("left_child=") else line for line in text]
    model.write_text("\n".join(lines) + "\n")
