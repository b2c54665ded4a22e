# Names what is made of the column that changed.
python incident.py
python - <<'END'
from pathlib import Path

from find import find
from study import Study

window, reference = Study.here().incident
found = find(reference, window, "amount")
told = {"column": "amount_to_terminal_mean", **{key: found[key] for key in ("dimension", "level", "since")}}
lines = [f'{key} = "{value}"\n' for key, value in told.items()]
Path("incident.toml").write_text("".join([*lines, f"factor = {found['factor']:.2f}\n", f"share = 0.25\n"]))
END
