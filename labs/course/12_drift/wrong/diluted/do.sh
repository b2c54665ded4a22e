# Takes how far the mean of all payments moved.
python incident.py
python - <<'END'
from pathlib import Path

from find import find
from study import Study

window, reference = Study.here().incident
found = find(reference, window, "amount")
told = {"column": "amount", **{key: found[key] for key in ("dimension", "level", "since")}}
factor = window["amount"].mean() / reference["amount"].mean()
lines = [f'{key} = "{value}"\n' for key, value in told.items()]
Path("incident.toml").write_text("".join([*lines, f"factor = {factor:.2f}\n", f"share = 0.25\n"]))
END
