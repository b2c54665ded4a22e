"""A canary's fault in the running service: which faults a challenger can be given there, and how the service is asked."""

from typing import Any, Final

from data.errors import BadInput
from data.keys import lab_key
from data.settings import Settings
from labs.canaries.scenario import Canary
from labs.canaries.stage import COLUMNS_OFF, INFLATION
from labs.service import call

BUSY_PER_S: Final = 20.0  # answers of its own in a second from which a challenger that is slow under load is slow


def fault_of(canary: Canary) -> dict[str, Any]:
    """What the service is to do to its challenger. Raises BadInput for a canary whose fault is not one of the challenger's behaviour."""
    fault = canary.fault
    asked: dict[str, Any] = {}
    if fault.fails or fault.poison:
        asked |= {"fails": fault.fails if fault.fails_live is None else fault.fails_live, "poison": fault.poison}
    if fault.slow:
        asked |= {"slow": fault.slow, "slow_above_per_s": BUSY_PER_S if fault.slow_above_per_hour else 0.0}
    if canary.challenger == "skewed":
        asked["columns_off"] = COLUMNS_OFF
    if canary.challenger == "uncalibrated":
        asked["score_factor"] = INFLATION
    if not asked:
        raise BadInput(
            f"{canary.name} is no fault that a running challenger can be given.",
            next_step=f"Run it as an exercise: `lab canary run {canary.name}`.",
            where=canary.name,
        )
    return asked | {"in_canary": fault.in_canary}


def ask(settings: Settings, fault: dict[str, Any] | None) -> None:
    """Give the running service's challenger this fault from the next payment on, or none. Raises ServiceDown, NotAllowed."""
    call(settings, "PUT", "/v1/faults", json={"challenger": fault}, headers={"X-Lab-Key": lab_key(settings.home / "keys")})
