"""The FastAPI application over a service that was put together elsewhere. Importing it loads nothing heavy and does nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from data.errors import LabError
from data.settings import LOOPBACK
from services.scoring.edge import Edge, error_response
from services.scoring.messages import bad_input
from services.scoring.metrics import Metrics
from services.scoring.routes import Service, scoring_routes


def create_app(service: Service, *, hosts: frozenset[str] = LOOPBACK) -> FastAPI:
    """The application. It starts and stops the service's courier, and closes its engine and log at shutdown."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.courier.start()
        yield
        service.courier.stop()
        service.explainer.close()
        await service.engine.stop()
        service.log.close()

    app = FastAPIOffline(  # its /docs page needs no network
        title="Fraud scoring",
        version="1",
        description="A card payment in; approve, review or decline out. Answers are durable unless set otherwise.",
        lifespan=lifespan,
    )
    app.include_router(scoring_routes(service))
    _answer_errors(app, service.metrics)
    app.add_middleware(Edge, metrics=service.metrics, hosts=hosts)
    return app


def _answer_errors(app: FastAPI, metrics: Metrics) -> None:
    """Every failure in the one envelope, and ours counted by their codes."""

    async def as_envelope(request: Request, error: Exception) -> Response:
        if isinstance(error, LabError):
            metrics.failed(error)
        return error_response(error, request.state.request_id)

    async def as_bad_input(request: Request, error: Exception) -> Response:
        """A parameter of the path or the query that breaks its schema; the framework's own answer would repeat it."""
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return await as_envelope(request, bad_input(first["loc"][-1], first["msg"]))

    app.add_exception_handler(LabError, as_envelope)
    app.add_exception_handler(HTTPException, as_envelope)
    app.add_exception_handler(RequestValidationError, as_bad_input)
