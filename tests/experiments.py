"""Scored payments for tests of experiments: small, quick, and with sprees, as real ones have."""

from typing import Any

import numpy as np

from pipelines.experiments.scored import DAY_S, Decided, Scored

DAYS = 30


def scored(cards: int = 3_000, seed: int = 5, **changes: Any) -> Scored:
    """About 20 payments a card in DAYS days; one card in eight has a spree of frauds. The challenger catches more, and differs little."""
    random = np.random.default_rng(seed)
    card = random.integers(0, cards, 20 * cards)
    time_s = np.sort(random.integers(0, DAYS * DAY_S, len(card)))
    victim = random.random(cards) < 1 / 8
    is_fraud = victim[card] & (random.random(len(card)) < 0.15)
    score = np.clip(random.beta(1, 30, len(card)) + is_fraud * random.beta(1, 2, len(card)), 0, 1)
    better = np.clip(score + is_fraud * (random.random(len(card)) < 0.1) * 0.3, 0, 1)
    names = np.array([f"card_{number:05d}" for number in range(cards)])
    models = tuple(
        Decided(name, some, np.select([some >= 0.8, some >= 0.2], [2, 1], 0).astype(np.int8))
        for name, some in (("champion", score), ("challenger", better))
    )
    facts = {"source": "made-up payments", "cards": names, "card": card, "time_s": time_s, "is_fraud": is_fraud, "models": models}
    return Scored(**({"amount": random.lognormal(4, 1, len(card))} | facts | changes))
