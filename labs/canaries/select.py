"""Which canaries to run, by name or id, and what is expected of each: the catalogue's own, or a file's under review.

[C3]                          # an id stands for all its levels; or by name: [errors_5]
ended = ["rolled_back"]       # any of these is right
says = "failures"             # words that a reason must hold
pauses = false                # whether it must have stood still
exposed_at_most = 70          # payments of the challenger's cards
noticed_at_most = 2000        # payments that it scored until the judge first objected
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from labs.canaries.catalogue import CANARIES, chosen
from labs.canaries.scenario import Canary
from labs.exercises.review import read_review
from pipelines.rollout.actions import Result


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ended: Annotated[tuple[Result, ...], Field(min_length=1)] | None = None
    says: str | None = None
    pauses: bool | None = None
    exposed_at_most: Annotated[int, Field(ge=0)] | None = None
    noticed_at_most: Annotated[int, Field(ge=0)] | None = None


def choose(names: Sequence[str], expect: Path | None) -> list[Canary]:
    """The canaries of these names, all when none is named, as the file `expect` wants them to end. Raises BadInput, MissingFile."""
    ids = dict.fromkeys(one.catalogue_id for one in CANARIES.values())
    reviewed = read_review(expect, _named, (*ids, *CANARIES), _Table) if expect else {}
    return [_expecting(one, reviewed.get(one.name)) for one in chosen(names)]


def _named(key: str) -> list[str]:
    return [one.name for one in CANARIES.values() if key in (one.name, one.catalogue_id)]


def _expecting(canary: Canary, given: _Table | None) -> Canary:
    if given is None:
        return canary
    facts = given.model_dump(exclude_unset=True)
    if "ended" in facts:
        facts["results"] = facts.pop("ended")
    return replace(canary, expected=replace(canary.expected, **facts))
