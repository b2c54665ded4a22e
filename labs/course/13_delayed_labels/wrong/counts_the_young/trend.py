"""Everything that was paid judges, with the labels that are there."""

import pandas as pd


def judged(payments, today):
    return payments["event_time"] <= pd.Timestamp(today), payments["report_time"] <= pd.Timestamp(today)
