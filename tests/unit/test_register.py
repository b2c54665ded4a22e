"""One version per set of inputs, and aliases that never point at nothing."""

from pipelines.training.register import INPUTS_TAG, SEQUENCE_TAG, next_sequence, register, settle_alias, version_of
from tests.fakes import FakeRegistry


def tags(inputs: str, sequence: int = 1) -> dict[str, str]:
    return {INPUTS_TAG: inputs, SEQUENCE_TAG: str(sequence)}


def test_the_first_version_becomes_champion_and_later_ones_challenger() -> None:
    registry = FakeRegistry()
    first = register(registry, "run-1", "files-1", tags("a"))
    second = register(registry, "run-2", "files-2", tags("b"))
    third = register(registry, "run-3", "files-3", tags("c"))
    assert (first.alias, second.alias, third.alias) == ("champion", "challenger", "challenger")
    assert registry.alias("champion") == first.version
    assert registry.alias("challenger") == third.version


def test_the_same_inputs_make_no_second_version() -> None:
    registry = FakeRegistry()
    first = register(registry, "run-1", "files-1", tags("a"))
    again = register(registry, "run-2", "files-2", tags("a"))
    assert (again.version, again.created) == (first.version, False)
    assert len(registry.versions()) == 1


def test_a_kill_between_version_and_alias_is_healed_by_the_next_run() -> None:
    registry = FakeRegistry()
    registry.ensure()
    registry.create_version("run-1", "files-1", tags("a"))
    assert registry.alias("champion") is None
    assert register(registry, "run-2", "files-2", tags("a")).alias == "champion"
    assert registry.alias("champion") == "1"


def test_a_champion_that_is_trained_again_stays_champion_and_nobody_s_challenger() -> None:
    registry = FakeRegistry()
    version = register(registry, "run-1", "files-1", tags("a")).version
    assert settle_alias(registry, version) == "champion"
    assert registry.alias("challenger") is None


def test_bundle_sequence_numbers_only_grow() -> None:
    registry = FakeRegistry()
    assert next_sequence(registry) == 1
    register(registry, "run-1", "files-1", tags("a", 1))
    register(registry, "run-2", "files-2", tags("b", 9))
    assert next_sequence(registry) == 10


def test_unknown_inputs_have_no_version() -> None:
    registry = FakeRegistry()
    register(registry, "run-1", "files-1", tags("a"))
    assert version_of(registry, "b") is None
