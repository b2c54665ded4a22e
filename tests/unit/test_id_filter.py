"""The filter of ids: what was added is never called new, and what is new rarely anything else."""

from data.id_filter import FIRST_CAPACITY, IdFilter


def names(first: int, count: int) -> list[str]:
    return [f"tx_{number:09d}" for number in range(first, first + count)]


def test_an_id_that_was_added_is_never_called_new_whatever_came_after_it() -> None:
    ids = IdFilter()
    known = names(0, 3 * FIRST_CAPACITY)  # a second and a third layer
    for start in range(0, len(known), 1_000):
        ids.add(known[start : start + 1_000])
    assert ids.maybe(known) == known


def test_adding_tells_what_may_have_been_there() -> None:
    ids = IdFilter()
    assert ids.add(names(0, 10)) == []
    assert ids.add([*names(8, 4), "twice", "twice"]) == [*names(8, 2), "twice"]
    ids.add(names(100, 2 * FIRST_CAPACITY))  # a layer of its own
    assert ids.add(["tx_000000003", "new"]) == ["tx_000000003"]


def test_of_a_hundred_new_ids_hardly_one_is_taken_for_known() -> None:
    ids = IdFilter()
    ids.add(names(0, FIRST_CAPACITY))
    assert len(ids.maybe(names(10**6, 10_000))) < 60  # 24 expected
    ids.add(names(FIRST_CAPACITY, 2 * FIRST_CAPACITY))
    assert len(ids.maybe(names(10**6, 10_000))) < 120


def test_an_empty_filter_knows_nothing() -> None:
    ids = IdFilter()
    ids.add([])
    assert ids.maybe(["a", "é", ""]) == []
    ids.add(["é"])
    assert ids.maybe(["a", "é", ""]) == ["é"]


def test_one_large_addition_finds_room() -> None:
    ids, many = IdFilter(), names(0, 2 * FIRST_CAPACITY + 1)
    ids.add(many)
    assert ids.maybe(many) == many and len(ids.maybe(names(10**6, 10_000))) < 60
