"""Fits every method with several seeds and compares: `python measure.py`, half a minute. `python measure.py smote` only mends SMOTE.

What is measured goes to measured.json, with your predictions as they were before the first fit.
"""

import json
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean, stdev

from fill import fill
from rich.progress import track
from study import Study
from verdict import verdict

SEEDS = range(5)
WEIGHTS = (4.0, 16.0, 64.0)
WEIGHT_SEEDS = range(3)
SHEET = Path("measured.json")
METHODS = ("class_weights", "under_sampling", "smote")
MEASURES = ("average_precision", "roc_auc", "promised")


def wanted(only_smote):
    """(name in the sheet, seed, how to fit) of every fit."""
    if only_smote:
        return [("smote_filled", seed, {"method": "smote", "fill": fill}) for seed in SEEDS]
    methods = [(name, seed, {"method": name}) for name in ("none", *METHODS) for seed in SEEDS]
    return methods + [(f"weight_{w:g}", seed, {"method": "none", "weight": w}) for w in WEIGHTS for seed in WEIGHT_SEEDS]


def run(jobs):
    study = Study.here()
    sheet = {}
    with ThreadPoolExecutor(2) as pool:  # LightGBM computes outside Python's lock
        study.rows(0)
        started = [(name, pool.submit(study.measure, seed=seed, **how)) for name, seed, how in jobs]
        for name, fit in track(started, description="fitting"):
            for measure, value in fit.result().items():
                sheet.setdefault(name, {}).setdefault(measure, []).append(value)
    return sheet


def show(sheet, predictions):
    plain = sheet["none"]
    print(f"\n{'':<16}{'':<19}{'mean':>8} {'seeds':>8}   {'predicted':<10} verdict.py")
    for name in ("none", *METHODS, "smote_filled"):
        for measure in MEASURES if name in sheet else ():
            values = sheet[name][measure]
            told = "" if name == "none" else verdict(plain[measure], values)
            guess = predictions.get(f"{name}_{measure}", "")
            print(f"{name:<16}{measure:<19}{mean(values):>8.3f} ±{stdev(values):>7.3f}   {guess:<10} {told}")
    print(f"\n{'weight':<16}{'roc_auc':>12}{'avg. prec.':>12}{'saved':>12}{'saved, calibrated':>20}   EUR per 1,000")
    for weight, name in ((1.0, "none"), *((w, f"weight_{w:g}") for w in WEIGHTS)):
        row = [mean(sheet[name][m][: len(WEIGHT_SEEDS)]) for m in ("roc_auc", "average_precision", "saved", "saved_calibrated")]
        print(f"{weight:<16g}{row[0]:>12.3f}{row[1]:>12.3f}{row[2]:>12.0f}{row[3]:>20.0f}")


def main():
    predictions = tomllib.loads(Path("predictions.toml").read_text())
    if "?" in predictions.values():
        sys.exit("Predict first: predictions.toml still holds a “?”.")
    only_smote = sys.argv[1:] == ["smote"]
    kept = json.loads(SHEET.read_text()) if SHEET.exists() else {"predictions": predictions, "sheet": {}}
    if only_smote and not kept["sheet"]:
        sys.exit("Measure all methods first: `python measure.py`.")
    kept["sheet"] |= run(wanted(only_smote))
    SHEET.write_text(json.dumps(kept, indent=1))
    show(kept["sheet"], kept["predictions"])


if __name__ == "__main__":
    main()
