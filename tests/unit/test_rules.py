"""Rules say the same of one payment and of a table, and every reason has its line of text."""

from typing import Any

import numpy as np
import pytest

from data.features import FEATURE_COUNT, FEATURE_INDEX
from data.reasons import MODEL_SCORE, MOST_REASONS, NEW_DEVICE, REASONS, SIGNALS, model_reasons
from data.rules import NOTHING, RULES, apply_rules, rule_hits, rules_score
from data.schema import CATEGORIES, CHANNELS
from tests.bundles import random_features

ONLINE = CHANNELS.index("online")


def features(**values: float) -> list[float]:
    """A payment of which only `values` are known."""
    row = [float("nan")] * FEATURE_COUNT
    for name, value in values.items():
        row[FEATURE_INDEX[name]] = value
    return row


CARD_TESTING = {"channel": ONLINE, "amount": 3, "terminal_count_1h": 40, "terminal_count_7d": 90, "terminal_count_30d": 300}
STRANGER = {"channel": ONLINE, "amount": 30, "terminal_reports_7d": 2, "terminal_risk_7d": 0.06}
COMPROMISED = {"terminal_reports_7d": 3, "terminal_risk_7d": 0.21}
NIGHT = {"channel": ONLINE, "amount": 61, "hour": 3.5, "card_age_days": 8}
RESOLD = {"channel": ONLINE, "amount": 101, "category": CATEGORIES.index("gift_cards"), "card_age_days": 8}
HITS: dict[str, tuple[dict[str, float], dict[str, float]]] = {  # code -> what fires it, and the change that no longer does
    "rule_card_testing": (CARD_TESTING, {"terminal_count_30d": 30}),
    "rule_stranger_at_risky_shop": (STRANGER, {"seconds_since_card_device": 60}),
    "rule_terminal_compromised": (COMPROMISED, {"terminal_risk_7d": 0.2}),
    "rule_night_new_device": (NIGHT, {"hour": 5}),
    "rule_easily_resold": (RESOLD, {"category": CATEGORIES.index("grocery")}),
}


@pytest.mark.parametrize("code", [rule.code for rule in RULES])
def test_each_rule_fires_on_its_case_and_not_beside_it(code: str) -> None:
    case, change = HITS[code]
    assert code in apply_rules(features(**case)).reasons
    assert code not in apply_rules(features(**case | change)).reasons


def test_nothing_known_fires_nothing() -> None:
    assert apply_rules(features()) is NOTHING


def test_the_sternest_action_counts_and_weak_rules_only_explain() -> None:
    both = apply_rules(features(**COMPROMISED | CARD_TESTING, seconds_since_card_terminal=9.0))
    assert both.action == "decline" and both.reasons == ("rule_card_testing", "rule_terminal_compromised")
    assert apply_rules(features(**STRANGER)).action == "review"
    weak = apply_rules(features(**COMPROMISED))
    assert weak.action is None and weak.reasons == ("rule_terminal_compromised",)


def test_one_payment_and_a_table_get_the_same_verdicts() -> None:
    cases: list[dict[str, Any]] = [case for case, _ in HITS.values()]
    matrix = np.vstack([random_features(500, seed=4), [features(**case) for case in cases]])
    table = np.array([rule_hits(rule, matrix.T) for rule in RULES]).T
    assert table.any(axis=0).all()
    for row, fired in zip(matrix, table, strict=True):
        assert apply_rules(row.tolist()).reasons == tuple(rule.code for rule, hit in zip(RULES, fired, strict=True) if hit)


def test_the_baseline_ranks_by_evidence_then_by_deviation_from_habit() -> None:
    rows = [
        features(),
        features(amount_to_card_deviation=2.0),
        features(amount_to_card_deviation=1e12),
        features(**NIGHT),
        features(**STRANGER),
        features(**STRANGER, **{k: v for k, v in NIGHT.items() if k not in STRANGER}),
        features(**CARD_TESTING),
    ]
    rows[5][FEATURE_INDEX["amount"]] = 61
    scores = rules_score(np.array(rows))
    assert (np.diff(scores) > 0).all() and scores[0] == 0.0 and scores[-1] < 1.0


def test_reasons_name_what_stands_out_most_first_and_never_more_than_four() -> None:
    assert model_reasons(features(amount_to_card_deviation=6.0, card_count_1h=30.0)) == ("burst", "amount_over_habit")
    everything = features(**{signal.feature: signal.limit * 2 for signal in SIGNALS}, channel=ONLINE)
    assert len(model_reasons(everything)) == MOST_REASONS
    assert model_reasons(features(channel=ONLINE)) == (NEW_DEVICE,)
    assert model_reasons(features(channel=ONLINE, seconds_since_card_device=5.0)) == (MODEL_SCORE,)


def test_every_reason_that_can_be_given_has_one_line_of_meaning() -> None:
    given = {code for row in random_features(2_000, seed=5).tolist() for code in (*apply_rules(row).reasons, *model_reasons(row))}
    assert given <= REASONS.keys()
    assert all(text and text == text.strip() and "\n" not in text for text in REASONS.values())
    assert len(REASONS) == len(RULES) + len(SIGNALS) + 4  # a new device, the random hold-out, a store that is away, and the score itself
