"""Whatever models give, no answer leaves that is no probability; `python -m tests.bench rollout` does this to a million."""

from tests.bench.rollout_fuzz import fuzz


def test_no_fuzzed_score_of_either_model_leaves_unless_it_is_a_probability() -> None:
    found = fuzz(outputs=20_000, seed=11)
    assert not found.bad
    assert found.poison > 50 and found.failures > 50 and found.answered < found.outputs, "nothing was poisoned"
