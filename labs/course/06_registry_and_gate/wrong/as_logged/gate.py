"""The promotion gate: compares what the two runs logged."""


def promote(rows, logged):
    return logged["candidate"] > logged["champion"]
