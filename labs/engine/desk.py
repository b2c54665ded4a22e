"""One learner at one course: which lab is meant, where its folder is, how far it is. The commands of `lab` begin here."""

from dataclasses import dataclass

from data.errors import BadInput
from data.settings import Settings
from labs.engine.course import Course, Lab
from labs.engine.progress import Progress
from labs.engine.workspace import Workspace


@dataclass(frozen=True)
class Desk:
    """What every command of a course needs."""

    settings: Settings
    course: Course
    workspace: Workspace

    @classmethod
    def open(cls) -> "Desk":
        """Raises BadSetting, and MissingFile or BadInput for a course that is none."""
        settings = Settings.load()
        return cls(settings, Course(settings.course), Workspace(settings.workspace))

    @property
    def progress(self) -> Progress:
        return Progress.load(self.workspace.root)

    def lab(self, asked: str | None) -> Lab:
        """The lab that is meant, or the one started last. Raises BadInput when there is none."""
        wanted = asked or self.progress.current
        if wanted is None:
            raise BadInput("No lab has been started.", next_step="`lab list` shows them; begin with `lab start` and a number.", where="lab")
        return self.course.lab(wanted)

    @property
    def upcoming(self) -> Lab | None:
        """What to go on with: the lab started last while it is not passed, then the first that is not; None when all are."""
        progress = self.progress
        left = [lab for lab in self.course.labs if not progress.of(lab).done(lab)]
        return next((lab for lab in left if lab.id == progress.current), left[0] if left else None)
