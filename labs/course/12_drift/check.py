"""L12: the monitor is asked on quiet and on drifted payments, the incident is measured anew from the log, models are retrained."""

from collections.abc import Iterable
from datetime import date
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
FACTOR_OFF = 0.06  # of a factor: three times what a median of some thousand payments strays
INCIDENTS = (  # column, dimension, level, factor, begins, day
    ("amount", "category", "grocery", 0.6, 16, 2),
    ("amount_to_terminal_mean", "channel", "contactless", 1.7, 23, 1),
    ("amount", "channel", "online", 2.0, 30, 3),
)
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
    study, given, test = _study(at), at.given("study.py"), at.given("compare.py")

    def alarms(pairs: Iterable[Any]) -> list[list[str]]:
        said = [at.load("monitor.py").call("alarms", *pair) for pair in pairs]
        if not all(isinstance(named, (list, tuple)) and set(named) <= set(given.INPUTS) for named in said):
            raise Incorrect("`alarms` is to answer a list of column names.", "monitor.py: what it returns")
        return said

    false = {size: sum(map(bool, alarms(study.shuffled(*size, SHUFFLED)))) for size in given.SIZES}
    (before, now), worst = max(false.items(), key=lambda item: item[1])
    if worst > FALSE_OF_SHUFFLED:
        raise Incorrect(
            f"Of {SHUFFLED} quiet windows of {now:,} shuffled payments it calls {worst} drifted (reference: {before:,}).",
            f"monitor.py: it asks {len(given.INPUTS)} questions a window. How often is one of them answered wrongly by chance?",
        )
    came = [*study.real(1, 2), *study.real(7, 4), *study.unseen()]
    said = [named for named in alarms(came) if named]
    if len(said) > FALSE_AS_THEY_CAME:
        often = pd.Series([name for named in said for name in named]).value_counts().index[:3]
        raise Incorrect(
            f"It holds on shuffled payments, and calls {len(said)} of {len(came)} quiet days and weeks drifted as they came"
            f" ({', '.join(often)}).",
            "monitor.py: payments of one day are no independent draws. How far does a quiet day stray? `python floor.py`",
        )
    for name, (drift, column) in given.DRIFTS.items():
        drifted = [(drift(pair.window), pair.reference) for pair in study.shuffled(20_000, 10_000, POWER_WINDOWS, seed=1)]
        seen = sum(column in named for named in alarms(drifted))
        if seen < SEEN_IN:
            why = f"It never alarms in vain, and names {column} in {seen} of {POWER_WINDOWS} windows only: {name}."
            missing = drift is given.forgotten
            raise Incorrect(why, f"monitor.py: {'missing values are in no distance and in no p-value' if missing else '`python floor.py`'}")
    nominal = [min(one.p_value for one in test.compare(*pair)) < 0.05 for pair in study.shuffled(1_000, 2_000, SHUFFLED)]
    shares = {f"evidently_{size[0] // 1000}k_{size[1]}": study.evidently(*size, given.EVIDENTLY_WINDOWS) for size in given.SIZES} | {
        "evidently_online": study.evidently(20_000, 10_000, POWER_WINDOWS, given.moved_online),
        "evidently_forgotten": study.evidently(20_000, 10_000, POWER_WINDOWS, given.forgotten),
        "uncorrected": np.mean(nominal),
        "bonferroni_as_came": np.mean([bool(test.corrected(*pair)) for pair in came]),
        "monitor_shuffled": sum(false.values()) / (SHUFFLED * len(false)),
        "monitor_as_came": len(said) / len(came),
    }
    return Passed({name: 100 * float(share) for name, share in shares.items()})


# ---- 2 only noise


def only_noise(at: Workplace) -> Passed:
    told, corrected = at.answers("night.toml", Night), at.given("compare.py").corrected
    nights = list(_study(at).nights())
    chosen = [at.load("season.py").call("reference", night.reference, night.window) for night in nights]
    for rows, night in zip(chosen, nights, strict=True):
        if not isinstance(rows, pd.DataFrame) or len(rows) < len(night.window):
            raise Incorrect("`reference` is to answer rows of `history`, as many as the window has or more.", "season.py: what it returns")

    def alarmed(references: list[pd.DataFrame], times: float = 1.0) -> float:
        """Share of nights that alarm against these rows, their amounts multiplied."""
        windows = [night.window.assign(amount=times * night.window["amount"]) for night in nights]
        return float(np.mean([bool(corrected(*pair)) for pair in zip(windows, references, strict=True)]))

    dashboard, false, seen = alarmed([night.reference.tail(1000) for night in nights]), alarmed(chosen), alarmed(chosen, 2)
    if false > FALSE_NIGHTS:
        raise Incorrect(
            f"Against these rows {false:.0%} of quiet nights alarm. A night is no evening and no noon.",
            "season.py: which hours do the rows hold, and which the window? `python nights.py`",
        )
    if seen < BOLD_NIGHTS:
        raise Incorrect(
            f"It is quiet because it is deaf: amounts twice as high are seen in {seen:.0%} of nights.",
            "season.py: how many rows does it choose? One night is a small reference; there are two weeks of them",
        )
    if abs(told.quiet_nights_that_alarm_too - dashboard) > 0.05:
        why = f"You say {told.quiet_nights_that_alarm_too:.0%} of quiet nights alarm on the colleague's dashboard."
        raise Incorrect(why, "night.toml: `python nights.py`, the first line")
    if told.verdict != "noise":
        raise Incorrect(
            f"The dashboard says so on {dashboard:.0%} of the nights on which nothing was wrong: that alarm is no evidence.",
            "night.toml: verdict; what says season.py of the night of the alert?",
        )
    return Passed({"dashboard_nights": 100 * dashboard, "season_nights": 100 * false, "bold_nights": 100 * seen})


# ---- 3 the incident


def incident_found(at: Workplace) -> Passed:
    study = _study(at)
    sent, ratio = _as_sent(study)
    hit = sent[ratio != 1]
    if hit.empty:
        raise NotStarted("Send the week: `python incident.py`.")
    told = at.answers("incident.toml", Incident)
    since = hit["event_time"].min().floor("D")
    factor, share = float(np.median(ratio[ratio != 1])), len(hit) / int((sent["event_time"] >= since).sum())
    if told.column != "amount":
        moved = f"{told.column} moved because something else did."
        why = moved if told.column in study.history else f"{told.column} is none of the eleven columns."
        raise Incorrect(why, "incident.toml: column; what does a message hold, and what is computed from it?")
    inside = float((hit[told.dimension].astype(str) == told.level).mean())
    if inside < 1:
        raise Incorrect(
            f"Of the payments that changed, {inside:.0%} lie in {told.dimension} {told.level}.",
            "incident.toml: leave one group out: is the rest quiet then? `lab drift check` names the rows too",
        )
    off = (told.since - since.date()).days
    if off:
        raise Incorrect(
            f"{told.since} is {'too early' if off < 0 else 'too late'}: a window tells when it was looked at, not since when.",
            "incident.toml: since; which day is the first that looks like the last ones?",
        )
    if abs(told.factor / factor - 1) > FACTOR_OFF:
        overall = study.incident.window["amount"].mean() / study.incident.reference["amount"].mean()
        diluted = "That is how far the whole column moved: most payments in it are as ever."
        why = diluted if abs(told.factor / overall - 1) < 0.1 else f"The changed payments were not multiplied by {told.factor:g}."
        raise Incorrect(why, "incident.toml: factor, among the changed payments only, days before it left out")
    if abs(told.share - share) > 0.03:
        why = f"{told.share:.1%} is not the share of payments that changed."
        raise Incorrect(why, "incident.toml: share; not the shift of a distribution: how many payments lie there?")
    if "amount" not in at.load("monitor.py").call("alarms", *study.incident):
        raise Incorrect("Your own monitor.py does not name the column on the last week served.", "`python where.py`")
    return Passed({"incident_factor": factor, "incident_share": 100 * share})


def _as_sent(study: Any) -> tuple[pd.DataFrame, Any]:
    """Payments served that the world made, and their amounts by what the world had made them."""
    served = study.served
    days = pd.date_range(served["event_time"].min().floor("D"), served["event_time"].max(), freq="D")
    made = pd.concat([study.stream.day(day.date()).transactions for day in days]).set_index("transaction_id")["amount_minor"]
    sent = served[served["transaction_id"].isin(made.index)]
    return sent, sent["amount_minor"].to_numpy() / made.loc[sent["transaction_id"]].to_numpy()


def found_again(at: Workplace) -> Passed:
    study, errors = _study(at), []
    for column, dimension, level, factor, begins, day in INCIDENTS:
        (window, reference), since = study.invented(column, dimension, level, factor, begins, day)
        found = at.load("find.py").call("find", reference, window, column)
        if not isinstance(found, dict) or not {"dimension", "level", "since", "factor"} <= found.keys():
            raise Incorrect("`find` is to answer a dictionary of dimension, level, since and factor.", "find.py: what it returns")
        if not isinstance(found["factor"], int | float | np.number):
            raise Incorrect("`find` is to answer a factor that is a number.", "find.py: what it returns")
        told, truth = f"{found['dimension']} {found['level']}", f"{dimension} {level}"
        another = f"Another incident: {column} of {truth} × {factor:g} since {since}. It says"
        if told != truth:
            raise Incorrect(f"{another} {told}.", "find.py: not the largest group. Whose payments, left out, leave a quiet column?")
        if str(found["since"])[:10] != since:
            look = "find.py: compare the days of those payments with each other; where do they part?"
            raise Incorrect(f"{another} {str(found['since'])[:10]}.", look)
        errors.append(abs(float(found["factor"]) / factor - 1))
        if errors[-1] > FACTOR_OFF:
            look = "find.py: days before it and payments elsewhere are diluting the factor"
            raise Incorrect(f"{another} {float(found['factor']):.2f}: a mixture.", look)
    return Passed({"factor_error": 100 * max(errors)})


# ---- 4 loud and silent


def loud_and_silent(at: Workplace) -> Passed:
    study, compare = _study(at), at.given("compare.py").compare
    rows = study.features
    silent, loud = (_same_payments(at.load("blind.py").call(name, rows.copy()), rows, name) for name in ("silent", "loud"))
    as_was, hurt, unhurt = (study.average_precision(frame) for frame in (rows, silent, loud))
    far, noise = (max(compare(frame, rows), key=lambda one: one.distance) for frame in (silent, loud))
    silent_seen, loud_seen = (at.load("monitor.py").call("alarms", frame, rows) for frame in (silent, loud))
    if (np.sort(silent.sum(axis=1).round(6)) == np.sort(rows.sum(axis=1).round(6))).all():
        raise Incorrect("silent only reorders payments: each is as it was, and nobody was hurt.", "blind.py: `silent`, some columns only")
    if far.distance >= VISIBLE or silent_seen:
        why = f"silent is seen: {far.column} moved by {far.distance:.2f}; monitor.py names {', '.join(silent_seen) or 'nothing'}."
        raise Incorrect(why, "blind.py: `silent`; which changes leave all values of a column as they are?")
    if hurt > HALF * as_was:
        why = f"silent is silent and harmless: average precision is {hurt:.3f}, and was {as_was:.3f}."
        raise Incorrect(why, "blind.py: `silent`; on which columns does the champion rest? `python retrains.py`, the last columns")
    if not loud_seen:
        raise Incorrect("loud alarms nobody: monitor.py names no column.", "blind.py: `loud`, `python damage.py`")
    if as_was - unhurt > HARMLESS:
        why = f"loud hurts: average precision falls from {as_was:.3f} to {unhurt:.3f}."
        raise Incorrect(why, "blind.py: `loud`; which column does the champion hardly ask for?")
    return Passed(
        {"ap_before": as_was, "ap_loud": unhurt, "ap_silent": hurt, "distance_loud": noise.distance, "distance_silent": far.distance}
        | {"not_replayed": 100 * study.not_replayed(silent)}
    )


def _same_payments(answer: Any, rows: pd.DataFrame, name: str) -> pd.DataFrame:
    if not isinstance(answer, pd.DataFrame) or list(answer.columns) != list(rows.columns) or len(answer) != len(rows):
        raise Incorrect(f"`{name}` is to answer a frame of the same columns and as many rows.", f"blind.py: what `{name}` returns")
    return answer.reset_index(drop=True).astype(np.float64)


# ---- 5 importances


def importance_or_retraining(at: Workplace) -> Passed:
    study, features = _study(at), at.given("study.py").FEATURES
    quiet, (drifted,), seeds, champion = (study.importances(kind) for kind in ("quiet", "new_tactic", "seeds", "champion"))

    def moved(earlier: Any, latest: Any) -> list[str]:
        answer = at.load("importance.py").call("moved", earlier, latest)
        if np.ndim(answer) != 1 or not set(answer) <= set(range(len(features))):
            raise Incorrect("`moved` is to answer places of features, from 0 on.", "importance.py: what it returns")
        return [features[int(place)] for place in answer]

    said = [moved(np.delete(quiet, number, axis=0), quiet[number]) for number in range(len(quiet))]
    false, most = sum(map(bool, said)), max(said, key=len)
    if false > QUIET_RETRAININGS:
        raise Incorrect(
            f"Of {len(quiet)} retrainings without drift it calls {false} moved, one in {len(most)} features ({', '.join(most[:3])}).",
            "importance.py: by how much do the earlier retrainings differ among themselves? And how many features are asked?",
        )
    named = moved(quiet, drifted)
    if "seconds_since_card_device" not in named:
        raise Incorrect(
            "It holds everything for retraining: fraudsters keep to the holder's phone now, and the phone's feature fell to a tenth.",
            "importance.py: each feature has a spread of its own; `python retrains.py`, first row",
        )
    if len(named) > NAMED_AT_MOST:
        why = f"One tactic changed, and it names {len(named)} features."
        raise Incorrect(why, "importance.py: one level for all features together, not for each")
    device, channel = features.index("seconds_since_card_device"), features.index("channel")
    figures = {
        "device_quiet": quiet[:, device].mean(),
        "device_tactic": drifted[device],
        "device_champion": 100 * (champion[1, device] / champion[0, device] - 1),
        "channel_low": quiet[:, channel].min(),
        "channel_high": quiet[:, channel].max(),
        "channel_seeds": 100 * seeds[:, channel].std(ddof=1) / seeds[:, channel].mean(),
        "false_retrainings": false,
    }
    return Passed({name: float(figure) for name, figure in figures.items()})


def _study(at: Workplace) -> Any:
    return at.given("study.py").Study(at.settings)
