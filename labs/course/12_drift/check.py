"""L12: the monitor is asked on quiet and on drifted payments, the incident is measured anew from the log, models are retrained."""

from datetime import date, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from labs.engine import Incorrect, NotStarted, Passed, Workplace

SHUFFLED = 30  # windows of each size
FALSE_OF_SHUFFLED = 3  # at 1 % a window, more than three of thirty come in one of five thousand such checks
FALSE_AS_THEY_CAME = 1  # of some thirty
POWER_WINDOWS = 5
SEEN_IN = 4  # of those five
FALSE_NIGHTS = 0.35  # against the same hours, the corrected test alarms on a tenth to a fifth of them: nights differ a little
BOLD_NIGHTS = 0.7  # in which doubled amounts must be seen
HARMLESS, HALF = 0.01, 0.5  # of average precision: lost at most, left at most
VISIBLE = 0.03  # the smallest distance that monitoring of this product alarms at
QUIET_RETRAININGS = 2  # that may name anything, of eight
NAMED_AT_MOST = 5  # features, when one tactic changed


class Night(BaseModel, extra="forbid"):
    """night.toml."""

    verdict: Literal["noise", "drift"]
    quiet_nights_that_alarm_too: float = Field(ge=0, le=1)


class Incident(BaseModel, extra="forbid"):
    """incident.toml."""

    column: str
    dimension: Literal["channel", "category"]
    level: str
    since: date
    factor: float = Field(gt=0)
    share: float = Field(gt=0, le=1)


# ---- 1 the noise floor


def monitor_holds(at: Workplace) -> Passed:
    study, module, code = _study(at), at.given("study.py"), at.load("monitor.py")

    def alarms(pair: Any) -> list[str]:
        named = code.call("alarms", pair.window, pair.reference)
        if not isinstance(named, (list, tuple)) or not set(named) <= set(module.INPUTS):
            raise Incorrect("`alarms` is to answer a list of column names.", "monitor.py: what it returns")
        return list(named)

    false = {size: sum(bool(alarms(pair)) for pair in study.shuffled(*size, SHUFFLED)) for size in module.SIZES}
    size, worst = max(false.items(), key=lambda item: item[1])
    if worst > FALSE_OF_SHUFFLED:
        raise Incorrect(
            f"Of {SHUFFLED} quiet windows of {size[1]:,} shuffled payments it calls {worst} drifted (reference: {size[0]:,}).",
            f"monitor.py: it asks {len(module.INPUTS)} questions a window. How often is one of them answered wrongly by chance?",
        )
    came = [pair for pairs in (study.real(1, 2), study.real(7, 4), study.unseen()) for pair in pairs]
    loud = [alarms(pair) for pair in came]
    if sum(map(bool, loud)) > FALSE_AS_THEY_CAME:
        names = sorted({name for named in loud for name in named}, key=lambda name: -sum(name in named for named in loud))
        raise Incorrect(
            f"It holds on shuffled payments, and calls {sum(map(bool, loud))} of {len(loud)} quiet days and weeks drifted as they came"
            f" ({', '.join(names[:3])}).",
            "monitor.py: payments of one day are no independent draws. How far does a quiet day stray? `python floor.py`",
        )
    for name, (drift, column) in module.DRIFTS.items():
        pairs = list(study.shuffled(20_000, 10_000, POWER_WINDOWS, seed=1))
        seen = sum(column in alarms(module.Pair(drift(pair.window), pair.reference)) for pair in pairs)
        if seen < SEEN_IN:
            why = f"It never alarms in vain, and sees this in {seen} of {POWER_WINDOWS} windows only: {name}."
            blind = "monitor.py: missing values are in no distance and in no p-value" if drift.__name__ == "forgotten" else "monitor.py"
            raise Incorrect(why, f"{blind}. {column} is to be named")
    bonferroni = [min(one.p_value for one in at.given("compare.py").compare(*pair)) < 0.01 / len(module.INPUTS) for pair in came]
    shares = {size: study.evidently(*size, module.EVIDENTLY_WINDOWS) for size in module.SIZES}
    return Passed(
        {f"evidently_{reference // 1000}k_{window}": 100 * share for (reference, window), share in shares.items()}
        | {"evidently_online": 100 * study.evidently(20_000, 10_000, 5, module.moved_online)}
        | {"evidently_forgotten": 100 * study.evidently(20_000, 10_000, 5, module.forgotten)}
        | {"uncorrected": 100 * _uncorrected(at, study), "bonferroni_as_came": 100 * float(np.mean(bonferroni))}
        | {"monitor_shuffled": 100 * sum(false.values()) / (SHUFFLED * len(false))}
        | {"monitor_as_came": 100 * sum(map(bool, loud)) / len(loud)}
    )


def _uncorrected(at: Workplace, study: Any) -> float:
    """Share of quiet shuffled windows with any p-value below 0.05."""
    pairs = study.shuffled(1_000, 2_000, SHUFFLED)
    return float(np.mean([min(one.p_value for one in at.given("compare.py").compare(*pair)) < 0.05 for pair in pairs]))


# ---- 2 only noise


def only_noise(at: Workplace) -> Passed:
    told = at.answers("night.toml", Night)
    study, code = _study(at), at.load("season.py")
    nights = list(study.nights())
    chosen = [code.call("reference", night.reference, night.window) for night in nights]
    for rows, night in zip(chosen, nights, strict=True):
        if not isinstance(rows, pd.DataFrame) or len(rows) < len(night.window):
            raise Incorrect("`reference` is to answer rows of `history`, as many as the window has or more.", "season.py: what it returns")
    dashboard = float(np.mean([_test(at, night.window, night.reference.tail(1000)) for night in nights]))
    false = float(np.mean([_test(at, night.window, rows) for night, rows in zip(nights, chosen, strict=True)]))
    if false > FALSE_NIGHTS:
        raise Incorrect(
            f"Against these rows {false:.0%} of quiet nights alarm. A night is no evening and no noon.",
            "season.py: which hours do the rows hold, and which the window? `python nights.py`",
        )
    bold = [(night.window.assign(amount=2 * night.window["amount"]), rows) for night, rows in zip(nights, chosen, strict=True)]
    seen = float(np.mean([_test(at, window, rows) for window, rows in bold]))
    if seen < BOLD_NIGHTS:
        raise Incorrect(
            f"It is quiet because it is deaf: amounts twice as high are seen in {seen:.0%} of nights.",
            "season.py: how many rows does it choose? One night is a small reference; there are two weeks of them",
        )
    if abs(told.quiet_nights_that_alarm_too - dashboard) > 0.05:
        raise Incorrect(
            f"You say {told.quiet_nights_that_alarm_too:.0%} of quiet nights alarm on the colleague's dashboard.",
            "night.toml: `python nights.py`, the first line",
        )
    if told.verdict != "noise":
        raise Incorrect(
            f"The dashboard says so on {dashboard:.0%} of the nights on which nothing was wrong: that alarm is no evidence.",
            "night.toml: verdict; what says season.py of the night of the alert?",
        )
    return Passed({"dashboard_nights": 100 * dashboard, "season_nights": 100 * false, "bold_nights": 100 * seen})


def _test(at: Workplace, window: pd.DataFrame, reference: pd.DataFrame) -> bool:
    """The corrected test of eleven columns at 1 % a window."""
    found = at.given("compare.py").compare(window, reference)
    return bool(min(one.p_value for one in found) < 0.01 / len(found))


# ---- 3 the incident


def incident_found(at: Workplace) -> Passed:
    study = _study(at)
    sent, changed, ratio = _changes(study)
    if not changed.any():
        raise NotStarted("Send the week: `python incident.py`.")
    told = at.answers("incident.toml", Incident)
    hit = sent[changed]
    since = hit["event_time"].min().date()
    late = sent["event_time"] >= pd.Timestamp(since, tz="UTC")
    kinds = {(name, str(hit[name].iloc[0])) for name in ("channel", "category") if hit[name].nunique() == 1}
    share, factor = float(changed.sum() / late.sum()), float(np.median(ratio))
    if told.column != "amount":
        raise Incorrect(
            f"{told.column} moved because something else did." if told.column in study.history else "That is none of the eleven columns.",
            "incident.toml: column; what does a message hold, and what is computed from it?",
        )
    if (told.dimension, told.level) not in kinds:
        inside = float((sent.loc[changed, told.dimension].astype(str) == told.level).mean())
        raise Incorrect(
            f"Of the payments that changed, {inside:.0%} lie in {told.dimension} {told.level}.",
            "incident.toml: leave one group out: is the rest quiet then? `lab drift check` names the rows too",
        )
    if told.since != since:
        early = "before it" if told.since < since else "after it"
        raise Incorrect(
            f"{told.since} is {abs((told.since - since).days)} day(s) {early}: a window tells when it was looked at, not since when.",
            "incident.toml: since; which day is the first that looks like the last ones?",
        )
    if abs(told.factor / factor - 1) > 0.1:
        overall = study.incident.window["amount"].mean() / study.incident.reference["amount"].mean()
        diluted = abs(told.factor / overall - 1) < 0.1
        raise Incorrect(
            "That is how far the whole column moved: most payments in it are as ever."
            if diluted
            else f"The changed payments were not multiplied by {told.factor:g}.",
            "incident.toml: factor, among the changed payments only, days before it left out",
        )
    if abs(told.share - share) > 0.03:
        raise Incorrect(
            f"{told.share:.1%} is not the share of payments that changed.",
            "incident.toml: share; not the shift of a distribution: how many payments lie there?",
        )
    named = at.load("monitor.py").call("alarms", study.incident.window, study.incident.reference)
    if "amount" not in named:
        raise Incorrect("Your own monitor.py does not name the column on the last week served.", "`python where.py`")
    return Passed({"incident_factor": factor, "incident_share": 100 * share})


def _changes(study: Any) -> tuple[pd.DataFrame, Any, Any]:
    """Payments served that the world made, which of them did not arrive as they were made, and by what factor those differ."""
    served, stream = study.served, study.stream
    days = pd.date_range(served["event_time"].min().floor("D"), served["event_time"].max(), freq="D")
    made = pd.concat([stream.day(day.date()).transactions for day in days]).set_index("transaction_id")["amount_minor"]
    sent = served[served["transaction_id"].isin(made.index)]
    ratio = sent["amount_minor"].to_numpy() / made.loc[sent["transaction_id"]].to_numpy()
    return sent, ratio != 1, ratio[ratio != 1]


def found_again(at: Workplace) -> Passed:
    study, code = _study(at), at.load("find.py")
    first = study.history["event_time"].min().floor("D")
    errors = []
    for column, dimension, level, factor, begins, day in (
        ("amount", "category", "grocery", 0.6, 16, 2),
        ("amount_to_terminal_mean", "channel", "contactless", 1.7, 23, 1),
        ("amount", "channel", "online", 2.0, 30, 3),
    ):
        start = first + timedelta(days=begins)
        between = at.given("study.py").between
        window, reference = (
            between(study.history, a, b) for a, b in ((start, start + timedelta(days=7)), (start - timedelta(days=14), start))
        )
        since = start + timedelta(days=day)
        hit = (window[dimension] == level) & (window["event_time"] >= since)
        found = code.call("find", reference, window.assign(**{column: window[column].mask(hit, factor * window[column])}), column)
        if not isinstance(found, dict) or not {"dimension", "level", "since", "factor"} <= found.keys():
            raise Incorrect("`find` is to answer a dictionary of dimension, level, since and factor.", "find.py: what it returns")
        if (found["dimension"], found["level"]) != (dimension, level):
            larger = float((window[found["dimension"]] == found["level"]).mean()) if found["dimension"] in ("channel", "category") else 0.0
            raise Incorrect(
                f"Another incident: {column} of {dimension} {level} × {factor:g}. It says {found['dimension']} {found['level']},"
                f" where {larger:.0%} of payments lie.",
                "find.py: not the largest group. Whose payments, left out, leave a quiet column?",
            )
        if str(found["since"])[:10] != f"{since:%Y-%m-%d}":
            raise Incorrect(
                f"Another incident: {column} of {dimension} {level} × {factor:g} since {since:%Y-%m-%d}."
                f" It says {str(found['since'])[:10]}.",
                "find.py: compare the days of those payments with each other; where do they part?",
            )
        errors.append(abs(float(found["factor"]) / factor - 1))
        if errors[-1] > 0.1:
            raise Incorrect(
                f"Another incident: {column} of {dimension} {level} × {factor:g}. It says {float(found['factor']):.2f}: a mixture.",
                "find.py: days before it and payments elsewhere are diluting the factor",
            )
    return Passed({"factor_error": 100 * max(errors)})


# ---- 4 loud and silent


def loud_and_silent(at: Workplace) -> Passed:
    study, code, monitor = _study(at), at.load("blind.py"), at.load("monitor.py")
    rows = study.features
    before = study.average_precision(rows)
    silent, loud = (_same_payments(code.call(name, rows.copy()), rows, name) for name in ("silent", "loud"))
    if (silent.sum(axis=1).round(6).sort_values().to_numpy() == rows.sum(axis=1).round(6).sort_values().to_numpy()).all():
        raise Incorrect("silent only reorders payments: each is as it was, and nobody was hurt.", "blind.py: `silent`, some columns only")
    kept = study.average_precision(silent)
    farthest = max(at.given("compare.py").compare(silent, rows), key=lambda one: one.distance)
    if farthest.distance >= VISIBLE or monitor.call("alarms", silent, rows):
        raise Incorrect(
            f"silent is seen: {farthest.column} moved by {farthest.distance:.2f}.",
            "blind.py: `silent`; which changes leave all values of a column as they are?",
        )
    if kept > HALF * before:
        raise Incorrect(
            f"silent is silent and harmless: average precision is {kept:.3f}, and was {before:.3f}.",
            "blind.py: `silent`; on which columns does the champion rest? `python retrains.py`, the last columns",
        )
    unhurt = study.average_precision(loud)
    if not monitor.call("alarms", loud, rows):
        raise Incorrect("loud alarms nobody: monitor.py names no column.", "blind.py: `loud`, `python damage.py`")
    if before - unhurt > HARMLESS:
        raise Incorrect(
            f"loud hurts: average precision falls from {before:.3f} to {unhurt:.3f}.",
            "blind.py: `loud`; which column does the champion hardly ask for?",
        )
    noise = max(at.given("compare.py").compare(loud, rows), key=lambda one: one.distance).distance
    return Passed(
        {"ap_before": before, "ap_loud": unhurt, "ap_silent": kept, "distance_loud": noise, "distance_silent": farthest.distance}
        | {"not_replayed": 100 * study.not_replayed(silent)}
    )


def _same_payments(answer: Any, rows: pd.DataFrame, name: str) -> pd.DataFrame:
    if not isinstance(answer, pd.DataFrame) or list(answer.columns) != list(rows.columns) or len(answer) != len(rows):
        raise Incorrect(f"`{name}` is to answer a frame of the same columns and as many rows.", f"blind.py: what `{name}` returns")
    return answer.reset_index(drop=True).astype(np.float64)


# ---- 5 importances


def importance_or_retraining(at: Workplace) -> Passed:
    study, features = _study(at), at.given("study.py").FEATURES
    quiet, drifted, seeds, champion = (study.importances(kind) for kind in ("quiet", "new_tactic", "seeds", "champion"))
    code = at.load("importance.py")

    def moved(earlier: Any, latest: Any) -> list[str]:
        answer = np.asarray(code.call("moved", earlier, latest), dtype=int).ravel()
        if ((answer < 0) | (answer >= len(features))).any():
            raise Incorrect("`moved` is to answer places of features, from 0 on.", "importance.py: what it returns")
        return [features[place] for place in answer]

    false = [moved(np.delete(quiet, number, axis=0), quiet[number]) for number in range(len(quiet))]
    if sum(map(bool, false)) > QUIET_RETRAININGS:
        most = max(false, key=len)
        raise Incorrect(
            f"Of {len(quiet)} retrainings without drift it calls {sum(map(bool, false))} moved, one of them in {len(most)} features"
            f" ({', '.join(most[:3])}).",
            "importance.py: by how much do the earlier retrainings differ among themselves? And how many features are asked?",
        )
    named, device = moved(quiet, drifted[0]), features.index("seconds_since_card_device")
    if features[device] not in named:
        raise Incorrect(
            "It holds everything for retraining: fraudsters keep to the holder's phone now, and the phone's feature fell to a tenth.",
            "importance.py: each feature has a spread of its own; `python retrains.py`, first row",
        )
    if len(named) > NAMED_AT_MOST:
        raise Incorrect(
            f"One tactic changed, and it names {len(named)} features.", "importance.py: one level for all features together, not for each"
        )
    channel = features.index("channel")
    return Passed(
        {"device_quiet": float(quiet[:, device].mean()), "device_tactic": float(drifted[0, device])}
        | {"device_champion": float(100 * (champion[1, device] / champion[0, device] - 1))}
        | {"channel_low": float(quiet[:, channel].min()), "channel_high": float(quiet[:, channel].max())}
        | {"channel_seeds": float(100 * seeds[:, channel].std(ddof=1) / seeds[:, channel].mean())}
        | {"false_retrainings": float(sum(map(bool, false)))}
    )


def _study(at: Workplace) -> Any:
    return at.given("study.py").Study(at.settings)
