"""Step 2: what a window of the small hours is to be compared with."""

from datetime import timedelta


def reference(history, window):
    """The same hours of the 14 days before."""
    first, hours = window["event_time"].min().floor("D") - timedelta(days=14), window["event_time"].dt.hour
    time = history["event_time"]
    return history[(time >= first) & time.dt.hour.between(hours.min(), hours.max())]
