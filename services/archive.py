"""Keeps an archive of the shared log up to date: `python -m services.archive`. Started with the servers where LAB_STORE_URL is set.

Nothing waits for it: it follows some tenths of a second behind, and catches up after it, the store or the archive was away. Its
`/metrics` tell how far behind it is.
"""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import closing

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from data.archives import open_archive
from data.environment import prepare_environment
from data.errors import BadSetting, LabError, LogUnavailable
from data.log_archive import Archive, SharedSource, begin, copy
from data.settings import Settings
from data.shared_log import OtherLog
from data.valkey_log import ValkeyLog

PAUSE_S = 0.1  # after a look that found nothing new
AGAIN_S = 1.0  # after a failure
_log = logging.getLogger("archive")


class Lag:
    """How far behind the archive is, for Prometheus."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._behind = Gauge("fraud_archive_behind_entries", "entries of the shared log that the archive does not hold yet", registry=r)
        self._waiting = Gauge("fraud_archive_waiting_payments", "payments in the shared log that nobody has answered", registry=r)

    def measure(self, log: SharedSource, archive: Archive) -> None:
        """After a look. Raises LogUnavailable."""
        self._behind.set(log.last_sequence() - archive.position())
        self._waiting.set(len(archive.waiting()))


def main() -> int:
    """Copy until SIGTERM or SIGINT. Returns an exit status; a start that cannot succeed says why in one sentence."""
    prepare_environment()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    leaving, lag = threading.Event(), Lag()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    try:
        settings = Settings.load()
        if not settings.store_url:
            raise BadSetting("There is no shared log to archive.", next_step="Name its store in LAB_STORE_URL.", where="LAB_STORE_URL")
        with closing(ValkeyLog(settings.store_url, settings.http_timeout_s)) as log, closing(open_archive(settings.log_place)) as archive:
            begin(log, archive)
            start_http_server(settings.archive_port, settings.host, registry=lag.registry)
            follow(log, archive, leaving, lambda: lag.measure(log, archive))
    except LabError as error:
        _log.error("%s: %s", error.code, error)
        return error.exit_status
    return 0


def follow(log: SharedSource, archive: Archive, leaving: threading.Event, measure: Callable[[], None] = lambda: None) -> None:
    """Copy until `leaving` is set. While the store or the archive is away it says so once, and goes on when it is back. Raises OtherLog."""
    away = False
    while not leaving.is_set():
        try:
            copied = copy(log, archive)
            measure()
        except OtherLog:
            raise
        except LogUnavailable as error:
            if not away:
                _log.warning("%s", error)
            away = True
            leaving.wait(AGAIN_S)
            continue
        if away:
            _log.info("goes on")
            away = False
        if not copied:
            leaving.wait(PAUSE_S)


if __name__ == "__main__":
    sys.exit(main())
