# The night from nights.py, the incident from what find.py says of the last week served.
python - <<'END'
from pathlib import Path

from compare import corrected
from find import find
from study import Study, between

study = Study.here()
nights = [corrected(night.window, night.reference.tail(1000)) for night in study.nights()]
share = sum(map(bool, nights)) / len(nights)
Path("night.toml").write_text(f'verdict = "noise"\nquiet_nights_that_alarm_too = {share:.2f}\n')

window, reference = study.incident
found = find(reference, window, "amount")
late = between(window, found["since"] + "T00:00:00Z", window["event_time"].max())
share = (late[found["dimension"]] == found["level"]).mean()
told = {"column": "amount", **{key: found[key] for key in ("dimension", "level", "since")}}
lines = [f'{key} = "{value}"\n' for key, value in told.items()]
Path("incident.toml").write_text("".join([*lines, f"factor = {found['factor']:.2f}\n", f"share = {share:.2f}\n"]))
END
