# Writes answers.toml from what the system says; a person reads it off the screen.
lab score payment.json --json > answer.json
lab registry --json > registry.json
python - <<'END'
import json

answer, versions = json.load(open("answer.json")), json.load(open("registry.json"))["versions"]
run = next(one["run_id"] for one in versions if one["version"] == answer["model_version"])
with open("answers.toml", "w") as file:
    file.write(f'decision = "{answer["decision"]}"\nmodel_version = "{answer["model_version"]}"\n')
    file.write(f'run_id = "{run}"\nrows_in_log = 1\n')
END
