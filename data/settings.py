"""Every setting: name, default, meaning; the unit is in the name. Each is an environment variable `LAB_<NAME>`.

Built once by a composition root (`Settings.load()`) and passed on; nothing reads the environment elsewhere.
"""

import socket
from datetime import UTC, date, datetime, time
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from data.errors import BadSetting

REPOSITORY = Path(__file__).resolve().parents[1]
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _address(of: str) -> str:
    """A server that somebody else runs, as docker compose does."""
    address: str = Field(
        "", pattern=r"^(https?://[^\s/]+)?$", description=f"URL of {of} where it runs elsewhere; empty: on LAB_HOST, started by `lab up`"
    )
    return address


class Settings(BaseSettings):
    """The validated settings of one process."""

    model_config = SettingsConfigDict(env_prefix="LAB_", frozen=True, extra="ignore")

    home: Path = Field(REPOSITORY / ".lab", description="folder for data, models, logs and databases; deleting it resets everything")
    course: Path = Field(REPOSITORY / "labs" / "course", description="folder of the course that `lab start` and the others read")
    workspace: Path = Field(REPOSITORY / "workspace", description="folder for your work on the labs, and how far you are")
    host: str = Field("127.0.0.1", description="address every server binds; loopback unless you know why not")
    scoring_port: int = Field(8600, ge=1024, le=65535, description="scoring API")
    mlflow_port: int = Field(8601, ge=1024, le=65535, description="MLflow tracking and registry")
    prefect_port: int = Field(8602, ge=1024, le=65535, description="Prefect server")
    scoring_address: str = _address("the scoring API")
    mlflow_address: str = _address("MLflow")
    prefect_address: str = _address("Prefect's server")
    archive_address: str = _address("the shared log's archive")
    dask_address: str = Field(
        "",
        pattern=r"^((tcp|tls)://\S+:\d+)?$",
        description="Dask scheduler whose workers `lab train --workers` fits on, as in tcp://127.0.0.1:8786; empty: processes of its own",
    )
    work_port: int = Field(8605, ge=1024, le=65535, description="metrics of `lab work`: verdicts, drift, labels, rollout")
    work_every_s: float = Field(
        60.0, ge=1, le=86_400, description="how often `lab work` does its duties, by Prefect's schedule where Prefect is"
    )
    work_retrains: bool = Field(False, description="whether `lab work` trains a challenger when a verdict asks for one; the gate decides")
    allowed_hosts: str = Field(
        "",
        pattern=r"^([a-z0-9][a-z0-9.-]*(,[a-z0-9][a-z0-9.-]*)*)?$",
        description="names, separated by commas, under which callers may address our servers beside this machine's own",
    )
    archive_port: int = Field(8603, ge=1024, le=65535, description="metrics of the shared log's archive, where LAB_STORE_URL is set")
    seed: int = Field(7, ge=0, description="seed of the world, the splits and the models")
    world_start: date = Field(date(2026, 1, 5), description="first day of the world (a Monday)")
    world_days: int = Field(60, ge=21, le=3650, description="days of history before anything is served")
    transactions_per_day: int = Field(6_000, ge=500, le=10_000_000, description="mean genuine traffic on the first day")
    label_delay_days: int = Field(7, ge=1, le=90, description="gap kept between training rows and the rows that judge them")
    alert_capacity_per_thousand: float = Field(10.0, gt=0, le=1000, description="payments per thousand that the fraud team can review")
    random_approve_share: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of the payments due to be declined that are let through, drawn by their ids, so that their outcome becomes"
        " known; part of the policy of models trained from then on. 0.05 costs one fraud in twenty that would have been stopped",
    )
    drift_false_alarms_per_thousand: float = Field(
        1.0, gt=0, le=100, description="error budget of monitoring: false alarms per thousand quiet windows, of all detectors together"
    )
    model_name: str = Field("fraud", pattern=r"^[a-z][a-z0-9_-]{0,40}$", description="name of the registered model")
    log_failure: Literal["closed", "open"] = Field(
        "closed",
        description="while the prediction log cannot be written: `closed` answers nothing (503), `open` answers without keeping it"
        " (header `x-lab-logged: no`) and so gives up audit, monitoring and the same answer to the same payment",
    )
    log_write: Literal["durable", "buffered"] = Field(
        "durable",
        description="`durable`: an answer is given once the log holds it on the disk; `buffered`: at once, and logged by a process"
        " beside it within 50 ms or so: a kill of the service loses what was answered in the last 2 ms, a power cut more",
    )
    store_url: str = Field(
        "",
        pattern=r"^((valkeys?|rediss?)://\S+)?$",
        description="Valkey or Redis that several scoring processes share as log and history, as in valkey://127.0.0.1:6379/0;"
        " empty: SQLite in LAB_HOME, for one process",
    )
    log_url: str = Field(
        "",
        pattern=r"^(postgresql://\S+)?$",
        description="Postgres database that keeps the prediction log, as in postgresql://lab@127.0.0.1:5432/predictions; the archive of the"
        " shared log where LAB_STORE_URL is set. Empty: predictions.db in LAB_HOME",
    )
    workers: int = Field(1, ge=1, le=64, description="scoring processes behind one port; more than one needs LAB_STORE_URL")
    registry_poll_s: float = Field(1.0, gt=0, le=60, description="how often the scoring service looks at the registry")
    http_timeout_s: float = Field(5.0, gt=0, le=60, description="limit for one call between our own processes")
    start_timeout_s: float = Field(120.0, gt=0, le=600, description="limit for one process to become healthy")
    threads: int = Field(0, ge=0, le=256, description="training threads; 0 takes every core")

    @field_validator("home", "course", "workspace")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()  # child processes run in another folder

    @field_validator("workers")
    @classmethod
    def _sharing(cls, workers: int, known: ValidationInfo) -> int:
        if workers > 1 and not known.data.get("store_url"):
            raise ValueError("more than one process needs a log that they can share; set LAB_STORE_URL")
        return workers

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment. Raises BadSetting naming the variable, the value's fault and the fix."""
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            name, message = "LAB_" + str(first["loc"][0]).upper(), first["msg"].removeprefix("Value error, ")
            raise BadSetting(
                f"{name}: {message[0].lower()}{message[1:]}.",
                next_step=f"Correct or unset {name}; `lab doctor` lists every setting.",
                where=name,
            ) from None

    def as_environment(self) -> dict[str, str]:
        """The same settings as variables, for a child process."""
        return {f"LAB_{name.upper()}": str(getattr(self, name)) for name in type(self).model_fields}

    @cached_property
    def scoring_url(self) -> str:
        return self.scoring_address or f"http://{self.host}:{self.scoring_port}"

    @cached_property
    def mlflow_url(self) -> str:
        return self.mlflow_address or f"http://{self.host}:{self.mlflow_port}"

    @cached_property
    def prefect_url(self) -> str:
        return self.prefect_address or f"http://{self.host}:{self.prefect_port}"

    @cached_property
    def archive_url(self) -> str:
        return self.archive_address or f"http://{self.host}:{self.archive_port}"

    @property
    def hosts(self) -> frozenset[str]:
        """Names under which callers may address our servers: others are a web page's trick (DNS rebinding).

        A server that binds every address may be called by each of them: a container's, for whoever found it by its service's name.
        """
        ours = socket.gethostbyname_ex(socket.gethostname())[2] if self.host == "0.0.0.0" else [self.host]
        return LOOPBACK | {*ours, *filter(None, self.allowed_hosts.split(","))}

    @property
    def log_place(self) -> Path | str:
        """Where windows of the prediction log can be read (`data.log_database.LogPlace`)."""
        return self.log_url or self.home / "predictions.db"

    @property
    def start_time(self) -> datetime:
        """Midnight UTC of the first day."""
        return datetime.combine(self.world_start, time(), UTC)
