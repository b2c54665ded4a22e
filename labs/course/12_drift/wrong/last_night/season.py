def reference(history, window):
    """The night before, and some of the payments after it to have enough."""
    hours = history["event_time"].dt.hour
    return history[hours.between(window["event_time"].dt.hour.min(), window["event_time"].dt.hour.max())].tail(len(window))
