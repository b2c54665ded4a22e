"""The catalogue of drifts, D0 to D17: named, seeded, dated, composable changes with the decision that each asks for.

Ids are those of the drift catalogue; where several scenarios share one, it stands for the first, in `lab ci drift` for all of them.
Detectors are named as in `pipelines/monitoring/detectors.py`: what must fire, and what cannot see it and must stay silent.

Both lists are those of this world; how often each entry holds is in the report card (`make bench-drift`). They ask for less than
is usual elsewhere:

- scores may rise without a drift, as cards grow older: only D0 and D17 ask them to be still;
- alert rates need not move when all prices change (D2), under a wrong clock (D8) or a stretched window (D10);
- cents for euros (D3) may move the amounts' distribution, as they do on eight seeds of ten;
- the range check may miss amounts divided by 100 (D4), and the tests of columns an error code (D6);
- a feed of reports that stops or is late (D14) must be seen by the age of labels, not by their number.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from data.errors import BadInput
from data.faults.mechanisms import MECHANISMS
from data.scenarios.scenario import Part, Scenario, Source

_MESSAGE_CHECKS: Final = ("schema", "null_rate", "range", "unit", "unseen_level", "value_spike", "clock")
_LABEL_CHECKS: Final = ("label_flow", "label_age")
_DEPLOYMENT: Final = ("parity", "change_log")
_ALERTS: Final = ("alert_rate", "alert_rate_stream")
_LABEL_FREE: Final = (*_MESSAGE_CHECKS, "inputs", "score", *_ALERTS, "volume", *_DEPLOYMENT)

# A terminal's risk is learnt from reports: where they change, that feature does, and the scores and alerts that rest on it may.
_UNREPORTED: Final = tuple(name for name in _LABEL_FREE if name not in ("score", *_ALERTS))


def _all_but(*names: str) -> tuple[str, ...]:
    """Every check of messages, labels and deployment except these."""
    return tuple(name for name in (*_MESSAGE_CHECKS, *_LABEL_CHECKS, *_DEPLOYMENT) if name not in names)


def _one(mechanism: str, *columns: str) -> tuple[Part, ...]:
    return (Part(MECHANISMS[mechanism], columns=columns),)


def _some(**strengths: float) -> tuple[Part, ...]:
    return tuple(Part(MECHANISMS[name], strength) for name, strength in strengths.items())


SCENARIOS: Final[dict[str, Scenario]] = {
    s.name: s
    for s in (
        Scenario(
            "none", "D0", "a quiet control: nothing changes", 1.0, "nothing", (), ("ignore",),
            must_stay_silent=(*_LABEL_FREE, *_LABEL_CHECKS, "caught_frauds"),
        ),
        Scenario(
            "channel_push", "D1", "a marketing push moves purchases online", 0.1, "share of card-present purchases that move online",
            ("channel",), ("ignore",), ("inputs:channel",), (*_all_but(), *_ALERTS, "caught_frauds"), _one("channel_mix"),
        ),
        Scenario(
            "holiday", "D2", "people shop from home, in the evening, elsewhere, and spend half as much again", 1.0,
            "1 = six in ten purchases move", ("amount", "channel", "hour", "category"), ("recalibrate", "retrain"),
            ("inputs:amount", "score", "alert_rate_stream"), _all_but("range", "unseen_level"), _some(behaviour_shift=1.0, inflation=0.5),
        ),
        Scenario(
            "price_rise", "D2", "all prices rise", 2.0, "factor on every amount", ("amount",), ("retrain", "recalibrate", "ignore"),
            ("inputs:amount",), _all_but("range"), _one("scale_amounts"),
        ),
        Scenario(
            "price_fall", "D2", "all prices fall by half", 0.5, "factor on every amount", ("amount",), ("retrain", "ignore"),
            ("inputs:amount",), _all_but("range"), _one("scale_amounts"),
        ),
        Scenario(
            "unit_change", "D3", "some terminals send cents as euros", 0.01, "share of terminals",
            ("amount",), ("fix_pipeline",), ("unit",), (*_all_but("unit", "range"), "alert_rate"), _one("cents_as_euros"),
        ),
        Scenario(
            "currency", "D4", "amounts in another currency's minor unit arrive divided by 100", 0.05, "share of rows",
            ("amount",), ("fix_pipeline",), ("inputs:amount",), _all_but("unit", "range", "value_spike"), _one("euros_as_cents"),
        ),
        Scenario(
            "null_burst", "D5", "place and device go missing for three days", 0.3, "share of rows that lose them",
            ("latitude", "longitude", "device_id"), ("fix_pipeline",), ("null_rate",), _all_but("null_rate"),
            _one("drop_values"), days=3,
        ),
        Scenario(
            "error_code", "D6", "a broken source writes 0 for a place and one cent for an amount", 0.05, "share of rows",
            ("amount", "latitude", "longitude"), ("fix_pipeline",), ("value_spike",), _all_but("value_spike", "range", "unit"),
            _one("write_error_codes"),
        ),
        Scenario(
            "new_category", "D7", "a merchant category that nobody has seen", 0.01, "share of terminals",
            ("category",), ("ignore",), ("unseen_level",), (*_all_but("unseen_level"), "caught_frauds"), _one("add_category"),
        ),
        Scenario(
            "time_zone", "D8", "clocks are wrong", 3.0, "hours", ("hour",), ("fix_pipeline",), ("inputs:hour",),
            _all_but("clock"), _one("shift_clock"),
        ),
        Scenario(
            "mis_join", "D9", "payments get the card's features of the payment before them", 1.0, "share of payments",
            MECHANISMS["mis_join"].columns, ("fix_pipeline",), ("parity", "caught_frauds"), (*_all_but("parity"), "inputs"),
            _one("mis_join"),
        ),
        Scenario(
            "feature_skew", "D10", "serving counts a card's last day over two", 2.0, "days the one-day window lasts",
            MECHANISMS["stretch_window"].columns, ("fix_pipeline",), ("parity", "inputs:card_count_1d"), _all_but("parity"),
            _one("stretch_window"),
        ),
        Scenario(
            "fraud_wave", "D11", "more frauds of the known kinds", 3.0, "relative rise of the fraud share (3 = four times as many)",
            (), ("recalibrate",), ("alert_rate_stream",), (*_all_but("label_flow"), "inputs"), _one("fraud_rate"),
        ),
        Scenario(
            "new_pattern", "D12", "fraudsters change their tactic overnight", 1.0, "share of new campaigns", (), ("retrain",),
            ("caught_frauds",), (*_all_but(), *_ALERTS, "inputs"), _one("new_tactic"),
        ),
        Scenario(
            "new_tactic", "D12", "fraudsters change their tactic while shoppers move home", 1.0, "share of new campaigns",
            ("channel", "hour", "category"), ("retrain",), ("caught_frauds", "inputs:channel"), _all_but(),
            _some(new_tactic=1.0, behaviour_shift=0.6),
        ),
        Scenario(
            "adversary", "D13", "fraudsters adapt to the model within four days", 1.0, "share of new campaigns", (), ("retrain",),
            ("caught_frauds",), (*_all_but(), *_ALERTS, "inputs"), _one("new_tactic"), ramp_days=4,
        ),
        Scenario(
            "labels_stop", "D14", "the feed of fraud reports stops", 1.0, "share of reports lost", (), ("hold",),
            ("label_age",), (*_UNREPORTED, "caught_frauds"), _one("stop_reports"),
        ),
        Scenario(
            "labels_late", "D14", "fraud reports arrive a month late", 30.0, "days later than before", (), ("hold",),
            ("label_age",), (*_UNREPORTED, "caught_frauds"), _one("delay_reports"),
        ),
        Scenario(
            "wrong_model", "D15", "a build is served whose features are off by one column", 1.0,
            "columns by which its features are off", (), ("roll_back",), ("score", "change_log"),
            (*_all_but("change_log"), "inputs"), _one("wrong_build"),
        ),
        Scenario(
            "lost_calibrator", "D15", "the model is deployed without its calibrator", 10.0, "factor on the odds of every score", (),
            ("roll_back",), ("score", "alert_rate", "change_log"), (*_all_but("change_log"), "inputs"), _one("lose_calibration"),
        ),
        Scenario(
            "retry_storm", "D16", "a gateway sends payments again under new ids", 0.1, "share of payments, each sent twice more", (),
            ("fix_pipeline",), ("volume",), _all_but(), _one("send_again"),
        ),
        Scenario(
            "selective_labels", "D17", "alerted payments are blocked and never reported", 1.0, "share of alerted payments", (),
            ("hold",), ("caught_frauds",), _LABEL_FREE, _one("block_alerted"),
        ),
    )
}  # fmt: skip

# The drift that `lab demo` injects: on either source the champion loses clearly, and a model retrained on labels matured
# since the onset wins it back clearly (measured by `python -m tests.bench.drift`). Prices half as high again only ask
# the Handbook's champion for another threshold; doubled ones break its ranking.
DEMO_SCENARIO: Final[dict[Source, str]] = {"world": "new_tactic", "handbook": "price_fall"}


def scenario(name: str, known: Mapping[str, Scenario] = SCENARIOS) -> Scenario:
    """The scenario of that name, or the first with that id. Raises BadInput naming the nearest, or all."""
    if name in known:
        return known[name]
    by_id = {one.catalogue_id.lower(): one for one in reversed(list(known.values()))}
    if name.lower() in by_id:
        return by_id[name.lower()]
    near = get_close_matches(name.lower(), [*known, *by_id], n=1)
    choice = f"Did you mean {near[0] if near[0] in known else near[0].upper()}?" if near else f"Choose one of {', '.join(known)}."
    raise BadInput("No such drift scenario.", next_step=f"{choice} `lab drift list` shows them all.", where="scenario")
