"""L04: every number is measured anew, on the history and the champion of the running system; one fit a sheet is made again."""

import hashlib
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, create_model
from scipy.stats import ttest_ind
from sklearn.metrics import confusion_matrix

from data.costs import DecisionCosts, decline_threshold
from labs.engine import Incorrect, NotStarted, Passed, Workplace
from pipelines.metrics import average_precision, brier, money_saved_per_thousand
from pipelines.training.calibrate import fit_platt
from pipelines.training.threshold import ThresholdChoice, choose_threshold

Floats = NDArray[np.float64]
METHODS = ("class_weights", "under_sampling", "smote")
MEASURES = ("average_precision", "roc_auc", "promised")
PANELS = 120  # pairs of five seeds, for one kind of effect on one scale
LEAST_CAUGHT = 0.25  # of the new frauds: forests on the right columns caught 0.31 to 0.57 over seeds, on all columns nothing

Predictions = create_model(  # predictions.toml: a guess for each measure of each method
    "Predictions",
    __config__=ConfigDict(extra="forbid"),
    **{f"{method}_{measure}": (Literal["up", "down", "same"], ...) for method in METHODS for measure in MEASURES},
)


class PolicyFile(BaseModel, extra="forbid"):
    """policy.toml."""

    model_version: str
    bundle_digest: str = Field(min_length=12)
    review_at: float = Field(gt=0, lt=1)
    decline_at: float = Field(gt=0, lt=1)


class Decision(BaseModel, extra="forbid"):
    """decision.toml."""

    alerts_for_anomalies: float = Field(ge=0, le=10)
    saved_per_thousand_given_up: float


# ---- 1 accuracy


def accuracy_is_worthless(at: Workplace) -> Passed:
    study = _study(at)
    code, test = at.load("accurate.py"), study.test
    scores, seen = (_numbers(code.call("score", part.features), len(part.features), "accurate.py") for part in (test, study.rows(0)))
    alert = scores >= 0.5
    accuracy, caught = float((alert == test.is_fraud).mean()), int((alert & test.is_fraud).sum())
    champion = study.champion.score_many(test.features) >= study.champion.policy.review_at
    if accuracy < 0.995:
        raise Incorrect(
            f"It is right in {accuracy:.2%} of payments; 99.5 % were asked for.", "Of a thousand payments, how many are frauds?"
        )
    if caught:
        raise Incorrect(
            f"It catches {caught} frauds, so accuracy is not all it has.", "What is right most often without a look at anything?"
        )
    if study.gate(seen, scores).passed:
        raise Incorrect("It ranks so well below 0.5 that the gate lets it pass.", "The gate judges the ranking too: let it rank nothing.")
    return Passed({"accuracy_of_nothing": accuracy, "accuracy_of_champion": float((champion == test.is_fraud).mean())})


# ---- 2 predict, measure, tell from noise


def predicted_first(at: Workplace) -> Passed:
    told = at.answers("predictions.toml", Predictions).model_dump()
    kept = _sheet(at)
    if kept["predictions"] != told:
        changed = next(key for key in told if kept["predictions"].get(key) != told[key])
        raise Incorrect(
            "A prediction was changed after the first fit. A wrong guess teaches more than a right one written afterwards.",
            f"predictions.toml: {changed}; what you said first is in measured.json",
        )
    sheet = kept["sheet"]
    _fit_again(at, sheet, ["none", *METHODS])
    found = {f"{method}_{measure}": _effect(sheet["none"][measure], sheet[method][measure]) for method in METHODS for measure in MEASURES}
    right = float(sum(told[key] == found[key] for key in found))
    return Passed({"predicted_right": right} | _means(sheet, ("none", "class_weights", "under_sampling"), MEASURES))


def told_from_noise(at: Workplace) -> Passed:
    code = at.load("verdict.py")
    draw = np.random.default_rng(0)
    false, missed = [], []  # shares of wrong answers, one for each scale
    for scale in (1e-4, 0.01, 10.0):
        answers = {shift: [code.call("verdict", *_pair(draw, scale, shift)) for _ in range(PANELS)] for shift in (-4, 0, 4)}
        if any(answer not in ("up", "down", "noise") for given in answers.values() for answer in given):
            raise Incorrect("verdict answers something else than up, down or noise.", "verdict.py: what it returns")
        if "down" in answers[4] or "up" in answers[-4]:
            raise Incorrect("It says up where the method lowered the measure.", "verdict.py: treated against plain, not the reverse")
        false.append(1 - answers[0].count("noise") / PANELS)
        missed.append((answers[4].count("noise") + answers[-4].count("noise")) / (2 * PANELS))
    if max(false) > 0.15 > min(false):
        raise Incorrect(
            "Its yardstick is fixed: right for measures of one size, and for larger ones all noise is an effect.",
            "verdict.py: how far apart are the seeds of the same method?",
        )
    if max(false) > 0.15:
        raise Incorrect(
            f"It calls luck an effect: of {PANELS} methods that did nothing it found one in {max(false):.0%}.",
            "verdict.py: compare the difference of the means with what another seed changes",
        )
    if max(missed) > 0.15:
        raise Incorrect(
            f"It misses {max(missed):.0%} of effects four times as large as the noise.",
            "verdict.py: is its yardstick fixed, or too long?",
        )
    return Passed({"false_effects": max(false)})


# ---- 3 SMOTE's missing values


def smote_mended(at: Workplace) -> Passed:
    study = _study(at)
    code, known = at.load("fill.py"), study.rows(0).features
    rows = study.test.features[:2000]
    filled = np.asarray(code.call("fill", known, rows))
    if filled.shape != rows.shape or np.isnan(filled).any():
        raise Incorrect("Values are still missing after fill.", "fill.py: every NaN of `rows` is to be replaced")
    if not (np.isnan(rows) | (filled == rows)).all():
        raise Incorrect("It changes values that were not missing.", "fill.py: np.where(np.isnan(rows), …, rows)")
    alone = np.concatenate([np.asarray(code.call("fill", known, rows[i : i + 1])) for i in range(20)])
    if not np.array_equal(alone, filled[:20]):
        raise Incorrect(
            "A payment is filled differently when it comes alone: its neighbours decide.",
            "fill.py: production knows `known`, not the other rows",
        )
    sheet = _sheet(at)["sheet"]
    if "smote_filled" not in sheet:
        raise NotStarted("Measure it: `python measure.py smote`.")
    _fit_again(at, sheet, ["smote_filled"])
    if _effect(sheet["smote"]["roc_auc"], sheet["smote_filled"]["roc_auc"]) != "up":
        raise Incorrect(
            "SMOTE's ROC AUC is what it was.", "fill.py, `python blanks.py`: which values does the model meet for the first time?"
        )
    loss = float(np.mean(sheet["none"]["average_precision"]) - np.mean(sheet["smote_filled"]["average_precision"]))
    return Passed({"smote_ap_loss": loss} | _means(sheet, ("smote", "smote_filled"), ("average_precision", "roc_auc")))


# ---- 4 weights by money, probabilities that hold


def weight_by_money(at: Workplace) -> Passed:
    code = at.load("weight.py")
    if code.call("choose", _sweep({1: (0.93, 180), 4: (0.94, 150), 16: (0.97, -100)}, apart=8)) == 16:
        raise Incorrect("It follows ROC AUC into a loss of 100 EUR per thousand payments.", "weight.py: `saved` is what it is chosen for")
    if code.call("choose", _sweep({1: (0.93, 180), 4: (0.93, 190), 16: (0.93, 240)}, apart=80)) != 1:
        raise Incorrect(
            "It pays for luck: weights 1, 4 and 16 save 180, 190 and 240 EUR, seeds 80 EUR apart, and it does not stay at 1.",
            "weight.py: is the difference larger than what another seed changes?",
        )
    if code.call("choose", _sweep({1: (0.93, 100), 4: (0.93, 130), 16: (0.93, 110)}, apart=2)) != 4:
        raise Incorrect(
            "Weights 1, 4 and 16 save 100, 130 and 110 EUR, seeds 2 EUR apart, and it does not take 4.",
            "weight.py: the best by `saved` of those beyond noise; a yardstick in EUR that is always the same is none",
        )
    sheet, names = _sheet(at)["sheet"], {1.0: "none", 4.0: "weight_4", 16.0: "weight_16", 64.0: "weight_64"}
    _fit_again(at, sheet, ["weight_4", "weight_16", "weight_64"])
    measures = ("roc_auc", "average_precision", "saved")
    sweep = [{"weight": w, "seed": seed} | {m: sheet[name][m][seed] for m in measures} for w, name in names.items() for seed in range(3)]
    if code.call("choose", sweep) != 1:
        raise Incorrect("On what you measured it takes a weight that saves less than none.", "`python measure.py` prints the sweep")
    figures = _means(sheet, ("none", "weight_64", "class_weights"), ("saved",)) | _means(sheet, ("class_weights",), ("saved_calibrated",))
    return Passed({"weight_by_auc": max(names, key=lambda weight: np.mean(sheet[names[weight]]["roc_auc"]))} | figures)


def probabilities_hold(at: Workplace) -> Passed:
    study = _study(at)
    validation, test = study.fit("class_weights", 0)
    y = study.test.is_fraud
    p = _numbers(at.load("calibrate.py").call("calibrate", validation, study.validation.is_fraud, test), len(y), "calibrate.py")
    if p.min() < 0 or p.max() > 1:
        raise Incorrect("Some of these are no probabilities: they leave 0 to 1.", "calibrate.py: what it returns")
    kept = average_precision(y, p)
    if kept < average_precision(y, test) - 0.02:
        raise Incorrect(
            f"The average is right and the ranking is gone: average precision is {kept:.3f}, and was {average_precision(y, test):.3f}.",
            "calibrate.py: a higher margin must stay the higher probability",
        )
    promised = float(p.sum() / y.sum())
    if not 0.6 < promised < 1.6:
        raise Incorrect(
            f"It promises {promised:.1f} frauds for each that came.", "`python promised.py`; learn from `margin` and `is_fraud`"
        )
    best = brier(y, fit_platt(validation, study.validation.is_fraud).probabilities(test))
    if brier(y, p) > 1.05 * best:
        raise Incorrect(
            "The sum is right and the single promises are not: Brier is above what two numbers reach.",
            "calibrate.py: a shift alone leaves the slope",
        )
    of = {"brier_raw": 1 / (1 + np.exp(-test)), "brier_calibrated": p, "brier_constant": np.full(len(y), y.mean())}
    return Passed({name: 1000 * brier(y, q) for name, q in of.items()} | {"promised_after": promised})


# ---- 5 threshold


def threshold_follows(at: Workplace) -> Passed:
    study = _study(at)
    code, validation, default = at.load("threshold.py"), study.validation, DecisionCosts()
    p = study.champion.score_many(validation.features)
    rows = (validation.is_fraud, p, validation.amount)
    cases = [(default, 10.0), (default, 3.0), (replace(default, review=8.0), 10.0), (replace(default, chargeback_fee=60.0), 30.0)]
    chosen = _numbers([code.call("choose", *rows, *case) for case in cases], len(cases), "threshold.py", "pairs of costs and capacity")
    if len(set(chosen)) == 1:
        raise Incorrect(
            f"{chosen[0]:.3g} it is, whatever a review costs and however many the team can do.",
            "threshold.py: use `costs` and `capacity`. 0.5 is where two mistakes cost the same, which they do not",
        )
    for review_at, (costs, capacity) in zip(chosen, cases, strict=True):
        alerts, saved, best = _on_validation(rows, review_at, costs, capacity)
        where = f"a review at {costs.review:g} EUR, a fee of {costs.chargeback_fee:g} EUR, {capacity:g} alerts per thousand"
        if alerts > capacity + 1e-9:
            raise Incorrect(f"With {where}, it raises {alerts:.1f}.", "threshold.py: what exceeds the capacity is reviewed by nobody")
        if saved < 0.98 * best.saved_per_thousand:
            raise Incorrect(
                f"With {where}, it saves {saved:.0f} EUR per thousand payments, and {best.saved_per_thousand:.0f} can be had.",
                "threshold.py: which alerts pay for themselves, and which of those come first?",
            )
    none = code.call("choose", *rows, replace(default, review=5000.0), 10.0)
    if none is None or (p >= none).any():
        raise Incorrect("Where a review costs 5,000 EUR it still reviews.", "threshold.py: no review pays there; answer above every score")
    return Passed({"review_at": float(chosen[0]), "review_at_capacity_3": float(chosen[1])} | _outcome(at, study, chosen[0]))


def policy_beside_model(at: Workplace) -> Passed:
    told = at.answers("policy.toml", PolicyFile)
    study = _study(at)
    brief = tomllib.loads((at.start / "brief.toml").read_text())
    costs, capacity = replace(DecisionCosts(), review=brief["review_eur"]), brief["capacity_per_thousand"]
    if told.model_version != study.champion.version or not study.champion_digest.startswith(told.bundle_digest):
        raise Incorrect(
            "It names another model than the champion: on other scores the same threshold means something else.",
            "`python policy.py`, first line",
        )
    rows = (study.validation.is_fraud, study.champion.score_many(study.validation.features), study.validation.amount)
    alerts, saved, best = _on_validation(rows, told.review_at, costs, capacity)
    if alerts > capacity + 1e-9:
        raise Incorrect(
            f"From {told.review_at} on there are {alerts:.1f} alerts per thousand; the new firm takes {capacity:g}.",
            "policy.toml: review_at; is it still today's?",
        )
    if saved < 0.97 * best.saved_per_thousand:
        raise Incorrect(
            f"That review_at saves {saved:.0f} EUR per thousand on the validation rows, and {best.saved_per_thousand:.0f} can be had.",
            "policy.toml: review_at, four digits of what `python policy.py` prints for the brief",
        )
    if abs(told.decline_at - max(best.policy.review_at, decline_threshold(costs))) > 0.005:
        raise Incorrect(
            "decline_at does not follow from the new price of a review.",
            "policy.toml: (1 - p) * 12 EUR is the risk of declining; when is it below a review?",
        )
    free = float(best.curve.alerts_per_thousand[np.argmax(best.curve.saved_per_thousand)])
    return Passed({"brief_review_at": told.review_at, "alerts_without_limit": free})


# ---- 6 a fraud that nobody saw


def stranger_caught(at: Workplace) -> Passed:
    study, given, code = _study(at), at.given("study.py"), at.load("anomaly.py")
    told = at.answers("decision.toml", Decision)
    attack, quiet = study.card_testing, study.quiet
    strange, elsewhere = (
        _numbers(code.call("scores", study.ordinary, one.features, timeout_s=15), len(one.amount), "anomaly.py") for one in (attack, quiet)
    )
    shared = {n: given.shared_alerts(attack.classifier, strange, n) for n in (0, told.alerts_for_anomalies, 10)}
    alone, seen = (float(shared[n][attack.new].mean()) for n in (10, 0))
    if alone < LEAST_CAUGHT:
        if float(given.shared_alerts(attack.classifier, -strange, 10)[attack.new].mean()) >= LEAST_CAUGHT:
            raise Incorrect("The least strange come first.", "anomaly.py: score_samples is higher for what is ordinary")
        raise Incorrect(
            f"Given all ten alerts it catches {alone:.0%} of the new frauds, and the classifier that never saw them {seen:.0%}.",
            "anomaly.py, COLUMNS: what is odd in most columns is a rich customer abroad. Where does a burst of cards at one till show?",
        )
    money = {n: given.saved(attack, alert) for n, alert in shared.items()}
    given_up = money[0] - money[told.alerts_for_anomalies]
    if abs(told.saved_per_thousand_given_up - given_up) > 3:
        raise Incorrect(
            f"{told.alerts_for_anomalies:g} alerts for anomalies do not cost {told.saved_per_thousand_given_up:g} EUR per thousand.",
            "`python attack.py`, first table: what is saved with none of ten, less what is saved with yours",
        )
    return Passed(
        {"new_by_classifier": seen, "new_by_anomaly": alone, "old_by_anomaly": float(shared[10][attack.old].mean())}
        | {"quiet_by_anomaly": float(given.shared_alerts(quiet.classifier, elsewhere, 10)[quiet.new].mean())}
        | {"new_as_decided": float(shared[told.alerts_for_anomalies][attack.new].mean()), "given_up": given_up}
    )


# ---- what they share


def _study(at: Workplace) -> Any:
    """One history for all checks of a run: it is read and fitted on once."""
    return _STUDIES.setdefault(at.settings.home, at.given("study.py").Study(at.settings))


_STUDIES: dict[Path, Any] = {}


def _numbers(answer: Any, n: int, file: str, of: str = "payments") -> Floats:
    try:
        numbers = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (n,) or not np.isfinite(numbers).all():
        raise Incorrect(f"{file} is to answer one finite number for each of {n:,} {of}.", f"{file}: the shape of what it returns")
    return numbers


def _sheet(at: Workplace) -> dict[str, Any]:
    file = at.folder / "measured.json"
    if not file.exists():
        raise NotStarted("Predict, then measure: `python measure.py`.")
    try:
        kept = json.loads(file.read_text())
        complete = {"none", *METHODS, "weight_4", "weight_16", "weight_64"} <= kept["sheet"].keys()
    except (ValueError, KeyError, AttributeError):
        complete = False
    if not complete:
        raise Incorrect("measured.json is not what measure.py wrote.", "Remove measured.json and run `python measure.py`.")
    return dict(kept)


def _fit_again(at: Workplace, sheet: dict[str, Any], names: list[str]) -> None:
    """One fit of these, which one the sheet itself decides, is made again: it must give what the sheet says."""
    pick = int(hashlib.sha256(json.dumps([sheet[name] for name in names]).encode()).hexdigest(), 16)
    name = names[pick % len(names)]
    seed = pick // 97 % len(sheet[name]["roc_auc"])
    again = _study(at).measure(name, seed, lambda known, rows: np.asarray(at.load("fill.py").call("fill", known, rows)))
    for measure, value in again.items():
        if not np.isclose(sheet[name][measure][seed], value, rtol=1e-6):
            raise Incorrect(
                f"{name}, seed {seed}: a fit gives {measure} {value:.4f}, and measured.json says {sheet[name][measure][seed]:.4f}.",
                "Remove measured.json and run `python measure.py` again (`python measure.py smote` after a change of fill.py).",
            )


def _means(sheet: dict[str, Any], names: tuple[str, ...], measures: tuple[str, ...]) -> dict[str, float]:
    """Figures: the mean over seeds of each measure of each fit."""
    return {f"{name}_{measure}": float(np.mean(sheet[name][measure])) for name in names for measure in measures}


def _effect(plain: list[float], treated: list[float]) -> str:
    found = ttest_ind(treated, plain, equal_var=False)
    return "same" if found.pvalue > 0.05 else ("up" if found.statistic > 0 else "down")


def _pair(draw: np.random.Generator, scale: float, shift: int) -> tuple[list[float], list[float]]:
    """Five seeds without and five with a method that moves a measure by `shift` times what a seed does."""
    return (scale * (30 + draw.normal(size=5))).tolist(), (scale * (30 + shift + draw.normal(size=5))).tolist()


def _sweep(of: dict[int, tuple[float, float]], apart: float) -> list[dict[str, float]]:
    """A made-up sweep: ROC AUC and EUR saved per weight, three seeds that lie `apart` EUR from one another."""
    return [
        {"weight": float(weight), "seed": float(seed), "roc_auc": auc + 0.001 * seed, "average_precision": 0.25, "saved": saved + luck}
        for weight, (auc, saved) in of.items()
        for seed, luck in enumerate((-apart, 0.0, apart))
    ]


def _on_validation(
    rows: tuple[Any, Floats, Floats], review_at: float, costs: DecisionCosts, capacity: float
) -> tuple[float, float, ThresholdChoice]:
    """Alerts and EUR saved per thousand payments of a threshold, and the best that there is. `rows`: frauds, scores, amounts."""
    is_fraud, p, amount = rows
    saved = money_saved_per_thousand(is_fraud, p >= review_at, amount, costs)
    return 1000 * float((p >= review_at).mean()), saved, choose_threshold(*rows, costs=costs, capacity_per_thousand=capacity)


def _outcome(at: Workplace, study: Any, review_at: float) -> dict[str, float]:
    """The learner's confusion matrix on the test rows, held against ours."""
    test, costs = study.test, DecisionCosts()
    alert = study.champion.score_many(test.features) >= review_at
    told = at.load("threshold.py").call("outcome", test.is_fraud, alert, test.amount, costs)
    tn, fp, fn, tp = confusion_matrix(test.is_fraud, alert).ravel()
    ours = {"true_positives": tp, "false_positives": fp, "false_negatives": fn, "true_negatives": tn}
    ours |= {"precision": tp / (tp + fp), "recall": tp / (tp + fn)}
    ours |= {"saved_per_thousand": money_saved_per_thousand(test.is_fraud, alert, test.amount, costs)}
    for fact, value in ours.items():
        if not isinstance(told, dict) or fact not in told or not np.isclose(told[fact], value, rtol=1e-6, atol=1e-9):
            raise Incorrect(f"`outcome` has another {fact}: here it is {value:.4g}.", f"threshold.py: outcome, {fact}")
    return {"precision": float(ours["precision"]), "recall": float(ours["recall"]), "saved": float(ours["saved_per_thousand"])}
