"""Waits for the readable log where an archive follows the one that the service answers from (`data/log_archive.py`).

Called between sending payments and reading what was answered; a log that the service writes itself is always there.
"""

import time
from contextlib import closing

from data.errors import StepFailed
from data.log_archive import Waiting
from data.log_database import LogPlace, read
from data.settings import Settings

_POLL_S = 0.05


def readable_log(settings: Settings) -> LogPlace:
    """Where to read, once everything that was answered before this call is there. Raises StepFailed at the deadline, LogUnavailable."""
    if not settings.store_url:
        return settings.log_place
    from data.valkey_log import ValkeyLog

    deadline = time.monotonic() + settings.start_timeout_s
    with closing(ValkeyLog(settings.store_url, settings.http_timeout_s)) as log:
        last = log.last_sequence()
        while True:
            ((seen,),) = read(settings.log_place, "SELECT coalesce((SELECT value FROM facts WHERE name = 'archived_to'), '0')", ())
            waiting = [Waiting(*row) for row in read(settings.log_place, "SELECT sequence, transaction_id FROM waiting", ())]
            if int(seen) >= last and not log.answers_to(waiting):
                return settings.log_place
            if time.monotonic() > deadline:
                raise StepFailed(
                    f"The archive holds {int(seen):,} of {last:,} entries of the shared log, and does not catch up.",
                    next_step="`lab status` shows whether it runs, and where its log is; `lab up` starts it.",
                    where="archive",
                )
            time.sleep(_POLL_S)
