"""Prefect's server behind the door that ours has: `python -m services.prefect_server`.

Prefect answers any Host header and lets every web page write to it, so that a page open in the user's browser could run
flows. It has no setting for either; this wraps its application and changes nothing else.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from data.environment import prepare_environment
from data.settings import Settings


class Door:
    """Lets in who names this machine, and whose page, if any, came from it."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if _host(f"//{headers.get('host', '')}") in self._hosts and (origin is None or _host(origin) in self._hosts):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await JSONResponse({"detail": "Call it as 127.0.0.1 or localhost, and not from another site's page."}, 403)(
                scope, receive, send
            )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def main() -> None:
    """Serve until SIGTERM."""
    prepare_environment()
    import uvicorn
    from prefect.server.api.server import create_app

    settings = Settings.load()
    app = Door(create_app(final=True), settings.hosts)
    uvicorn.run(app, host=settings.host, port=settings.prefect_port, log_level="warning")


if __name__ == "__main__":
    main()
