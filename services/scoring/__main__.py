"""The scoring process: `python -m services.scoring`. Its composition root, and the only place that reads its settings."""

import gc
import logging
import os
import socket
import sys

from data.environment import prepare_environment
from data.settings import Settings


def main() -> int:
    """Serve until SIGTERM or SIGINT. Returns an exit status; a start that cannot succeed says why in one sentence."""
    prepare_environment()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line per poll otherwise

    import uvicorn

    from data.errors import LabError
    from services.scoring.app import create_app
    from services.scoring.compose import compose
    from services.scoring.fast_path import connections

    try:
        settings = Settings.load()
        service = compose(settings)
    except LabError as error:
        logging.getLogger(__name__).error("%s: %s", error.code, error)
        return error.exit_status
    calm_collector()
    config = uvicorn.Config(
        create_app(service, hosts=settings.hosts),
        host=settings.host,
        port=settings.scoring_port,
        loop="uvloop",
        http=connections(service, settings.hosts),
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing stands in front of it here
        timeout_graceful_shutdown=10,
    )
    uvicorn.Server(config).run(kept_socket())
    return 0


def kept_socket() -> list[socket.socket] | None:
    """The listening socket that a keeper holds for us; None when we listen ourselves."""
    descriptor = os.environ.get("LAB_LISTEN_FD")  # a descriptor of this one process, not a setting
    return [socket.socket(fileno=int(descriptor))] if descriptor else None


def calm_collector() -> None:
    """Look for cycles rarely: what started stays, and requests make few. At Python's pace it takes a tenth of the CPU under load."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


if __name__ == "__main__":
    sys.exit(main())
