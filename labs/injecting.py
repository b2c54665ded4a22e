"""Drifts that act inside the running service rather than on what is sent to it: faults of features, and the wrong model.

For whoever sends payments (`labs/live.py`) and the commands that inject and stop.
"""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from data.errors import BadInput
from data.faults.mechanisms import FeatureChange
from data.keys import lab_key
from data.ledger import Ledger
from data.registry import Registry
from data.scenarios import Injection
from data.settings import Settings
from labs.drifts import Drifts
from labs.service import call
from pipelines.rollout.rollback import Rollback, roll_back

WRONG_VERSION = "wrong_model"  # the scenario that is another version in the running lab
BY = "lab drift inject"  # in the ledger


def arm(settings: Settings, drifts: Drifts, day: date) -> None:
    """Have the service do the faults of features that are not over on `day`; it says nothing where there never was one.

    Raises ServiceDown, or NotAllowed where the service cannot.
    """
    asked = [fault for one in drifts.injections for fault in _faults(one)]
    if not asked:
        return
    ahead = [fault for fault in asked if fault["until"] is None or fault["until"] > str(day)]
    call(settings, "PUT", "/v1/faults", json={"faults": ahead}, headers={"X-Lab-Key": lab_key(settings.home / "keys")})


def _faults(injection: Injection) -> list[dict[str, Any]]:
    onset, dose = injection.onset, injection.scenario.strength
    dates = {"start": str(onset.start), "until": onset.until and str(onset.until)}
    when = {"ramp_days": onset.ramp_days, "days": onset.days, "every_days": onset.every_days, **dates}
    return [
        {"mechanism": part.mechanism.name, "strength": part.strength * dose, "seed": injection.seed, **when}
        for part in injection.scenario.parts
        if isinstance(part.mechanism, FeatureChange)
    ]


def require_possible(injection: Injection, registry: Registry, champion: str) -> None:
    """Raises BadInput for a drift that a running lab cannot have, or that wants a second version where there is one."""
    if "scores" not in injection.scenario.layers:
        return
    if injection.scenario.name != WRONG_VERSION:
        raise BadInput(
            f"{injection.scenario.name} needs a model that was built wrongly, which a running lab does not have.",
            next_step=f"Inject {WRONG_VERSION}, or run it as an exercise: `lab drift run {injection.scenario.name}`.",
            where=injection.scenario.name,
        )
    if not _others(registry, champion):
        raise BadInput(
            f"There is no other version than {champion} that could be served by mistake.",
            next_step="Make one: `lab train --retrain`, once labels have matured.",
            where=injection.scenario.name,
        )


def serve_wrong_version(registry: Registry, ledger: Ledger, notify: Callable[[], Any], champion: str, at: datetime) -> Rollback:
    """Make the newest other version the champion without a rollout, as a slip of a hand would. Raises what `roll_back` raises."""
    version = _others(registry, champion)[-1]
    return roll_back(registry, ledger, notify, reason=f"injected: {WRONG_VERSION}", at=at, to=version, by=BY)


def serve_right_version(registry: Registry, ledger: Ledger, notify: Callable[[], Any], champion: str, at: datetime) -> Rollback | None:
    """Take that back, unless somebody has done so."""
    wrong = [entry for entry in ledger.entries() if entry.kind == "rollback" and entry.facts.get("by") == BY]
    if not wrong or wrong[-1].facts["champion"] != champion:
        return None
    back = str(wrong[-1].facts["instead_of"])
    return roll_back(registry, ledger, notify, reason=f"stopped: {WRONG_VERSION}", at=at, to=back, by="lab drift stop")


def _others(registry: Registry, champion: str) -> list[str]:
    return [facts.version for facts in registry.versions() if facts.version != champion]
