"""Fits every method with several seeds and compares: `python measure.py`, half a minute. `python measure.py smote` fits SMOTE with fill.py.

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
from study import METHODS, WEIGHTS, Study
from verdict import verdict

SEEDS = range(5)
WEIGHT_SEEDS = range(3)
SHEET = Path("measured.json")
MEASURES = ("average_precision", "roc_auc", "promised")


def wanted(only_smote):
    """(name of study.FITS, seed) of every fit."""
    if only_smote:
        return [("smote_filled", seed) for seed in SEEDS]
    methods = [(name, seed) for name in ("none", *METHODS) for seed in SEEDS]
    return methods + [(f"weight_{weight:g}", seed) for weight in WEIGHTS for seed in WEIGHT_SEEDS]


def run(jobs):
    study = Study.here()
    sheet = {}
    with ThreadPoolExecutor(2) as pool:  # LightGBM computes outside Python's lock
        study.rows(0)
        started = [(name, pool.submit(study.measure, name, seed, fill)) for name, seed in jobs]
        for name, fit in track(started, description="fitting"):
            for measure, value in fit.result().items():
                sheet.setdefault(name, {}).setdefault(measure, []).append(value)
    return sheet


def show(sheet, predictions):
    plain = sheet["none"]
    print(f"\n{'':<16}{'':<19}{'mean':>8} {'± sd':>8}   {'predicted':<10} verdict.py")
    for name in ("none", *METHODS, "smote_filled"):
        for measure in MEASURES if name in sheet else ():
            values = sheet[name][measure]
            told = "" if name == "none" else verdict(plain[measure], values)
            guess = predictions.get(f"{name}_{measure}", "")
            print(f"{name:<16}{measure:<19}{mean(values):>8.3f} {stdev(values):>8.3f}   {guess:<10} {told}")
    print(f"\n{'':<33}{'saved, EUR per 1,000 payments':>42}")
    print(f"{'weight':<9}{'roc_auc':>10}{'avg. precision':>16}{'as it promises':>20}{'calibrated':>20}")
    for weight, name in ((1.0, "none"), *((w, f"weight_{w:g}") for w in WEIGHTS)):
        row = [mean(sheet[name][m]) for m in ("roc_auc", "average_precision", "saved", "saved_calibrated")]
        print(f"{weight:<9g}{row[0]:>10.3f}{row[1]:>16.3f}{row[2]:>20.0f}{row[3]:>20.0f}")


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
