"""Talking points: what the course means to make concrete, and which labs do. The table is the course's `points.toml`."""

from typing import NamedTuple

from data.errors import BadInput
from labs.engine.course import Course, Line, Part, read_toml


class Point(Part):
    """One talking point and the lab that is to cover it."""

    id: str
    lab: str
    title: Line


class _Table(Part):
    points: list[Point]


class Coverage(NamedTuple):
    """One talking point; `covered_by` is empty while it waits for its lab."""

    id: str
    title: str
    lab: str
    covered_by: tuple[str, ...]


def coverage(course: Course) -> list[Coverage]:
    """Every point of the table, in its order; without a table, those that labs name. Raises BadInput for a point that is not in it."""
    file = course.folder / "points.toml"
    known = read_toml(file, _Table).points if file.exists() else []
    covering = {point: tuple(lab.id for lab in course.labs if point in lab.points) for lab in course.labs for point in lab.points}
    unknown = sorted(covering.keys() - {point.id for point in known}) if known else []
    if unknown:
        raise BadInput(
            f"{', '.join(unknown)} are no talking points.", next_step=f"Add them to {file.name}, or correct the lab.", where=str(file)
        )
    if not known:
        return [Coverage(point, "", labs[0], labs) for point, labs in sorted(covering.items())]
    return [Coverage(point.id, point.title, point.lab, covering.get(point.id, ())) for point in known]
