"""The HTTP routes: each decodes, calls one function of the engine or the courier, and encodes."""

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from data.clock import Clock
from data.errors import NotAllowed
from data.features import FEATURE_COUNT
from data.prediction_store import Answer, PredictionStore
from data.schema import Message, Prediction, Token, Transaction
from services.scoring.challenger_fault import ChallengerFaults
from services.scoring.courier import Courier
from services.scoring.engine import NOT_LOGGED, Unlogged
from services.scoring.explain import Explainer
from services.scoring.explain_messages import Explanation
from services.scoring.feature_fault import FeatureFaults
from services.scoring.messages import (
    ErrorEnvelope,
    FaultList,
    LabelBatch,
    LabelReceipt,
    PredictionBatch,
    SealedPlan,
    TransactionBatch,
    decode,
)
from services.scoring.metrics import Metrics
from services.scoring.scorer import Scorer
from services.scoring.slots import Slots


@dataclass(frozen=True)
class Service:
    """The parts of one scoring process, put together by its composition root."""

    engine: Scorer
    log: PredictionStore
    slots: Slots
    courier: Courier
    explainer: Explainer
    metrics: Metrics
    clock: Clock  # only to tell people how old something is
    lab_key: str
    faults: FeatureFaults | None = None  # what may be done to the features; None where no such fault can be injected
    challenger_faults: ChallengerFaults | None = None  # the same for the challenger


def scoring_routes(service: Service) -> APIRouter:
    """All routes over one service."""
    router = APIRouter(responses={"4XX": {"model": ErrorEnvelope}, "5XX": {"model": ErrorEnvelope}})
    _add_scoring(router, service)
    _add_explaining(router, service)
    _add_probes(router, service)
    _add_control(router, service)
    return router


def _add_scoring(router: APIRouter, service: Service) -> None:
    @router.post("/v1/score", tags=["payments"], summary="Score one payment", response_model=Prediction, openapi_extra=_takes(Transaction))
    async def score(request: Request) -> Response:
        """Score one payment. The same transaction_id gets the same answer, and is stored once."""
        transaction = decode(Transaction, await request.body())
        answer = await service.engine.score(transaction, request.state.request_id)
        return Response(answer.json(), headers=_told_of((answer,)), media_type="application/json")

    @router.post(
        "/v1/score/batch",
        tags=["payments"],
        summary="Score many, in order",
        response_model=PredictionBatch,
        openapi_extra=_takes(TransactionBatch),
    )
    async def score_batch(request: Request) -> Response:
        """Score payments in order of arrival. When it fails, send it again: what was stored is answered the same."""
        batch = decode(TransactionBatch, await request.body())
        answers = await service.engine.score_batch(batch.transactions, request.state.request_id)
        content = f'{{"predictions":[{",".join([answer.json() for answer in answers])}]}}'
        return Response(content, headers=_told_of(answers), media_type="application/json")

    @router.post(
        "/v1/labels",
        tags=["payments"],
        summary="Report what became of payments",
        response_model=LabelReceipt,
        openapi_extra=_takes(LabelBatch),
    )
    async def labels(request: Request) -> Response:
        """Tell what became known of payments that were scored here."""
        receipt = await service.engine.add_labels(decode(LabelBatch, await request.body()).labels)
        return Response(LabelReceipt(accepted=receipt.accepted, unknown=receipt.unknown).model_dump_json(), media_type="application/json")


def _add_explaining(router: APIRouter, service: Service) -> None:
    @router.get("/v1/explain/{transaction_id}", tags=["payments"], summary="Say why a payment was answered so", response_model=Explanation)
    async def explain(
        transaction_id: Annotated[Token, Path(description="of a payment that was answered here", examples=["tx_20260105_000017"])],
        top: Annotated[int, Query(ge=1, le=FEATURE_COUNT, description="how many features to list one by one")] = 10,
    ) -> Response:
        """Say why a stored payment was answered so: what each feature added to the score of the version that decided.

        It is computed away from scoring, a few at a time; ask again after a 503.
        """
        explanation = await service.explainer.explain(transaction_id, top)
        return Response(explanation.model_dump_json(), media_type="application/json")


def _add_probes(router: APIRouter, service: Service) -> None:
    @router.get("/live", tags=["health"], summary="Is the process alive")
    async def live() -> dict[str, str]:
        """The event loop turns. Depends on nothing, so that no outage becomes a restart storm."""
        return {"status": "live"}

    @router.get("/ready", tags=["health"], summary="Could a payment be answered now")
    async def ready() -> dict[str, Any]:
        """A verified model is in the slot and the log can be written, unless LAB_LOG_FAILURE lets payments through without it."""
        logged = await service.engine.check()
        return {"status": "ready", "logged": logged, **_source(service)}

    @router.get("/metrics", tags=["health"], summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _add_control(router: APIRouter, service: Service) -> None:
    @router.get("/v1/serving", tags=["operation"], summary="Who answers, and how it is known")
    async def serving() -> dict[str, Any]:
        """Who serves, since when, and which versions were set aside and why."""
        return _serving(service)

    @router.post("/v1/reload", tags=["operation"], summary="Look at the registry now")
    async def reload(request: Request) -> JSONResponse:
        """Look at the registry now. Needs the lab's key in X-Lab-Key."""
        _require_key(request, service)
        await asyncio.to_thread(service.courier.reload)
        return JSONResponse(_serving(service))

    @router.put("/v1/plan", tags=["operation"], summary="Follow a signed plan at once", openapi_extra=_takes(SealedPlan))
    async def plan(request: Request) -> JSONResponse:
        """Follow a serving plan that this lab signed, at once and whatever becomes of the registry. Needs the lab's key in X-Lab-Key."""
        _require_key(request, service)
        body = await request.body()
        decode(SealedPlan, body)  # its form; the signature is over what was sent
        plan = service.courier.obey(body.decode())  # on this thread: it waits for nobody
        await asyncio.to_thread(service.courier.settle, plan)
        return JSONResponse(_serving(service))

    @router.put("/v1/faults", tags=["operation"], summary="Faults for exercises", openapi_extra=_takes(FaultList))
    async def faults(request: Request) -> JSONResponse:
        """Do these faults to the features that the models see, or to the challenger, and no others. Needs the lab's key in X-Lab-Key."""
        _require_key(request, service)
        asked = decode(FaultList, await request.body())
        if service.faults is None or service.challenger_faults is None:
            raise NotAllowed(
                "Several scoring processes share this lab; a fault of features would reach one of them.",
                next_step="Unset LAB_STORE_URL and start again, or inject a fault of messages.",
                where="LAB_STORE_URL",
            )
        if "faults" in asked.model_fields_set:
            service.faults.ask(asked.faults)
        if "challenger" in asked.model_fields_set:
            service.challenger_faults.ask(asked.challenger)
        return JSONResponse(_serving(service))


def _require_key(request: Request, service: Service) -> None:
    if not hmac.compare_digest(request.headers.get("x-lab-key", "").encode(), service.lab_key.encode()):
        raise NotAllowed("The X-Lab-Key header is missing or wrong.", next_step="Use the key in keys/lab.key.", where="x-lab-key")


def _told_of(answers: Sequence[Answer]) -> dict[str, str]:
    """The header that owns up to answers which nothing keeps."""
    return dict([NOT_LOGGED]) if any(type(answer) is Unlogged for answer in answers) else {}


def _source(service: Service) -> dict[str, Any]:
    current = service.slots.current()
    age_s = (service.clock.now() - current.confirmed_at).total_seconds()
    return {"version": current.champion.version, "source": current.source, "age_s": max(0.0, round(age_s, 3))}  # a clock may be set back


def _serving(service: Service) -> dict[str, Any]:
    current = service.slots.serving
    facts: dict[str, Any] = {
        "plan": current.plan.to_json() if current else None,
        "champion": current.champion.version if current else None,
        "challenger": current.challenger.version if current and current.challenger else None,
        "benched": service.slots.benched,
        "refused": service.slots.refused,
        "registry_problem": service.courier.problem,
        "log_sequence": service.log.last_sequence(),
        "faults": service.faults.to_json() if service.faults else [],
        "challenger_fault": service.challenger_faults.to_json() if service.challenger_faults else None,
    }
    return facts | (_source(service) if current else {"source": "none"})


def _takes(kind: type[Message]) -> dict[str, Any]:
    """The request body for the OpenAPI page; the route decodes it itself, strictly and without an echo in its errors."""
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {})
    items = schema.get("properties", {})
    for name, definition in definitions.items():  # one level of nesting is all there is: put it in place
        for facts in items.values():
            if facts.get("items", {}).get("$ref") == f"#/$defs/{name}":
                facts["items"] = definition
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
