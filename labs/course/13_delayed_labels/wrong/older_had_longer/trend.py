"""The young are left out, and of the others every report counts that has come."""

import pandas as pd


def judged(payments, today):
    return payments["event_time"] <= pd.Timestamp(today) - pd.Timedelta(days=7), payments["report_time"] <= pd.Timestamp(today)
