"""`lab score-batch`: payments in Parquet scored with a registered version, without the service."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data.bundle import Model
from data.environment import use_servers
from data.errors import BadInput, NoModel
from data.registry import CHAMPION, Registry
from data.settings import Settings
from labs.terminal import console, print_json
from labs.versions import load_version
from pipelines.batch.scoring import BatchRequest, BatchSummary, open_source
from services.supervisor import Supervisor


def score_batch(request: BatchRequest, version: str | None, *, as_json: bool) -> int:
    """Score with `version`, or with the champion; returns 0, or 1 when rows were quarantined.

    MLflow and Prefect are started for the time of the run where they do not run. Raises NoModel before there is a
    champion, what `load_version` raises, and what `pipelines.batch.scoring.score_table` raises.
    """
    if version is not None and not re.fullmatch(r"[0-9]{1,9}", version):
        raise BadInput("A version is a number.", next_step="`lab registry` lists the versions.", where="version")
    open_source(request)  # a wrong path or column is said before anything is started
    settings = Settings.load()
    use_servers(settings.mlflow_url, settings.prefect_url, str(settings.home / "prefect"))
    with Supervisor(settings).owning() as supervisor:
        with console(to_stderr=True).status("starting MLflow and Prefect"):
            supervisor.start(("mlflow", "prefect"))
        from pipelines.flows import batch_scoring_flow

        began = time.perf_counter()

        def load() -> Model:
            nonlocal began
            model = _model(settings, version)
            began = time.perf_counter()  # the rate is that of scoring alone
            return model

        with _progress() as on_progress:
            summary = batch_scoring_flow(load, request, on_progress)
        rate = summary.rows / (time.perf_counter() - began)
    if as_json:
        print_json(summary.to_json() | {"rows_per_s": round(rate)})
    else:
        _print(summary, rate)
    return int(summary.quarantined > 0)


def _model(settings: Settings, version: str | None) -> Model:
    with closing(Registry.of(settings)) as registry:
        wanted = version or registry.alias(CHAMPION)
        if wanted is None:
            raise NoModel("No version is champion yet.", next_step="Train one: `lab train`.", where=CHAMPION)
        return load_version(settings, registry, wanted)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, which vanishes at the end."""
    columns = (TextColumn("scoring"), BarColumn(24), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn())
    with Progress(*columns, console=console(to_stderr=True), transient=True) as bar:
        task = bar.add_task("scoring", total=None)
        yield lambda done, rows: bar.update(task, completed=done, total=rows)


def _print(summary: BatchSummary, rate: float) -> None:
    out = console()
    told = ", ".join(f"{count:,} {name}" for name, count in summary.decisions.items())
    out.print(f"[green]✓[/] {summary.scored:,} payments scored with version {summary.model_version}, {rate:,.0f} rows/s: {summary.out}",
              soft_wrap=True)  # fmt: skip
    out.print(f"  {told}; alert rate {summary.alert_rate:.2%}")
    if summary.quarantined:
        out.print(f"[yellow]![/] {summary.quarantined:,} rows could not be scored: {summary.out}/_quarantine says why", soft_wrap=True)
