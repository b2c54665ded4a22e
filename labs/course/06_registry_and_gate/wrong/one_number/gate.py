"""The promotion gate: one number against another."""

from pipelines.metrics import average_precision


def promote(rows, logged):
    champion, candidate = (average_precision(rows["is_fraud"], rows[name]) for name in ("champion", "candidate"))
    return bool(candidate > champion)
