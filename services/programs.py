"""The local processes of the sandbox: how each is started, which address says it is healthy, where its page is.

Read by the supervisor and by `lab doctor`. A new process is one more entry here.
"""

import sys
from dataclasses import dataclass, field

from data.errors import BadInput, BadSetting
from data.settings import Settings


@dataclass(frozen=True)
class Program:
    """One process of ours. `health` answers 200 once it can be used; `page` is for people."""

    name: str
    title: str
    command: tuple[str, ...]
    port: int
    port_setting: str
    health: str
    page: str
    environment: dict[str, str] = field(default_factory=dict)
    elsewhere: bool = False  # somebody else starts and stops it
    beside: str = ""  # the program that it is started and stopped with


def programs(settings: Settings) -> dict[str, Program]:
    """All programs by name, in the order of starting. Raises BadSetting when two of them share a port."""
    shared = (_archive(settings),) if settings.store_url else ()
    found = (_mlflow(settings), _prefect(settings), *shared, _scoring(settings))
    by_port: dict[int, Program] = {}
    for program in found:
        other = by_port.setdefault(program.port, program)
        if other is not program:
            raise BadSetting(
                f"{other.title} and {program.title} are both set to port {program.port}.",
                next_step=f"Give {program.port_setting} another value.",
                where=program.port_setting,
            )
    return {program.name: program for program in found}


def chosen(every: dict[str, Program], names: tuple[str, ...] | None) -> list[Program]:
    """The programs called `names` in starting order; all of them for None. Raises BadInput for an unknown name."""
    unknown = [name for name in names or () if name not in every]
    if unknown:
        raise BadInput("That is not a process of the lab.", next_step=f"Choose among {', '.join(every)}.", where="name")
    return [program for name, program in every.items() if names is None or name in names or program.beside in names]


def _mlflow(settings: Settings) -> Program:
    home = settings.home / "mlflow"
    return Program(
        name="mlflow",
        title="MLflow",
        # One worker: the default starts 15 processes with 1.8 GB, takes minutes and leaves children behind.
        command=(
            *(sys.executable, "-m", "mlflow", "server", "--host", settings.host, "--port", str(settings.mlflow_port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"),
            *("--artifacts-destination", str(home / "artifacts")),
            *("--allowed-hosts", f"localhost:*,127.0.0.1:*,{settings.host}:{settings.mlflow_port}"),
        ),
        port=settings.mlflow_port,
        port_setting="LAB_MLFLOW_PORT",
        health=f"{settings.mlflow_url}/health",
        page=settings.mlflow_url,
        elsewhere=bool(settings.mlflow_address),
    )


def _prefect(settings: Settings) -> Program:
    home = settings.home / "prefect"
    return Program(
        name="prefect",
        title="Prefect",
        command=(sys.executable, "-m", "services.prefect_server"),
        port=settings.prefect_port,
        port_setting="LAB_PREFECT_PORT",
        health=f"{settings.prefect_url}/api/health",
        page=settings.prefect_url,
        elsewhere=bool(settings.prefect_address),
        environment={
            "PREFECT_HOME": str(home),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
            "PREFECT_UI_API_URL": f"{settings.prefect_url}/api",
        },
    )


def _archive(settings: Settings) -> Program:
    return Program(
        name="archive",
        title="Archive",
        command=(sys.executable, "-m", "services.archive"),
        port=settings.archive_port,
        port_setting="LAB_ARCHIVE_PORT",
        health=f"{settings.archive_url}/metrics",
        page=f"{settings.archive_url}/metrics",
        elsewhere=bool(settings.archive_address),
        beside="scoring",
    )


def _scoring(settings: Settings) -> Program:
    return Program(
        name="scoring",
        title="Scoring",
        # Behind a keeper, which holds the port while a process is replaced.
        command=(
            *(sys.executable, "-m", "services.keeper", settings.host, str(settings.scoring_port), str(settings.workers)),
            *(sys.executable, "-m", "services.scoring"),
        ),
        port=settings.scoring_port,
        port_setting="LAB_SCORING_PORT",
        health=f"{settings.scoring_url}/live",  # /ready waits for a model, which a first start does not have yet
        page=f"{settings.scoring_url}/docs",
        elsewhere=bool(settings.scoring_address),
    )
