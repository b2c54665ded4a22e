"""What the lab asks of the running scoring service: who serves, to look at the registry now, or anything else, with its failures.

Used by the commands, the demo and the rollout.
"""

import json
import time
from typing import Any

import httpx

from data import errors
from data.errors import LabError, ServiceDown
from data.keys import lab_key
from data.serving_plan import ServingPlan, seal
from data.settings import Settings


def ask_serving(settings: Settings) -> dict[str, Any]:
    """Who serves, in the service's own words. Raises ServiceDown, or the failure that the service names."""
    facts: dict[str, Any] = json.loads(call(settings, "GET", "/v1/serving"))
    return facts


def reload(settings: Settings) -> dict[str, Any]:
    """Who serves after the service looked at the registry. Raises ServiceDown, or the failure that the service names."""
    key = {"X-Lab-Key": lab_key(settings.home / "keys")}
    facts: dict[str, Any] = json.loads(call(settings, "POST", "/v1/reload", headers=key, timeout=settings.start_timeout_s))
    return facts


def hand_over(settings: Settings, plan: ServingPlan) -> dict[str, Any]:
    """Who serves once the service follows `plan`, ahead of the registry. Raises ServiceDown, or the failure that the service names."""
    keys = settings.home / "keys"
    headers = {"X-Lab-Key": lab_key(keys), "content-type": "application/json"}
    sealed = seal(plan, settings.model_name, keys)
    facts: dict[str, Any] = json.loads(call(settings, "PUT", "/v1/plan", headers=headers, content=sealed, timeout=settings.start_timeout_s))
    return facts


def reload_if_up(settings: Settings) -> dict[str, Any] | None:
    """The same; None while the service does not run."""
    try:
        return reload(settings)
    except ServiceDown:
        return None


def serving_once_ready(settings: Settings) -> dict[str, Any]:
    """Who serves, as soon as a verified model does; the service is alive before it is ready. Raises ServiceDown at the deadline."""
    deadline = time.monotonic() + settings.start_timeout_s
    while not (serving := ask_serving(settings))["champion"]:
        if time.monotonic() > deadline:
            raise ServiceDown(
                f"The scoring service serves no model after {settings.start_timeout_s:g} s.",
                next_step="Its log says why: `lab status` names it.",
                where="scoring",
            )
        time.sleep(0.1)
    return serving


def call(settings: Settings, method: str, path: str, **how: Any) -> bytes:
    """The service's answer to any request; `how` is for httpx. Raises ServiceDown, or the failure that the service names."""
    # verify=False: plain HTTP between our own processes, and to load the certificates of the world's authorities takes 20 ms.
    how = {"timeout": settings.http_timeout_s, "verify": False, **how}
    try:
        answer = httpx.request(method, f"{settings.scoring_url}{path}", trust_env=False, **how)
    except httpx.TransportError as error:
        raise ServiceDown(
            f"The scoring service does not answer at {settings.scoring_url}.", next_step="Start it with `lab up`.", where="scoring"
        ) from error
    if answer.is_success:
        return answer.content
    raise failure(answer)


def failure(answer: httpx.Response) -> LabError:
    """The failure that an error envelope of the service stands for, as the class with its code."""
    known = {kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LabError)}
    try:
        facts = answer.json()["error"]
        kind = known.get(facts["code"], LabError)
        return kind(facts["message"], next_step=facts["next_step"], where=facts.get("where"))
    except (ValueError, KeyError, TypeError):
        return LabError(
            f"The scoring service answered {answer.status_code} without saying why.",
            next_step="Is another program on its port? `lab status` shows who should be there.",
            where="scoring",
        )
