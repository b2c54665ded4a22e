"""The promotion gate, on every kind of evidence."""

import pytest

from pipelines.metrics import Interval
from pipelines.training.gate import Comparison, GateRule, GateVerdict, judge_candidate


def against(opponent: str, ap: tuple[float, float, float], money: tuple[float, float, float] = (0.0, -5.0, 5.0)) -> Comparison:
    return Comparison(opponent, Interval(*ap), Interval(*money))


BETTER, NOISE, WORSE = (0.05, 0.02, 0.08), (0.01, -0.01, 0.03), (-0.06, -0.09, -0.03)
BEATEN_BASELINES = (against("rules", BETTER), against("logistic", BETTER))


def judge(
    champion: Comparison | None = None, baselines: tuple[Comparison, ...] = BEATEN_BASELINES, training: tuple[float, float] = (0.6, 0.4)
) -> GateVerdict:
    return judge_candidate(
        training_ap=training[0], baseline_training_ap=training[1], champion=champion, baselines=baselines, rule=GateRule()
    )


def test_the_first_model_passes_when_it_beats_both_baselines() -> None:
    assert judge().passed


@pytest.mark.parametrize("lost", ["rules", "logistic"])
@pytest.mark.parametrize(
    ("ap", "money"),
    [
        (WORSE, (30.0, 10.0, 50.0)),  # ranks worse beyond noise, whatever it saves
        (BETTER, (-40.0, -60.0, -20.0)),  # saves less beyond noise, however it ranks
        ((-0.01, -0.03, 0.01), (-5.0, -20.0, 10.0)),  # neither beyond noise, but nothing speaks for it
    ],
)
def test_the_first_model_is_refused_when_one_baseline_is_better(
    lost: str, ap: tuple[float, float, float], money: tuple[float, float, float]
) -> None:
    baselines = tuple(against(name, ap, money) if name == lost else against(name, BETTER) for name in ("rules", "logistic"))
    verdict = judge(baselines=baselines)
    assert not verdict.passed
    assert lost in verdict.reasons[0]


def test_the_first_model_passes_when_it_saves_more_and_ranks_the_same() -> None:
    assert judge(baselines=(against("rules", BETTER), against("logistic", (-0.01, -0.05, 0.04), (33.0, 17.0, 51.0)))).passed


@pytest.mark.parametrize("champion", [None, against("champion 3", BETTER)])
def test_a_model_that_cannot_even_fit_its_own_training_rows_is_refused_whatever_else_it_does(champion: Comparison | None) -> None:
    verdict = judge(champion, training=(0.19, 0.74))
    assert not verdict.passed
    assert "0.190" in verdict.reasons[0]
    assert "0.740" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("ap", "money", "passes"),
    [
        (BETTER, (5.0, -10.0, 20.0), True),  # better ranking, money not distinguishable
        ((0.0, -0.015, 0.015), (30.0, 10.0, 50.0), True),  # more money, ranking the same
        (NOISE, (5.0, -10.0, 20.0), False),  # nothing beyond noise
        (WORSE, (30.0, 10.0, 50.0), False),  # money won, ranking lost beyond the margin
        (BETTER, (-40.0, -60.0, -20.0), False),  # ranking won, money lost beyond the margin
        ((0.05, -0.03, 0.10), (30.0, 10.0, 50.0), True),  # a wide interval around a gain is no loss
    ],
)
def test_a_challenger_must_win_beyond_noise_and_lose_nothing_that_matters(
    ap: tuple[float, float, float], money: tuple[float, float, float], passes: bool
) -> None:
    assert judge(against("champion 3", ap, money)).passed is passes


def test_with_a_champion_the_baselines_decide_nothing() -> None:
    lost = (against("rules", WORSE), against("logistic", WORSE))
    assert judge(against("champion 3", BETTER), lost).passed


def test_every_verdict_carries_the_numbers_and_the_opponent() -> None:
    verdict = judge(against("champion 3", NOISE, (5.0, -10.0, 20.0)))
    text = " ".join(verdict.reasons)
    for expected in ("champion 3", "+0.010 [-0.010, +0.030]", "+5 [-10, +20] EUR"):
        assert expected in text
