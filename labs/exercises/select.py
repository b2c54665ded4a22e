"""Which exercises to run: scenarios by name or id, a team's own among them, each with what is expected of it."""

from collections.abc import Sequence
from pathlib import Path

from data.scenarios import Scenario, scenario
from labs.drifts import known_scenarios
from labs.exercises.expectations import Review, catalogue_review, read_reviews


def choose(names: Sequence[str], file: Path | None, expect: Path | None) -> list[tuple[Scenario, Review]]:
    """The scenarios of these names, from the catalogue and the team's `file` (all when there are none), with the reviews of `expect`.

    An id stands for every scenario that bears it. Raises BadInput for an unknown name, or a file that does not fit.
    """
    known = known_scenarios(file)
    reviews = read_reviews(expect, known) if expect else {}
    chosen: dict[str, Scenario] = {}
    for name in names or known:
        same = [one for one in known.values() if one.catalogue_id.lower() == name.lower()]
        chosen |= {one.name: one for one in same or [scenario(name, known)]}
    return [(one, reviews.get(one.name) or catalogue_review(one)) for one in chosen.values()]
