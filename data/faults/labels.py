"""What can happen to the reports of fraud: they stop, they come late, or nobody makes them.

A fault of labels takes rows in LABEL_COLUMNS and returns those that reach us, and which of those given it touched, shape (n,).
Its dose is that of the *report* time: what was reported before the start had arrived.
"""

import pandas as pd

from data.faults.dose import Dose, Mask


def stop_reports(labels: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """The feed breaks: a share `strength` of reports never arrives."""
    lost = dose.share(dose.positions(labels["transaction_id"]))
    return labels[~lost], lost


def delay_reports(labels: pd.DataFrame, dose: Dose) -> tuple[pd.DataFrame, Mask]:
    """The feed lags: every report arrives `strength` days later than it would have."""
    late = dose.level > 0
    lag = pd.Series(late * dose.strength * 86_400_000, index=labels.index).astype("timedelta64[ms]")
    return labels.assign(report_time=labels["report_time"].astype("datetime64[ms, UTC]") + lag), late


def block_alerted(labels: pd.DataFrame, dose: Dose) -> Mask:
    """The shop blocks what the model alerts on: which reports never come, as nobody disputes a payment that did not happen.

    `labels` are those of alerted payments; a share `strength` of them is blocked, the others are let through to learn from.
    """
    return dose.share(dose.positions(labels["transaction_id"]))
