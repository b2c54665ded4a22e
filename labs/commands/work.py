"""`lab work`: the duties of a running lab in rounds, and what they found as metrics."""

import signal
import sys
import threading

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from data.environment import use_servers
from data.errors import PortInUse
from data.settings import Settings
from labs.terminal import console, print_json
from labs.work.duties import facts_of
from labs.work.gauges import WorkGauges
from labs.work.rounds import go_round, keep_going


def once(*, as_json: bool) -> int:
    """Do what is due now, in order; returns 0 when nothing failed, 1 otherwise."""
    settings, out = Settings.load(), console(to_stderr=as_json)
    use_servers(settings.mlflow_url, settings.prefect_url, str(settings.home / "prefect"))
    failed = go_round(settings, lambda name, said: out.print(f"[bold]{name}[/]  {said}", soft_wrap=True))
    if as_json:
        print_json(facts_of(settings))
    return int(failed > 0)


def work() -> None:
    """Serve metrics, and go through the duties until SIGTERM or SIGINT. Raises PortInUse."""
    settings, out = Settings.load(), console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # at once: a duty that is cut off is due again
    use_servers(settings.mlflow_url, settings.prefect_url, str(settings.home / "prefect"))
    serve_metrics(settings)
    out.print(f"metrics on http://{settings.host}:{settings.work_port}/metrics; a round every {settings.work_every_s:g} s", soft_wrap=True)
    keep_going(settings, threading.Event(), lambda name, said: out.print(f"[bold]{name}[/]  {said}", soft_wrap=True))


def serve_metrics(settings: Settings) -> None:
    """Answer Prometheus on a thread of its own. Raises PortInUse."""
    registry = CollectorRegistry()
    registry.register(WorkGauges(settings))
    ProcessCollector(registry=registry)
    try:
        start_http_server(settings.work_port, settings.host, registry=registry)
    except OSError as error:
        raise PortInUse(
            f"Port {settings.work_port} is taken.", next_step="Stop what has it, or set LAB_WORK_PORT.", where="LAB_WORK_PORT"
        ) from error
