"""How late labels come, as the prediction log has it; plain SQL, so that a scrape loads no frames."""

from typing import NamedTuple

from data.log_database import LogPlace, read

RECENT_MS = 7 * 86_400_000


class Reports(NamedTuple):
    """Moments are Unix times; None before there is one."""

    newest_payment_s: float | None
    newest_report_s: float | None
    delays_s: dict[str, float]  # quantile -> seconds from payment to report; empty when no fraud was reported lately
    recent: int  # frauds reported in the last seven days of reports


def read_reports(place: LogPlace) -> Reports:
    """Raises MissingFile, LogUnavailable."""
    ((payment,),) = read(place, "SELECT MAX(event_time_ms) FROM predictions", ())
    ((report,),) = read(place, "SELECT MAX(report_time_ms) FROM labels", ())
    rows = read(
        place,
        "SELECT l.report_time_ms - p.event_time_ms FROM labels l JOIN predictions p ON p.sequence = l.payment"
        " WHERE l.is_fraud = 1 AND l.report_time_ms > ?",
        (report - RECENT_MS if report else 0,),
    )
    delays = sorted(row[0] / 1000 for row in rows)
    quantiles = {name: delays[min(len(delays) - 1, int(float(name) * len(delays)))] for name in ("0.5", "0.9")} if delays else {}
    return Reports(_seconds(payment), _seconds(report), quantiles, len(delays))


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
