"""Every way in which something can drift, by name: what a scenario, also a team's own, is composed of.

Each acts on one layer of a payment's way; its strength means something of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Final, Literal

import pandas as pd

from data.faults import arrivals, features, labels, messages, scores
from data.faults.dose import Dose, Mask
from data.faults.features import FeatureFault
from data.faults.scores import ScoreFault
from data.world.config import ChangeKind

Layer = Literal["world", "messages", "features", "labels", "scores", "arrivals"]
FrameFault = Callable[[pd.DataFrame, Dose], tuple[pd.DataFrame, Mask]]


@dataclass(frozen=True)
class Mechanism:
    """One way. `columns` change first: of the message, or the features."""

    name: str
    what: str
    strength_means: str
    columns: tuple[str, ...] = ()
    most: float = inf  # the largest strength that means something
    needs: tuple[str, ...] = ()  # message columns without which it has nothing to act on
    chooses: bool = False  # whether a scenario may name some of `columns`
    layer: ClassVar[Layer]


@dataclass(frozen=True)
class WorldChange(Mechanism):
    """People or fraudsters change; recorded payments cannot follow."""

    layer = "world"
    kind: ChangeKind = "inflation"


@dataclass(frozen=True, kw_only=True)
class MessageFault(Mechanism):
    """The sender sends something else; it is in the log as received."""

    layer = "messages"
    act: FrameFault


@dataclass(frozen=True, kw_only=True)
class ArrivalFault(Mechanism):
    """Payments arrive that were not made."""

    layer = "arrivals"
    act: FrameFault


@dataclass(frozen=True, kw_only=True)
class FeatureChange(Mechanism):
    """The model sees other features than the history gives."""

    layer = "features"
    act: FeatureFault


@dataclass(frozen=True, kw_only=True)
class ScoreChange(Mechanism):
    """Another model answers than was promoted."""

    layer = "scores"
    act: ScoreFault


@dataclass(frozen=True, kw_only=True)
class LabelFault(Mechanism):
    """The feed of reports changes."""

    layer = "labels"
    act: FrameFault


@dataclass(frozen=True, kw_only=True)
class LabelBlock(Mechanism):
    """Reports of payments that the model alerted on never come."""

    layer = "labels"
    act: Callable[[pd.DataFrame, Dose], Mask]


_PLACE_AND_DEVICE = ("latitude", "longitude", "device_id")
_SHARE_OF_ROWS = "share of rows"

MECHANISMS: Final[dict[str, Mechanism]] = {
    m.name: m
    for m in (
        WorldChange(
            "inflation", "all that is bought costs more", "relative rise of prices", ("amount",), kind="inflation",
        ),
        WorldChange(
            "behaviour_shift", "shoppers move home and online, to the evening and to other shops", "1 = six in ten purchases",
            ("channel", "hour", "category"), 1.6, kind="behaviour_shift",
        ),
        WorldChange(
            "channel_mix", "purchases move online", "share of card-present purchases", ("channel",), 1.0, kind="channel_mix",
        ),
        WorldChange(
            "fraud_rate", "more frauds of the known kinds", "relative rise of the fraud share", (), 19.0, kind="fraud_rate",
        ),
        WorldChange(
            "new_tactic", "fraudsters follow another playbook", "share of new campaigns", (), 1.0, kind="new_tactic",
        ),
        MessageFault(
            "scale_amounts", "every amount is multiplied", "factor on every amount", ("amount",), act=messages.scale_amounts,
        ),
        MessageFault(
            "cents_as_euros", "some terminals send cents as euros", "share of terminals", ("amount",), 1.0,
            act=messages.cents_as_euros,
        ),
        MessageFault(
            "euros_as_cents", "some amounts arrive divided by 100", _SHARE_OF_ROWS, ("amount",), 1.0, act=messages.euros_as_cents,
        ),
        MessageFault(
            "drop_values", "values go missing", _SHARE_OF_ROWS, _PLACE_AND_DEVICE, 1.0, ("latitude",), chooses=True,
            act=messages.drop_values,
        ),
        MessageFault(
            "write_error_codes", "an error code stands where a value belongs", _SHARE_OF_ROWS, tuple(messages.ERROR_CODES), 1.0,
            chooses=True, act=messages.write_error_codes,
        ),
        MessageFault(
            "add_category", "some terminals report a merchant category that nobody has seen", "share of terminals", ("category",),
            1.0, ("category",), act=messages.add_category,
        ),
        MessageFault(
            "shift_clock", "clocks are wrong", "hours", ("hour",), act=messages.shift_clock,
        ),
        ArrivalFault(
            "send_again", "payments arrive again under new ids", "share of payments, each sent twice more", (), 1.0,
            act=arrivals.send_again,
        ),
        FeatureChange(
            "mis_join", "payments get the card's features of the payment before them", "share of payments", features.CARD_BLOCK, 1.0,
            act=features.mis_join,
        ),
        FeatureChange(
            "stretch_window", "serving counts a card's last day over a longer one", "days the one-day window lasts",
            features.VELOCITY, 7.0, act=features.stretch_window,
        ),
        FeatureChange(
            "hide_last_hour", "totals of card and terminal leave out the last hour, as in a store whose clock is a time zone off",
            "share of payments", features.TOTALS, 1.0, act=features.hide_last_hour,
        ),
        ScoreChange(
            "wrong_build", "another build of the model answers", "columns by which its features are off",
            act=scores.wrong_build,
        ),
        ScoreChange(
            "lose_calibration", "the calibrator is not deployed with its model", "factor on the odds of every score",
            act=scores.lose_calibration,
        ),
        LabelFault(
            "stop_reports", "reports of fraud do not arrive", "share of reports", (), 1.0, act=labels.stop_reports,
        ),
        LabelFault(
            "delay_reports", "reports of fraud arrive late", "days later than before", act=labels.delay_reports,
        ),
        LabelBlock(
            "block_alerted", "what the model alerts on is blocked and never reported", "share of alerted payments", (), 1.0,
            act=labels.block_alerted,
        ),
    )
}  # fmt: skip
