"""The duties of `lab work` on a real Prefect server's schedule: performed when due, once; what was missed is not caught up run by run."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from data.clock import SystemClock
from data.environment import DEFAULTS
from data.errors import NoModel, ServiceDown
from data.settings import REPOSITORY, Settings
from labs.work import duties, rounds
from pipelines.flows import DEPLOYMENT, Schedule, duty_flow
from services.supervisor import Supervisor

EVERY_S = 1.0


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """With Prefect's server running."""
    made = Settings.load().model_copy(update={"home": tmp_path_factory.mktemp("home"), "prefect_port": 28762, "work_every_s": EVERY_S})
    with Supervisor(made).owning() as supervisor:
        supervisor.start(("prefect",))
        with temporary_settings({PREFECT_API_URL: f"{made.prefect_url}/api", PREFECT_HOME: made.home / "prefect"}):
            yield made


@pytest.fixture(scope="module")
def schedules(settings: Settings) -> dict[str, Schedule]:
    """Each of one duty, its first run due. All at once: Prefect looks for new ones every five seconds."""
    made = {name: Schedule([name], EVERY_S) for name in ("looking", "failing", "pausing")}
    until(lambda: all(due(schedule) for schedule in made.values()))
    return made


@pytest.fixture
def client(settings: Settings) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def until(seen: Callable[[], object], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def due(schedule: Schedule) -> dict[str, UUID]:
    return schedule.due(SystemClock().now())


def begun(client: SyncPrefectClient, name: str) -> list[FlowRun]:
    """The duty's runs that are no longer scheduled. The server chooses them: unasked it answers with any 200, and hundreds lie ahead."""
    deployment = client.read_deployment_by_name(f"work: {name}/{DEPLOYMENT}")
    of = {"deployment_id": {"any_": [deployment.id]}, "state": {"name": {"not_any_": ["Scheduled"]}}}
    return client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(of))


def states(client: SyncPrefectClient, name: str) -> list[str]:
    return [str(run.state_name) for run in begun(client, name)]


def test_a_run_that_was_due_is_performed_in_place_of_all_that_were_missed(
    schedules: dict[str, Schedule], client: SyncPrefectClient
) -> None:
    schedule = schedules["looking"]
    time.sleep(3 * EVERY_S)  # nobody works
    newest = due(schedule)["looking"]
    assert duty_flow("looking", lambda: "seen", newest) == "seen"
    assert client.read_flow_run(newest).state_name == "Completed"
    others = [run for run in begun(client, "looking") if run.id != newest]
    assert len(others) >= 2 and {run.state_name for run in others} == {"Cancelled"}
    assert not due(Schedule(["another"], 3600.0))


def test_a_duty_that_fails_is_a_failed_run_and_an_error_here(schedules: dict[str, Schedule], client: SyncPrefectClient) -> None:
    def fails() -> str:
        raise NoModel("No model serves yet.", next_step="Train one.")

    run = due(schedules["failing"])["failing"]
    with pytest.raises(NoModel):
        duty_flow("failing", fails, run)
    state = client.read_flow_run(run).state
    assert state and (state.name, "No model serves yet" in str(state.message)) == ("Failed", True)


def test_a_step_that_fails_prints_no_stack(settings: Settings) -> None:
    program = """
from data.environment import prepare_environment, use_servers
prepare_environment()
use_servers("", %r, %r)
from data.errors import NoModel
from pipelines.flows import as_task, duty_flow

def fails():
    raise NoModel("No model serves yet.", next_step="Train one.")

try:
    duty_flow("printing", lambda: as_task("step", fails))
except NoModel:
    print("told")
"""
    code = program % (settings.prefect_url, str(settings.home / "prefect"))
    bare = {name: value for name, value in os.environ.items() if name not in DEFAULTS}
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=bare, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("told\n", "")


def test_a_schedule_that_was_paused_on_the_page_is_paused_and_a_run_by_hand_is_performed(
    schedules: dict[str, Schedule], client: SyncPrefectClient
) -> None:
    schedule = schedules["pausing"]
    deployment = client.read_deployment_by_name(f"work: pausing/{DEPLOYMENT}")
    client.pause_deployment(deployment.id)
    for late in due(schedule).values():
        duty_flow("pausing", lambda: "done", late)
    time.sleep(2 * EVERY_S)
    assert not due(schedule)
    by_hand = client.create_flow_run_from_deployment(deployment.id)
    assert due(schedule) == {"pausing": by_hand.id}


def test_rounds_go_by_the_schedule_while_prefect_answers_and_by_themselves_while_it_does_not(
    settings: Settings, client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    performed: list[float] = []

    def duty(_: Settings) -> str:
        performed.append(time.monotonic())
        return "done"

    made = {"round": duty}
    monkeypatch.setattr(duties, "DUTIES", made)
    monkeypatch.setattr(rounds, "DUTIES", made)
    answers, leaving = [True], threading.Event()
    monkeypatch.setattr(rounds, "prefect_answers", lambda _: answers[0])
    here = copy_context()  # Prefect's settings of this test
    working = threading.Thread(target=here.run, args=(rounds.keep_going, settings, leaving, lambda *_: None))
    working.start()
    try:
        until(lambda: len(performed) >= 3)
        scheduled = states(client, "round").count("Completed")
        answers[0] = False
        alone = len(performed)
        until(lambda: len(performed) >= alone + 3)
    finally:
        leaving.set()
        working.join()
    assert scheduled >= 2
    assert len(performed) > states(client, "round").count("Completed")


def test_a_server_that_is_away_is_told(schedules: dict[str, Schedule]) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}), pytest.raises(ServiceDown, match="Prefect's server"):
        due(schedules["looking"])
