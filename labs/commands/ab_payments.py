"""Which payments `lab ab` works on, and the one option that all its commands share."""

from data.errors import BadInput
from data.settings import Settings
from labs.contenders import is_ready, own_or_world
from labs.terminal import console
from pipelines.experiments.scored import Scored


def payments_of(settings: Settings, *, models: int) -> Scored:
    """The user's own, or the world's; says so when models are about to be trained. Raises LogUnavailable."""
    if is_ready(settings):
        return own_or_world(settings, models=models)
    with console(to_stderr=True).status("looking for payments; the world's need six models, trained once in half a minute"):
        return own_or_world(settings, models=models)


def require_share(share: float) -> None:
    """Raises BadInput unless `share` leaves both arms something."""
    if not 0 < share < 1:
        raise BadInput("share must be above 0 and below 1.", next_step="Correct --share and run again.", where="share")
