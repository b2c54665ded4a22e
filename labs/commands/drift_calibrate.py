"""`lab drift calibrate`: the noise floor of this lab's own quiet weeks, written where monitoring reads it, and one table."""

import sys
from typing import TYPE_CHECKING

from data.settings import Settings
from labs.commands.drift import champion_at_work
from labs.terminal import console, print_json, table

if TYPE_CHECKING:
    from pipelines.monitoring.noise_floor import Asked, Calibration, Share

EVIDENTLY_WINDOWS = 40  # its own tests take a quarter of a second a window
BURN_IN_DAYS = 7  # of the history: its first payments have no card or till with a past


def calibrate(windows: int, *, as_json: bool) -> None:
    """Measure, save, print. Raises what `champion_at_work` and `noise_floor.calibrate` raise."""
    import pandas as pd

    from labs.watching import scored_history, watch_plan
    from pipelines.monitoring.noise_floor import calibrate as measure
    from pipelines.monitoring.report import calibrated_alarm, default_alarm, thresholds_of

    settings = Settings.load()
    model, dataset, live, _ = champion_at_work(settings)
    plan = watch_plan(settings, model)
    frame, labels = scored_history(dataset, model, live, plan)
    quiet = frame[frame["event_time"] >= frame["event_time"].min().floor("D") + pd.Timedelta(days=BURN_IN_DAYS)]
    if not as_json:
        sys.stderr.write(f"Drawing {windows} windows from the quiet days before {live:%Y-%m-%d}; a minute or so.\n")
    evidently: dict[str, Asked] = {
        "Evidently default": lambda now, before, tests: default_alarm(now, before, [test.column for test in tests]),
        "Evidently calibrated": lambda now, before, tests: calibrated_alarm(now, before, thresholds_of(tests)),
    }
    found = measure(
        quiet.reset_index(drop=True), labels, plan, version=model.version, windows=windows, seed=settings.seed,
        evidently=evidently, evidently_windows=min(EVIDENTLY_WINDOWS, windows),
    )  # fmt: skip
    file = found.save(settings.home)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
        console().print(f"Saved to {file}; monitoring of version {found.version} uses it from now on.", soft_wrap=True)


def _print(found: "Calibration") -> None:
    out = console()
    out.print(
        f"{found.first} to {found.last}, about {found.payments_per_window:,} payments a window;"
        f" {1000 * found.error_budget:g} in a thousand windows may alarm falsely."
    )
    rows = table("", *found.quiet)
    rows.add_row("false alarms per 1,000 windows", *(_false(share) for share in found.quiet.values()))
    for drift, seen in found.power.items():
        rows.add_row(f"sees: {drift}", *(f"{share.alarms / share.windows:.0%}" for share in seen.values()))
    out.print(rows)
    if not found.within_budget:
        out.print(
            "[yellow]The portfolio alarms more often than its budget on your quiet days.[/] Look for a drift among them, or set a higher"
        )
        out.print("LAB_DRIFT_FALSE_ALARMS_PER_THOUSAND; until then expect that rate.")


def _false(share: "Share") -> str:
    low, high = share.interval
    return f"{1000 * share.alarms / share.windows:.1f} ({1000 * low:.1f} to {1000 * high:.1f})"
