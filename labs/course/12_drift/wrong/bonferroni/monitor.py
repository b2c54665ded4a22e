from compare import compare


def alarms(window, reference):
    """Corrected for eleven columns, as if rows were independent."""
    return [found.column for found in compare(window, reference) if found.p_value < 0.01 / 11]
