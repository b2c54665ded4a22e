"""Releases version 2, with one of its faults or without: `python release.py A`, or several letters. Alone: what was released."""

import contextlib
import io
import json
import sys
import tomllib
from pathlib import Path

from data.errors import BadInput, LabError
from data.ledger import Ledger
from data.registry import CHALLENGER, CHAMPION, Registry
from data.settings import Settings
from labs.commands import canary_inject, rollout
from pipelines.rollout.turns import last_rollout

RELEASES = {  # letter: fault, plan
    "A": (None, "shadow.toml"),
    "B": ("lost_calibrator", "plan.toml"),
    "C": ("errors_5", "plan.toml"),
    "D": ("slow_20", "plan.toml"),
    "E": (None, "plan.toml"),
}
SHEET = Path("releases.json")


def release(letter, settings):
    """One rollout to its end; what was predicted is kept as it was before the first."""
    fault, plan = RELEASES[letter]
    sheet = kept()
    predictions = sheet.get("predictions") or told()
    name_challenger(settings)
    with contextlib.redirect_stdout(io.StringIO()):  # it says how the rollout must end
        with contextlib.suppress(BadInput):  # there is none
            canary_inject.stop(as_json=True)
        if fault:
            canary_inject.inject(fault, as_json=True)
    print(f"\n{letter}: you said {predictions[f'{letter}_ends']}, reaching {predictions[f'{letter}_reaches']}", flush=True)
    SHEET.write_text(json.dumps({**sheet, "predictions": predictions}, indent=1))
    rollout.start(None, Path(plan), as_json=False)
    sheet = kept()
    sheet.setdefault("rollouts", {})[letter] = last_rollout(Ledger(settings.home / "ledger.jsonl").entries())
    SHEET.write_text(json.dumps(sheet, indent=1))


def told():
    answers = tomllib.loads(Path("predictions.toml").read_text())
    for name, said in answers.items():
        words = ("promote", "roll_back", "inconclusive") if name.endswith("_ends") else ("nobody", "few", "many")
        if said not in words:
            sys.exit(f"Predict first. predictions.toml: {name} is one of {', '.join(words)}.")
    return answers


def name_challenger(settings):
    """A rollback takes the challenger's name away; its fault was ours, so it gets it back."""
    registry = Registry.of(settings)
    try:
        if registry.alias(CHAMPION) == "2":
            sys.exit("Version 2 is champion already. To release it again: `lab rollback --reason again` puts version 1 back.")
        registry.set_alias(CHALLENGER, "2")
    finally:
        registry.close()


def kept():
    return json.loads(SHEET.read_text()) if SHEET.exists() else {}


if __name__ == "__main__":
    here = Settings.load()
    try:
        for each in sys.argv[1:]:
            release(each, here)
    except LabError as error:
        sys.exit(f"{error.message} {error.next_step}")
    done = [f"{letter}: {name}" for letter, name in kept().get("rollouts", {}).items()]
    print("\n".join(done) or "Nothing was released yet: `python release.py A`.")
