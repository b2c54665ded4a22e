"""A written decision, held against what the system says."""

from typing import Literal

from pydantic import BaseModel, Field

from labs.engine import Incorrect, NotStarted, Passed, Workplace


class Answers(BaseModel):
    line: float = Field(gt=0, lt=1)
    unit: Literal["score", "amount"]


def line_is_drawn(at: Workplace) -> Passed:
    told = at.answers("answers.toml", Answers)
    if not (at.folder / "measured.txt").exists():
        raise NotStarted("Run `sh measure.sh` first.")
    measured = float((at.folder / "measured.txt").read_text())
    if told.line < measured:
        raise Incorrect("That makes too many reviews.", "answers.toml: line")
    if told.line > measured:
        raise Incorrect("That makes too few.", "answers.toml: line")
    return Passed()
