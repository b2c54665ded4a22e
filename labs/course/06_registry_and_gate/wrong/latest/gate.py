"""The promotion gate: what is newer has seen more."""


def promote(rows, logged):
    return True
