# Said something else before the first release.
python - <<'END'
import json
import tomllib

told = tomllib.load(open("predictions.toml", "rb"))
json.dump({"predictions": told | {"A_ends": "promote"}}, open("releases.json", "w"))
END
