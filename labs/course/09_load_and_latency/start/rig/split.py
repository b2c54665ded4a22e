"""Two replicas that share nothing: what each no longer knows. Used by the check of step 5."""

from collections.abc import Callable

import numpy as np

from data.features import FEATURES
from data.history import History, build_features
from data.prediction_frames import labels_frame
from data.schema import TRANSACTION_COLUMNS
from data.settings import Settings
from rig import beginning
from rig.week import champion, served


def torn(settings: Settings, home_of: Callable[[str], int]) -> dict[str, float]:
    """The served week again, each card's payments by the replica that it belongs to, with a history of its own.

    Percent of the payments whose card features, and whose terminal features, are not those of one history; and of the alerts that differ.
    """
    frame, labels = served(settings), labels_frame(settings.log_place)
    paid = frame[list(TRANSACTION_COLUMNS)].reset_index(drop=True)
    homes = {card: home_of(card) for card in paid["card_id"].unique()}
    home = paid["card_id"].map(homes).to_numpy()
    whole, _ = build_features(paid, labels, History.load(beginning(settings)))
    apart = np.empty_like(whole)
    for replica in (0, 1):
        apart[home == replica], _ = build_features(paid[home == replica], labels, History.load(beginning(settings)))
    differs = ~((whole == apart) | (np.isnan(whole) & np.isnan(apart)))
    of_terminal = np.array([name.startswith(("terminal_", "amount_to_terminal", "days_since_terminal")) for name in FEATURES])
    model = champion(settings)
    alerts, alerts_apart = (model.score_many(matrix) >= model.policy.review_at for matrix in (whole, apart))
    return {
        "cards_torn": 100 * float(differs[:, ~of_terminal].any(axis=1).mean()),
        "terminals_torn": 100 * float(differs[:, of_terminal].any(axis=1).mean()),
        "alerts_torn": 100 * float((alerts != alerts_apart).sum() / alerts.sum()),
    }
