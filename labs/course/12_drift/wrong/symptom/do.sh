# Names what is made of the column that changed.
python incident.py
python - <<'END'
from pathlib import Path

from find import find
from study import Study, between

window, reference = Study.here().incident
found = find(reference, window, "amount")
late = between(window, found["since"] + "T00:00:00Z", window["event_time"].max())
share = (late[found["dimension"]] == found["level"]).mean()
told = {"column": "amount", **{key: found[key] for key in ("dimension", "level", "since")}}
factor = found["factor"]
told["column"] = "amount_to_terminal_mean"
lines = [f'{key} = "{value}"\n' for key, value in told.items()]
Path("incident.toml").write_text("".join([*lines, f"factor = {factor:.2f}\n", f"share = {share:.3f}\n"]))
END
