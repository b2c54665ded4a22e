from compare import TRAFFIC, compare


def alarms(window, reference):
    """Distances that no quiet day has; what is missing is left out, as everywhere."""
    found = compare(window, reference)
    return [one.column for one in found if one.p_value < 0.01 / len(found) and one.distance > (0.1 if one.column in TRAFFIC else 0.035)]
