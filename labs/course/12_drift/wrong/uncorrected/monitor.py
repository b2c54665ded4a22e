from compare import compare


def alarms(window, reference):
    """Every column at 5 %."""
    return [found.column for found in compare(window, reference) if found.p_value < 0.05]
