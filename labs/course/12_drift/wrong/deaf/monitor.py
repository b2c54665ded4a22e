from compare import compare


def alarms(window, reference):
    """A rule of thumb that was raised until it was quiet."""
    return [found.column for found in compare(window, reference) if found.distance > 0.25]
