"""Brings up what a lab needs: days of payments, a trained champion, a running service, a week of traffic, a challenger.

Each level is made once (`labs/engine/levels.py`), kept, and put back when another lab changed it (`labs/engine/live_state.py`): the
first lab of a course takes about a minute, the next ones seconds. Called by the commands and by the proof of the contract.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from data.errors import BadSetting
from data.settings import Settings
from labs.engine.course import Lab, Need
from labs.engine.levels import BUILT_ON, SECONDS, State, level_of, make_history, make_state, state_of
from labs.engine.live_state import Mark, begin, differences, is_kept, keep, put_back
from labs.previous import set_aside
from labs.service import serving_once_ready
from services.supervisor import Supervisor

Show = Callable[[str, float], None]  # what is done now, and the share of the way that lies behind, from 0 to 1
_SERVE_S: Final = 5.0  # to put a state back and start the service


def prepare(settings: Settings, lab: Lab, show: Show, *, anew: bool = False) -> Path | None:
    """Bring the running system to what the lab needs, and start the servers that it needs; quick when all is there.

    `anew`: also put back what this lab itself changed. Returns where something that was there before was set aside, if anything was.
    Raises what training and the supervisor raise, and BadSetting for a log that cannot be kept.
    """
    preparation = Preparation(settings, show)
    preparation.bring(lab, anew=anew)
    return preparation.aside


def is_prepared(settings: Settings, lab: Lab) -> bool:
    """Whether the running system's state is this lab's: of its level, and changed by no other lab."""
    state = state_of(lab.needs)
    if state is None:
        return lab.needs == "nothing" or (settings.home / "datasets" / "world").is_dir()
    mark = Mark.read(settings.home)
    return mark is not None and mark.level == level_of(settings, state) and mark.changed_by in (None, lab.id)


def ousted(settings: Settings, lab: Lab) -> str | None:
    """The other lab, by id, whose changes to the running system are put back when `lab` begins; None when there is none."""
    mark = Mark.read(settings.home)
    return mark.changed_by if mark is not None and state_of(lab.needs) is not None and mark.changed_by != lab.id else None


def changed(settings: Settings, lab: Lab) -> list[str]:
    """In words, what of the running system's state is no longer as the lab found it."""
    state = state_of(lab.needs)
    return [] if state is None else differences(settings.home, level_of(settings, state))


class Preparation:
    """One home on its way to what a lab needs."""

    def __init__(self, settings: Settings, show: Show) -> None:
        self.settings = settings
        self.home = settings.home
        self.supervisor = Supervisor(settings)
        self.aside: Path | None = None
        self._show = show
        self._behind = 0.0
        self._whole = _SERVE_S

    def bring(self, lab: Lab, *, anew: bool) -> None:
        """See `prepare`."""
        if lab.needs == "nothing":
            return
        with self._alone():
            state = state_of(lab.needs)
            if state is None:
                make_history(self.settings, self._tell)
                return
            self._bring_state(state, again=anew or not is_prepared(self.settings, lab))
            self._serve(lab.needs)
            if lab.changes_live:
                Mark(level_of(self.settings, state), lab.id).write(self.home)

    def make(self, need: Need) -> None:
        """Make the state of `need` and those it is built on, unless they are kept; leaves no server running."""
        if need == "nothing":
            return
        with self._alone():
            state = state_of(need)
            if state is None:
                make_history(self.settings, self._tell)
            else:
                self._build(state)
            self.supervisor.stop()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One preparation at a time in one home, across shells."""
        if self.settings.store_url or self.settings.log_url:
            raise BadSetting(
                "Labs keep and put back the log in LAB_HOME, and this one is elsewhere.",
                next_step="Unset LAB_STORE_URL and LAB_LOG_URL for the labs.",
                where="LAB_STORE_URL" if self.settings.store_url else "LAB_LOG_URL",
            )
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "course.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._tell("waiting for another command to prepare", 0)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _tell(self, what: str, seconds: float) -> None:
        self._show(what, min(self._behind / self._whole, 1.0))
        self._behind += seconds

    def _bring_state(self, state: State, *, again: bool) -> None:
        level = level_of(self.settings, state)
        if not is_kept(self.home, level):
            self._build(state)
            again = Mark.read(self.home) != Mark(level)
        if again:
            self._put_back(level)

    def _put_back(self, level: str) -> None:
        self._tell("putting the system to this lab's beginning", 1)
        if Mark.read(self.home) is None:
            self._clear()
        self.supervisor.stop(("scoring",))
        put_back(self.home, level)

    def _clear(self) -> None:
        self.supervisor.stop()
        if Mark.read(self.home) is None:  # somebody else's, a demo's for instance
            self.aside = set_aside(self.home)
        begin(self.home)

    def _serve(self, need: Need) -> None:
        names = ("mlflow",) if need == "champion" else ("mlflow", "scoring")
        self.supervisor.launch(names)
        self._tell("starting MLflow" if need == "champion" else "starting MLflow and the scoring service", _SERVE_S)
        self.supervisor.wait(names)
        if "scoring" in names:
            serving_once_ready(self.settings)

    def _build(self, state: State) -> None:
        level, below = level_of(self.settings, state), BUILT_ON[state]
        if is_kept(self.home, level):
            return
        self._whole += SECONDS[state]
        if below is None:
            self._clear()
        else:
            self._build(below)
            if Mark.read(self.home) != Mark(level_of(self.settings, below)):
                self._put_back(level_of(self.settings, below))
        with self.supervisor.owning(keep_up=True):
            make_state(state, self.settings, self.supervisor, self._tell)
            self.supervisor.stop(("scoring",))
        keep(self.home, level)
