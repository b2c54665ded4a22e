"""`lab explain`: why the service answered a payment as it did, as bars in a terminal."""

from collections.abc import Sequence
from urllib.parse import quote

from rich.table import Table

from data.settings import Settings
from labs.service import call
from labs.terminal import COLOURS, console, print_json, table
from services.scoring.explain_messages import Contribution, Explanation

_BAR = 12  # columns of the longest bar
Part = tuple[float, str]  # log odds, and what brought them


def explain(transaction_id: str, top: int, *, as_json: bool) -> None:
    """Print the explanation of a stored decision. Raises ServiceDown, or the failure that the service names."""
    settings = Settings.load()
    # The answer may wait for three others, each of which has a limit of its own.
    path = f"/v1/explain/{quote(transaction_id, safe='')}?top={top}"
    told = Explanation.model_validate_json(call(settings, "GET", path, timeout=settings.start_timeout_s))
    if as_json:
        print_json(told.model_dump(mode="json"))
    else:
        _show(told)


def _show(told: Explanation) -> None:
    out = console()
    out.print(f"[bold {COLOURS[told.decision]}]{told.decision}[/]  fraud probability {told.score:.2%}, {_by(told)}")
    for reason in told.reasons:
        out.print(f"  · {reason.code}: {reason.meaning}")
    given = {reason.code for reason in told.reasons}
    for rule in told.rules:
        if rule.code not in given:  # of an approved payment
            out.print(f"  · {rule.code}: {rule.meaning}")
    out.print(_bars("what moved the score", [(part.contribution, f"[bold]{part.group}[/]: {part.meaning}") for part in told.groups]))
    listed = [(part.contribution, f"[bold]{part.feature}[/] {_value(part)}\n[dim]{part.meaning}[/]") for part in told.contributions]
    out.print(_bars("the strongest features", [*listed, (told.remainder.contribution, f"{told.remainder.features} others")]))
    moved = told.margin - told.base_margin
    out.print(f"log odds: expected {told.base_margin:.3f} ({told.base_score:.2%} fraud), moved by {moved:+.3f} to {told.margin:.3f}")
    out.print(f"calibrated: 1 / (1 + exp(-({_linear(told)}))) = {told.score:.2%}")
    out.print(f"[dim]model version {told.model_version} ({told.arm}), {told.transaction_id}, {told.event_time:%Y-%m-%d %H:%M} UTC[/]")


def _by(told: Explanation) -> str:
    """What settled the decision."""
    if told.decided_by == "rules":
        sterner = [rule.code for rule in told.rules if rule.action == told.decision]
        return f"but {sterner[0] if sterner else 'a rule'} decided"
    policy = told.policy
    if told.decision == "approve":
        return f"below {policy.review_at:.2%}, where review begins"
    return f"at or above {policy.decline_at if told.decision == 'decline' else policy.review_at:.2%}, where {told.decision} begins"


def _linear(told: Explanation) -> str:
    """The calibrated log odds as they are worked out."""
    slope, intercept = told.calibration.slope, told.calibration.intercept
    return f"{slope:.4g} × {told.margin:.3f} {'-' if intercept < 0 else '+'} {abs(intercept):.4g}"


def _value(part: Contribution) -> str:
    if part.level is not None:
        return f"is {part.level}"
    return "has no history" if part.value is None else f"= {part.value:,.4g}"


def _bars(title: str, parts: Sequence[Part]) -> Table:
    """A row per part: log odds, a bar that is red towards fraud, and the words."""
    rows = table("log odds", "", f"{title} (+ towards fraud)")
    longest = max(abs(size) for size, _ in parts) or 1.0
    for size, words in parts:
        full, eighths = divmod(round(8 * _BAR * abs(size) / longest), 8)
        bar = ("█" * full + " ▏▎▍▌▋▊▉"[eighths]).rstrip()
        rows.add_row(f"{size:+8.3f}", f"[{'red' if size > 0 else 'green'}]{bar:<{_BAR}}[/]", words)
    return rows
